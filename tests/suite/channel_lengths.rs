//! Learned bit lengths of groups of channels: steps against the reference, gradients, costs, recordings that follow, frozen
//! widths.

use bitplane::models::Model;
use graph::{
    LearnedBits, LengthForm, Method, NamedTensor, Optimizer, Penalty, Phase, Session, SessionOptions,
    is_bit_product,
};
use pollster::block_on;
use recording::Executor;
use reference::bit_length::{Grid, Rule, Tensor};
use tests::{Pictures, assert_same, bits, gpu_session, model, options, train};

use crate::bit_lengths::{LEARNED, followed, learned};
use crate::chunks::model_is_bit_identical;

/// 32 output channels of the first layer with lengths are two groups, 64 of the second four.
pub const GROUPED: LearnedBits = LearnedBits { channels: Some(16), ..LEARNED };

/// A session's state.
pub fn state<E: Executor>(session: &mut Session<E>) -> Vec<NamedTensor> {
    block_on(session.state()).expect("state")
}

/// The values of tensor `name`.
pub fn values(tensors: &[NamedTensor], name: &str) -> Vec<f64> {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
    tensor.values.iter().map(|value| f64::from(*value)).collect()
}

/// Gives every length a value of its own, between whole ones or, frozen, whole.
pub fn varied(tensors: &mut [NamedTensor], frozen: bool) {
    let mut next = 0;
    for at in 0..tensors.len() {
        let Some(stem) = tensors[at].name.strip_suffix("length").map(str::to_owned) else { continue };
        let lengths: Vec<f32> =
            tensors[at].values.iter().zip(next..).map(|(_, at)| 1.25 + (at % 5) as f32).collect();
        next += lengths.len();
        let base: Vec<f32> = lengths.iter().map(|length| length.floor()).collect();
        let mut put = |name: &str, values: Vec<f32>| {
            let name = format!("{stem}{name}");
            tensors.iter_mut().find(|tensor| tensor.name == name).expect("beside the length").values = values;
        };
        put("frozen", vec![f32::from(u8::from(frozen)); base.len()]);
        put("base", base.clone());
        put("length", if frozen { base } else { lengths });
    }
}

/// A session whose groups have different lengths.
fn session(model: &Model, frozen: bool) -> Option<Session<gpu::Gpu>> {
    let mut session = gpu_session(model, &options(model, 5))?;
    let mut tensors = state(&mut session);
    varied(&mut tensors, frozen);
    session.load_state(&tensors).expect("its own state");
    Some(session)
}

#[test]
fn a_step_of_every_mode_equals_the_reference() {
    for (form, penalty, widths, frozen) in [
        (LengthForm::Nested, Penalty::BitOps, [3, 4, 4], false),
        (LengthForm::Exact, Penalty::Ops, [3, 4, 4], false),
        (LengthForm::Stochastic, Penalty::Memory, [3, 32, 32], false),
        (LengthForm::Nested, Penalty::Equal, [3, 4, 4], true),
    ] {
        let model = learned(widths, LearnedBits { form, penalty, ..GROUPED });
        let Some(mut session) = session(&model, frozen) else { return };
        let pictures = Pictures::new(&model, 5, 11);
        let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
        for check in &checks {
            let first = check.comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                check.comparison.passed(),
                "{form:?} {} {} {}: {first}",
                check.layer,
                check.pass,
                check.kernel
            );
        }
        let sums = checks.iter().filter(|check| check.layer == "conv2" && check.kernel == "length_sums");
        assert_eq!(sums.count(), if frozen { 0 } else { 4 }, "{form:?}: one for each group");
    }
}

/// `sum of dQ (Q(b + 1) - Q(b))` over the weights of a group, where dQ is the gradient of the weight itself.
#[test]
fn the_gradient_of_a_groups_length_is_that_of_its_weights() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([3, 4, 4], LearnedBits { form, gamma: 0.0, ..GROUPED });
        let Some(mut session) = session(&model, false) else { return };
        let pictures = Pictures::new(&model, 5, 11);
        let state = state(&mut session);
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = block_on(session.gradients()).expect("gradients");
        let grid = if form == LengthForm::Exact { Grid::Ends } else { Grid::Nested };
        let rule = Rule { grid, tensor: Tensor::Weight };
        let (weight, grad) = (values(&state, "conv2.weight"), values(&gradients, "conv2.weight"));
        let range = weight.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
        let (bases, found) = (values(&state, "conv2.weight_base"), values(&gradients, "conv2.weight_length"));
        assert_eq!((bases.len(), found.len()), (4, 4));
        let of_group = weight.len() / 4;
        for (at, (weight, grad)) in weight.chunks(of_group).zip(grad.chunks(of_group)).enumerate() {
            let base = bases[at] as u32;
            let want = rule.length_gradient(weight, range, base, grad);
            let size: f64 =
                weight.iter().zip(grad).map(|(w, g)| (g * rule.slope(*w, range, base)).abs()).sum();
            let found = found[at];
            assert!(
                want.abs() > 1e-7 && (found - want).abs() <= 1e-3 * size,
                "{form:?} {at}: {found}, not {want}"
            );
        }
    }
}

