//! Heterogeneous binarization: a step equals the reference, planes and dense weights say the same, gradients stop at 1.

use bitplane::models::Model;
use graph::{
    BitOrder, Geometry, Heterogeneous, InputSpec, MaskGranularity, Method, NamedTensor, NetworkBuilder,
    Padding, Session, SessionOptions, Shape,
    layers::{Conv2d, Linear, QuantizedConv2d},
    quantizers::HbnnActivation,
};
use pollster::block_on;
use recording::Executor;
use reference::residual::binarize;
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options, train};

use crate::structures::{built, structure};

const SAMPLES: u32 = 5;

fn rule(mix: &str) -> Heterogeneous {
    Heterogeneous::of(mix.parse().expect("a mix"))
}

fn by(rule: Heterogeneous, name: &str, size: u32, widths: [u32; 3]) -> Model {
    let Model { network, input } = model(name, size, bits(widths));
    let method = Method { heterogeneous: Some(rule), ..Method::default() };
    Model { network: network.with_method(&method).expect("a network"), input }
}

/// Chooses the masks of every layer from its first weights.
fn choose<E: Executor>(session: &mut Session<E>, rule: Heterogeneous) {
    let mut state = block_on(session.state()).expect("state");
    let weights: Vec<NamedTensor> = state.iter().filter(|t| t.name.ends_with(".weight")).cloned().collect();
    for (number, tensor) in state.iter_mut().filter(|tensor| tensor.name.ends_with(".bits")).enumerate() {
        let name = tensor.name.replace(".bits", ".weight");
        let weight = weights.iter().find(|weight| weight.name == name).expect("its weights");
        let bits = rule.assign(&weight.values, weight.shape[0], (7, number as u32));
        tensor.values = bits.into_iter().map(|bits| bits as f32).collect();
    }
    session.load_state(&state).expect("the state");
}

/// One step, every dispatch against the reference on the device's own inputs; the kernels that ran.
fn step_is_right(model: &Model, rule: Heterogeneous) -> Option<Vec<String>> {
    let pictures = Pictures::new(model, SAMPLES, 11);
    let mut session = gpu_session(model, &options(model, SAMPLES))?;
    choose(&mut session, rule);
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    for check in &checks {
        let first = check.comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(check.comparison.passed(), "{} {} {}: {first}", check.layer, check.pass, check.kernel);
    }
    Some(checks.into_iter().map(|check| check.kernel.to_string()).collect())
}

#[test]
fn a_step_of_bases_equals_the_reference() {
    let rule = rule("1:0.7,2:0.3");
    for text in ["v1", "layer-wise"] {
        let Model { network, input } = built("digits", 8, [2, 2, 4], &structure(text, 2));
        let method = Method { heterogeneous: Some(rule), ..Method::default() };
        let model = Model { network: network.with_method(&method).expect("a network"), input };
        let Some(kernels) = step_is_right(&model, rule) else { return };
        let sums = kernels.iter().filter(|kernel| *kernel == "residual_sums").count();
        assert_eq!(sums, 2 * 2 * 2, "{text}: two levels of two layers of two bases");
    }
}

#[test]
fn a_step_equals_the_reference_at_every_granularity() {
    let mix = "1:0.7,2:0.2,3:0.1";
    for (granularity, widths) in [
        (MaskGranularity::Element, [3, 2, 4]),
        (MaskGranularity::Word, [3, 1, 2]),
        (MaskGranularity::Channel, [3, 2, 32]),
    ] {
        let rule = Heterogeneous { granularity, order: BitOrder::Random, ..rule(mix) };
        let model = by(rule, "digits", 8, widths);
        let Some(kernels) = step_is_right(&model, rule) else { return };
        let counts = |name: &str| kernels.iter().filter(|kernel| *kernel == name).count();
        assert_eq!(counts("residual_sums"), 6, "three levels of two layers");
        assert_eq!(counts("straight_through"), 2);
        assert_eq!(counts("dequantize") > 3, widths[2] == 32, "the levels of f32 products, {widths:?}");
    }
}

/// Groups of channels share out the masks with their weights.
#[test]
fn a_step_of_a_convolution_in_groups_equals_the_reference() {
    let rule = rule("1:0.5,2:0.5");
    let widths = bits([2, 2, 4]);
    let mut net = NetworkBuilder::new(Shape::new(6, 6, 3));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.conv2d("conv0", net.input(), Conv2d { out_channels: 10, geometry: same, bias: true });
    let x = net.activation("act0", x.expect("conv0"), widths.activation).expect("act0");
    let grouped = QuantizedConv2d { groups: 2, ..QuantizedConv2d::dorefa(6, same, widths) };
    let x = net.quantized_conv2d_with("conv1", x, grouped).expect("conv1");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
    let method = Method { heterogeneous: Some(rule), ..Method::default() };
    let network = net.build().expect("builds").with_method(&method).expect("a network");
    let side = 6;
    let input = InputSpec {
        source_height: side,
        source_width: side,
        channels: 3,
        resize_height: side,
        resize_width: side,
        out_height: side,
        out_width: side,
    };
    step_is_right(&Model { network, input }, rule);
}

