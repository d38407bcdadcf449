//! Learned bit lengths: steps against the reference, gradients, recordings that follow the lengths, and frozen widths.

use bitplane::models::Model;
use graph::{LearnedBits, LengthForm, Method, NamedTensor, Penalty, Session, is_bit_product};
use pollster::block_on;
use recording::Executor;
use reference::bit_length::{Grid, Rule, Tensor};
use tests::{Pictures, assert_same, bits, gpu_session, model, options, train};

use crate::method::{by, checked_kernels};

/// Lengths of their own for weights and activations of every layer.
pub const LEARNED: LearnedBits = LearnedBits {
    tied: false,
    channels: None,
    form: LengthForm::Nested,
    penalty: Penalty::Equal,
    gamma: 0.5,
    rate: 30.0,
};

/// The digits' network with learned lengths.
pub fn learned(widths: [u32; 3], learned: LearnedBits) -> Model {
    by(model("digits", 8, bits(widths)), &Method { learned_bits: Some(learned), ..Method::default() })
}

fn state<E: Executor>(session: &mut Session<E>) -> Vec<NamedTensor> {
    block_on(session.state()).expect("state")
}

/// Sets the first value of a tensor.
pub fn set(tensors: &mut [NamedTensor], name: &str, value: f32) {
    tensors.iter_mut().find(|tensor| tensor.name == name).expect(name).values[0] = value;
}

fn value(tensors: &[NamedTensor], name: &str) -> f32 {
    tensors.iter().find(|tensor| tensor.name == name).expect(name).values[0]
}

#[test]
fn a_step_of_every_mode_equals_the_reference() {
    for (form, penalty, tied) in [
        (LengthForm::Nested, Penalty::BitOps, false),
        (LengthForm::Exact, Penalty::Ops, false),
        (LengthForm::Stochastic, Penalty::Memory, true),
    ] {
        let model = learned([3, 4, 4], LearnedBits { form, penalty, tied, ..LEARNED });
        let Some(kernels) = checked_kernels(&model, 5) else { return };
        let counts = |name: &str| kernels.iter().filter(|kernel| *kernel == name).count();
        assert_eq!((counts("length_penalty"), counts("clamp")), (1, 1), "{form:?}");
        assert!(counts("length_sums") >= 4 && counts("length_scales") >= 4, "{form:?}: {kernels:?}");
        assert_eq!(counts("normalize_quantize") > 0, form != LengthForm::Exact, "{form:?}");
        assert!(kernels.iter().any(|kernel| is_bit_product(kernel)), "{form:?}");
    }
}

/// Gradients of one step with lengths between whole ones.
fn gradients(model: &Model, lengths: f32) -> Option<(Vec<NamedTensor>, Vec<NamedTensor>)> {
    let pictures = Pictures::new(model, 5, 11);
    let mut session = gpu_session(model, &options(model, 5))?;
    let mut tensors = state(&mut session);
    for name in model.network.bit_lengths().into_iter().map(|length| length.name) {
        set(&mut tensors, &name, lengths);
    }
    session.load_state(&tensors).expect("its own state");
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    Some((tensors, block_on(session.gradients()).expect("gradients")))
}

/// `sum of dQ (Q(b + 1) - Q(b))`, where dQ is the gradient of the weight itself.
#[test]
fn the_gradient_of_a_weights_length_is_that_of_the_interpolation() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([3, 4, 4], LearnedBits { form, ..LEARNED });
        let Some((state, gradients)) = gradients(&model, 3.25) else { return };
        let of = |tensors: &[NamedTensor], name: &str| -> Vec<f64> {
            let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
            tensor.values.iter().map(|value| f64::from(*value)).collect()
        };
        let grid = if form == LengthForm::Exact { Grid::Ends } else { Grid::Nested };
        let rule = Rule { grid, tensor: Tensor::Weight };
        let (weight, grad) = (of(&state, "conv2.weight"), of(&gradients, "conv2.weight"));
        let range = weight.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
        let base = value(&state, "conv2.weight_base") as u32;
        let want = rule.length_gradient(&weight, range, base, &grad);
        let size: f64 = weight.iter().zip(&grad).map(|(w, g)| (g * rule.slope(*w, range, base)).abs()).sum();
        let found = of(&gradients, "conv2.weight_length")[0];
        assert!(want.abs() > 1e-6 && (found - want).abs() <= 1e-3 * size, "{form:?}: {found}, not {want}");
    }
}