/// The four costs of a bit: of a group its own weights and multiply-accumulates.
#[test]
fn penalties_count_every_group() {
    let lengths = learned([4, 4, 4], GROUPED).network.bit_lengths();
    let count = lengths.len();
    let own = |name: &str| lengths.iter().find(|length| length.name == name).expect("a length");
    let (one, two) = (own("conv1.weight_length"), own("conv2.weight_length"));
    assert_eq!((one.group, two.group), ((0, 2), (0, 4)));
    assert_eq!((one.values, two.values), (16 * 9 * 32, 16 * 9 * 32));
    assert_eq!((one.macs, two.macs), (64 * 16 * 9 * 32, 36 * 16 * 9 * 32));
    // A step against the gradient, to which the penalty adds its own.
    let stepped = |penalty, gamma: f32| {
        let model = learned([4, 4, 4], LearnedBits { penalty, gamma, ..GROUPED });
        let optimizer = Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false };
        let mut session = gpu_session(&model, &SessionOptions { optimizer, ..options(&model, 5) })?;
        train(&mut session, &Pictures::new(&model, 5, 11).batch(), 0, 1);
        Some(block_on(session.bit_lengths()).expect("lengths"))
    };
    let Some(without) = stepped(Penalty::Equal, 0.0) else { return };
    let all_values: u64 = without.iter().map(|length| length.values).sum();
    let all_macs: u64 = without.iter().map(|length| length.macs).sum();
    // Every length is 4, and each convolution reads codes of another layer.
    let products = f64::from(64 * 32 * 9 * 32 + 36 * 64 * 9 * 32);
    for penalty in [Penalty::Equal, Penalty::Memory, Penalty::Ops, Penalty::BitOps] {
        let with = stepped(penalty, 2.0).expect("an adapter");
        for (with, without) in with.iter().zip(&without) {
            let cost = match penalty {
                Penalty::Equal => 1.0 / count as f64,
                Penalty::Memory => with.values as f64 / all_values as f64,
                Penalty::Ops => with.macs as f64 / all_macs as f64,
                Penalty::BitOps => 4.0 * with.macs as f64 / products,
            };
            let moved = f64::from(without.length - with.length);
            let want = 2.0 * cost * 1e-3 * GROUPED.rate;
            assert!((moved - want).abs() < 1e-5, "{penalty:?} {with:?}: {moved}, not {want}");
        }
    }
}

#[test]
fn chunks_are_bit_identical() {
    model_is_bit_identical("groups of channels", &learned([3, 4, 4], GROUPED), &[32]);
}

#[test]
fn a_resume_across_new_recordings_is_bit_exact() {
    for form in [LengthForm::Nested, LengthForm::Stochastic] {
        let model = learned([4, 4, 4], LearnedBits { form, gamma: 4.0, rate: 150.0, ..GROUPED });
        let pictures = Pictures::new(&model, 5, 3);
        let Some(mut whole) = gpu_session(&model, &options(&model, 5)) else { return };
        assert!(followed(&mut whole, &pictures, 0..12) >= 2, "new recordings");
        let mut first = gpu_session(&model, &options(&model, 5)).expect("an adapter");
        assert!(followed(&mut first, &pictures, 0..7) >= 1);
        let saved = state(&mut first);
        let groups = values(&saved, "conv2.weight_length");
        assert!(groups.iter().any(|length| *length != groups[0]), "groups went their own ways: {groups:?}");
        let mut second = gpu_session(&model, &options(&model, 5)).expect("an adapter");
        second.load_state(&saved).expect("a state");
        followed(&mut second, &pictures, 7..12);
        assert_same(&state(&mut whole), &state(&mut second), "resumed");
    }
}

/// After the freeze every group is one product of as many planes as it has bits, closed by integer thresholds.
#[test]
fn frozen_groups_are_products_of_their_own_widths_with_thresholds() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([4, 4, 4], LearnedBits { form, ..GROUPED });
        let Some(mut session) = session(&model, true) else { return };
        // Activations of one width leave one integer.
        let mut tensors = state(&mut session);
        for tensor in tensors.iter_mut().filter(|tensor| tensor.name.starts_with("act")) {
            tensor.values.fill(if tensor.name.ends_with("frozen") { 1.0 } else { 3.0 });
        }
        session.load_state(&tensors).expect("a state");
        let kernels = |session: &Session<gpu::Gpu>, phase| -> Vec<String> {
            let recording = session.recording(phase).expect("a recording");
            recording.dispatches.iter().map(|dispatch| dispatch.kernel.name().to_owned()).collect()
        };
        let evaluation = kernels(&session, Phase::Evaluate);
        assert_eq!(
            evaluation.iter().filter(|name| *name == "threshold_pack").count(),
            1,
            "{form:?}: {evaluation:?}"
        );
        let products = evaluation.iter().filter(|name| is_bit_product(name)).count();
        assert_eq!(products, 2 + 4, "{form:?}: one a group");
        // The thresholds give the codes that the floats do.
        let pictures = Pictures::new(&model, 5, 3);
        train(&mut session, &pictures.batch(), 0, 2);
        let saved = state(&mut session);
        block_on(session.freeze()).expect("freeze");
        let folded = block_on(session.logits(&pictures.batch())).expect("logits");
        let plain = options(&model, 5);
        let mut float = gpu_session(&model, &SessionOptions { fold: false, ..plain }).expect("an adapter");
        float.load_state(&saved).expect("a state");
        block_on(float.freeze()).expect("freeze");
        let unfolded = block_on(float.logits(&pictures.batch())).expect("logits");
        let largest = folded.iter().zip(&unfolded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-3, "{form:?}: {largest}");
    }
}

#[test]
fn groups_that_do_not_divide_a_layer_are_refused_by_its_name() {
    let network = model("digits", 8, bits([8, 8, 4])).network;
    let learned_bits = Some(LearnedBits { channels: Some(24), ..LEARNED });
    let error =
        network.with_method(&Method { learned_bits, ..Method::default() }).expect_err("32 are no 24s");
    assert!(error.to_string().contains("groups of 24 channels do not divide"), "{error}");
    let one = learned([8, 8, 4], LearnedBits { channels: Some(512), ..LEARNED }).network.bit_lengths();
    assert!(one.iter().all(|length| length.group == (0, 1)), "wider than every layer: {one:?}");
}