fn logits(model: &Model, rule: Heterogeneous, fold: bool) -> Option<NamedTensor> {
    let options = SessionOptions { fold, ..options(model, SAMPLES) };
    let pictures = Pictures::new(model, SAMPLES, 5);
    let mut session = gpu_session(model, &options)?;
    choose(&mut session, rule);
    train(&mut session, &pictures.batch(), 0, 2);
    block_on(session.freeze()).expect("freeze");
    let values = block_on(session.logits(&pictures.batch())).expect("logits");
    Some(NamedTensor { name: "logits".to_owned(), shape: vec![values.len()], values })
}

#[test]
fn several_levels_are_deployed_in_f32_and_one_by_thresholds() {
    let several = rule("1:0.7,2:0.3");
    let model = by(several, "digits", 8, [2, 2, 4]);
    let (Some(folded), Some(unfolded)) = (logits(&model, several, true), logits(&model, several, false))
    else {
        return;
    };
    assert_same(&[folded], &[unfolded], "several levels");
    let thresholds = |model: &Model| {
        let session = host_session(model, &options(model, SAMPLES));
        let recording = session.recording(graph::Phase::Evaluate).expect("an evaluation");
        recording.dispatches.iter().filter(|d| d.kernel.name() == "threshold_pack").count()
    };
    assert_eq!(thresholds(&model), 0);
    assert!(thresholds(&by(rule("1:1"), "digits", 8, [1, 2, 4])) > 0);
}

/// One level computes what DoReFa-Net's binary weights do, but for the gradient's clip.
#[test]
fn one_level_has_the_scores_of_binary_weights() {
    let pictures = Pictures::new(&model("digits", 8, bits([1, 2, 4])), SAMPLES, 5);
    let scores = |model: &Model, weights: Option<&[NamedTensor]>| {
        let mut session = gpu_session(model, &options(model, SAMPLES))?;
        let mut state = block_on(session.state()).expect("state");
        for tensor in &mut state {
            let same = weights.iter().copied().flatten().find(|given| given.name == tensor.name);
            if let Some(given) = same {
                tensor.values.clone_from(&given.values);
            }
        }
        session.load_state(&state).expect("the state");
        block_on(session.freeze()).expect("freeze");
        Some((state, block_on(session.logits(&pictures.batch())).expect("logits")))
    };
    let Some((state, one)) = scores(&by(rule("1:1"), "digits", 8, [1, 2, 4]), None) else { return };
    let Some((_, binary)) = scores(&model("digits", 8, bits([1, 2, 4])), Some(&state)) else { return };
    for (one, binary) in one.iter().zip(&binary) {
        assert!((one - binary).abs() <= 1e-4 * (1.0 + binary.abs()), "{one}, not {binary}");
    }
}

/// With f32 gradients and a single dense layer of reference arithmetic: what a level beyond the mask must not touch.
#[test]
fn weights_beyond_one_keep_still_and_masks_are_not_trained() {
    let rule = rule("1:0.5,2:0.5");
    let model = by(rule, "digits", 8, [2, 2, 4]);
    let pictures = Pictures::new(&model, SAMPLES, 5);
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    choose(&mut session, rule);
    tests::plant(&mut session, "conv1.weight", 3, 1.25);
    tests::plant(&mut session, "conv1.weight", 4, -1.25);
    let named = |state: &[NamedTensor], name: &str| {
        state.iter().find(|tensor| tensor.name == name).expect(name).values.clone()
    };
    let before = block_on(session.state()).expect("state");
    train(&mut session, &pictures.batch(), 0, 3);
    let after = block_on(session.state()).expect("state");
    let (old, new) = (named(&before, "conv1.weight"), named(&after, "conv1.weight"));
    assert_eq!([new[3], new[4]], [1.25, -1.25], "an element beyond 1 stops learning");
    let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
    assert!(moved * 10 > old.len() * 9, "{moved} of {} weights moved", old.len());
    assert_eq!(named(&before, "conv1.bits"), named(&after, "conv1.bits"));
}