#[test]
fn lengths_that_are_one_stay_one_and_move_with_the_penalty() {
    let model = learned([8, 8, 4], LearnedBits { tied: true, gamma: 5.0, ..LEARNED });
    let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
    let pictures = Pictures::new(&model, 5, 3);
    train(&mut session, &pictures.batch(), 0, 10);
    let lengths: Vec<f32> =
        block_on(session.bit_lengths()).expect("lengths").iter().map(|length| length.length).collect();
    assert!(lengths.len() >= 4 && lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    assert!((1.0..7.9).contains(&lengths[0]), "{lengths:?}");
}

/// Steps with a new recording wherever a length has left its widths, every third step.
pub fn followed(session: &mut Session<gpu::Gpu>, pictures: &Pictures, steps: std::ops::Range<u32>) -> u32 {
    let mut recorded = 0;
    for step in steps {
        if step.is_multiple_of(3) {
            recorded += u32::from(block_on(session.follow_lengths(false)).expect("recorded"));
        }
        train(session, &pictures.batch(), step, 1);
    }
    recorded
}

#[test]
fn a_resume_across_new_recordings_is_bit_exact() {
    for form in [LengthForm::Nested, LengthForm::Stochastic] {
        let model = learned([4, 4, 4], LearnedBits { form, gamma: 4.0, rate: 150.0, ..LEARNED });
        let pictures = Pictures::new(&model, 5, 3);
        let Some(mut whole) = gpu_session(&model, &options(&model, 5)) else { return };
        let recorded = followed(&mut whole, &pictures, 0..14);
        assert!(recorded >= 2, "{recorded} new recordings");
        // Stopped where the recording is neither new nor that of the beginning.
        let mut first = gpu_session(&model, &options(&model, 5)).expect("an adapter");
        assert!(followed(&mut first, &pictures, 0..8) >= 1);
        let saved = state(&mut first);
        let mut second = gpu_session(&model, &options(&model, 5)).expect("an adapter");
        second.load_state(&saved).expect("a state");
        followed(&mut second, &pictures, 8..14);
        assert_same(&state(&mut whole), &state(&mut second), "resumed");
    }
}

/// A device keeps what it has allocated, so that what one recording does not need is kept for the next.
#[test]
fn new_recordings_use_the_same_memory_again() {
    let model = learned([8, 8, 4], LEARNED);
    let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
    let wide = state(&mut session);
    let mut narrow = wide.clone();
    let is_length = |name: &str| name.ends_with("length") || name.ends_with("base");
    narrow.iter_mut().filter(|tensor| is_length(&tensor.name)).for_each(|tensor| tensor.values.fill(2.0));
    let mut allocated = Vec::new();
    for _ in 0..4 {
        for lengths in [&narrow, &wide] {
            session.load_state(lengths).expect("a state");
        }
        allocated.push(session.executor_mut().allocated_bytes());
    }
    assert!(allocated.iter().all(|bytes| *bytes == allocated[0]), "{allocated:?}");
}

/// After the freeze a network is one of fixed widths: with both ends on the grid, activations are DoReFa-Net's.
#[test]
fn frozen_lengths_are_whole_stay_and_give_single_plane_groups() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([4, 4, 4], LearnedBits { form, gamma: 4.0, rate: 100.0, ..LEARNED });
        let pictures = Pictures::new(&model, 5, 3);
        let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
        train(&mut session, &pictures.batch(), 0, 6);
        let before = block_on(session.bit_lengths()).expect("lengths");
        assert!(block_on(session.follow_lengths(true)).expect("frozen"));
        assert!(!block_on(session.follow_lengths(true)).expect("frozen once"));
        train(&mut session, &pictures.batch(), 6, 3);
        let after = block_on(session.bit_lengths()).expect("lengths");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(after.length, before.length.ceil(), "{}", before.name);
        }
        // The same network, built with those widths at once.
        let saved = state(&mut session);
        let mut other = gpu_session(&model, &options(&model, 5)).expect("an adapter");
        other.load_state(&saved).expect("a state");
        let logits = |session: &mut Session<gpu::Gpu>| {
            block_on(session.freeze()).expect("freeze");
            block_on(session.logits(&pictures.batch())).expect("logits")
        };
        assert_eq!(logits(&mut session), logits(&mut other), "{form:?}");
        let kernels = |session: &Session<gpu::Gpu>, phase| -> Vec<&'static str> {
            let recording = session.recording(phase).expect("a recording");
            recording.dispatches.iter().map(|dispatch| dispatch.kernel.name()).collect()
        };
        let names = kernels(&session, graph::Phase::Evaluate);
        assert!(names.contains(&"threshold_pack"), "{form:?}: {names:?}");
        let products = |phase| {
            let all = kernels(&session, phase);
            all.into_iter().filter(|name| is_bit_product(name)).count()
        };
        assert_eq!(products(graph::Phase::Forward), 2, "one product a layer");
        train(&mut other, &pictures.batch(), 9, 1);
        train(&mut session, &pictures.batch(), 9, 1);
        assert_same(&state(&mut session), &state(&mut other), "trained on");
    }
}

#[test]
fn a_network_without_quantized_values_has_no_lengths_to_learn() {
    let network = model("digits", 8, bits([32, 32, 32])).network;
    let error = network.with_method(&Method { learned_bits: Some(LEARNED), ..Method::default() });
    assert!(error.expect_err("nothing to learn").to_string().contains("bits could be learned"));
}