/// The scores of a network whose binarized weights were put in place of the latent ones, in f32.
#[test]
fn forward_passes_multiply_what_the_definition_gives() {
    let rule = rule("1:0.6,2:0.3,4:0.1");
    let ours = by(rule, "digits", 8, [4, 2, 32]);
    let pictures = Pictures::new(&ours, SAMPLES, 5);
    let Some(mut session) = gpu_session(&ours, &options(&ours, SAMPLES)) else { return };
    choose(&mut session, rule);
    let state = block_on(session.state()).expect("state");
    block_on(session.freeze()).expect("freeze");
    let got = block_on(session.logits(&pictures.batch())).expect("logits");

    let float = model("digits", 8, bits([32, 2, 32]));
    let mut other = gpu_session(&float, &options(&float, SAMPLES)).expect("an adapter");
    let mut tensors = block_on(other.state()).expect("state");
    let find = |name: &str| state.iter().find(|tensor| tensor.name == name);
    for tensor in &mut tensors {
        tensor.values.clone_from(&find(&tensor.name).expect("the same parameters").values);
        let bits = find(&tensor.name.replace(".weight", ".bits")).filter(|bits| bits.name != tensor.name);
        if let Some(bits) = bits {
            let wide: Vec<f64> = tensor.values.iter().map(|&value| f64::from(value)).collect();
            let bits: Vec<u32> = bits.values.iter().map(|&bits| bits as u32).collect();
            tensor.values = binarize(&wide, &bits).values.into_iter().map(|value| value as f32).collect();
        }
    }
    other.load_state(&tensors).expect("the state");
    block_on(other.freeze()).expect("freeze");
    let want = block_on(other.logits(&pictures.batch())).expect("logits");
    let largest = want.iter().fold(0.0f32, |max, value| max.max(value.abs()));
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() <= 2e-3 * largest, "{got}, not {want}");
    }
}

#[test]
fn channels_of_activations_have_bits_of_their_own() {
    let rule = HbnnActivation { mix: "1:0.6,2:0.4".parse().expect("a mix"), seed: 7 };
    let method = Method { channel_bits: Some(rule), ..Method::default() };
    let Model { network, input } = model("digits", 8, bits([1, 2, 4]));
    let model = Model { network: network.with_method(&method).expect("a network"), input };
    let Some(kernels) = step_is_right(&model, self::rule("1:1")) else { return };
    assert!(kernels.iter().any(|kernel| kernel == "quantize_channels"));
    assert!(kernels.iter().all(|kernel| kernel != "quantize_activation"));
    let widths = rule.widths("act0", 32);
    assert_eq!(widths.iter().filter(|width| **width == 1).count(), 19, "0.6 of 32 channels");
    assert_ne!(widths, rule.widths("act1", 32));
    assert_ne!(widths, HbnnActivation { seed: 8, ..rule }.widths("act0", 32));
    // Thirds of a step are no steps.
    assert!(!HbnnActivation::supports(&"2:0.5,3:0.5".parse().expect("a mix")));
    assert!(HbnnActivation::supports(&"1:0.5,2:0.2,4:0.3".parse().expect("a mix")));
}

/// Of two bases of every layer the one whose lambda is 1 is the layer alone, with its own masks.
#[test]
fn a_sum_of_bases_has_the_masks_of_each() {
    let rule = rule("1:0.6,3:0.4");
    let build = |bases| {
        let Model { network, input } = built("digits", 8, [3, 2, 4], &structure("layer-wise", bases));
        let method = Method { heterogeneous: Some(rule), ..Method::default() };
        Model { network: network.with_method(&method).expect("a network"), input }
    };
    let (one, two) = (build(1), build(2));
    let pictures = Pictures::new(&one, SAMPLES, 5);
    let Some(mut both) = gpu_session(&two, &options(&two, SAMPLES)) else { return };
    let mut alone = gpu_session(&one, &options(&one, SAMPLES)).expect("an adapter");
    choose(&mut both, rule);
    let state = block_on(both.state()).expect("state");
    for chosen in 0..2 {
        let mut of_both = state.clone();
        for lambda in of_both.iter_mut().filter(|tensor| tensor.name.ends_with(".lambda")) {
            lambda.values = (0..2).map(|base| if base == chosen { 1.0 } else { 0.0 }).collect();
        }
        let mut of_one = block_on(alone.state()).expect("state");
        for tensor in &mut of_one {
            let name = tensor.name.replace(".base0.", &format!(".base{chosen}."));
            let given = of_both.iter().find(|given| given.name == name).expect("both have it");
            tensor.values = if name.ends_with(".lambda") { vec![1.0] } else { given.values.clone() };
        }
        let mut scores = Vec::new();
        for (session, state) in [(&mut alone, &of_one), (&mut both, &of_both)] {
            session.load_state(state).expect("the state");
            block_on(session.freeze()).expect("freeze");
            scores.push(block_on(session.logits(&pictures.batch())).expect("logits"));
        }
        assert_eq!(scores[0], scores[1], "base {chosen}");
    }
}
