//! Learned bit lengths of groups of channels of activations: steps against the reference, gradients, planes of frozen groups.

use std::sync::Arc;

use bitplane::models::Model;
use graph::{
    Cut, Geometry, LearnedBits, LengthForm, Method, NamedTensor, NetworkBuilder, Padding, Phase, Session,
    SessionOptions, Shape, is_bit_product,
    layers::{Conv2d, Linear, Quantize},
    quantizers::DorefaActivation,
};
use pollster::block_on;
use tests::{Pictures, bits, gpu_session, options};

use crate::bit_lengths::{LEARNED, learned};
use crate::channel_lengths::{GROUPED, state, values};
use crate::method::by;

/// Groups of three channels, of which words of 32 hold no whole number, between dropout, pools and two readers of the same codes.
pub fn odd(widths: [u32; 3], form: LengthForm) -> Model {
    let (bits, same) = (bits(widths), Geometry::square(3, 1, Padding::Same));
    let mut net = NetworkBuilder::new(Shape::new(7, 5, 3));
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 33, geometry: same, bias: true }).unwrap();
    let quantizer = Arc::new(DorefaActivation::new(widths[1]));
    let x = net.add_layer("act0", Arc::new(Quantize { quantizer }), &[x]).unwrap();
    let x = net.dropout("drop", x, 0.25).unwrap();
    let x = net.quantized_conv2d("conv1", x, 12, same, bits).unwrap();
    let x = net.max_pool("pool1", x, Geometry::square(2, 2, Padding::Same)).unwrap();
    let x = net.batch_norm("bn1", x).unwrap();
    let shared = net.activation("act1", x, bits.activation).unwrap();
    let a = net.quantized_conv2d("conv2", shared, 6, same, bits).unwrap();
    let b = net.quantized_conv2d("conv3", shared, 6, Geometry::square(1, 1, Padding::Valid), bits).unwrap();
    let x = net.sum("sum", a, b).unwrap();
    let x = net.activation("act2", x, bits.activation).unwrap();
    let whole = Geometry { kernel: (4, 3), stride: 1, padding: Padding::Valid };
    let x = net.quantized_conv2d("conv4", x, 6, whole, bits).unwrap();
    net.linear("fc", x, Linear { outputs: 10, weight_decay: 0.0 }).unwrap();
    let learned_bits = Some(LearnedBits { form, channels: Some(3), ..LEARNED });
    let input = graph::InputSpec {
        source_height: 7,
        source_width: 5,
        channels: 3,
        resize_height: 7,
        resize_width: 5,
        out_height: 7,
        out_width: 5,
    };
    by(Model { network: net.build().unwrap(), input }, &Method { learned_bits, ..Method::default() })
}

/// Gives groups of channels two lengths in turn, between whole ones or, frozen, whole; few widths are few shaders.
pub fn alternate(tensors: &mut [NamedTensor], frozen: bool) {
    for tensor in tensors {
        let Some((_, name)) = tensor.name.rsplit_once('.') else { continue };
        let of: fn(usize) -> f32 = match (name, frozen) {
            ("length" | "weight_length", false) => |at| 1.25 + (at % 2) as f32,
            ("length" | "weight_length" | "base" | "weight_base", _) => |at| 1.0 + (at % 2) as f32,
            ("frozen" | "weight_frozen", true) => |_| 1.0,
            _ => continue,
        };
        tensor.values = (0..tensor.values.len()).map(of).collect();
    }
}

#[test]
fn a_step_at_odd_sizes_equals_the_reference() {
    for (form, widths, frozen) in [
        (LengthForm::Nested, [3, 4, 4], false),
        (LengthForm::Exact, [2, 4, 32], false),
        (LengthForm::Stochastic, [32, 4, 4], false),
        (LengthForm::Nested, [3, 4, 4], true),
        (LengthForm::Exact, [3, 4, 4], true),
    ] {
        let model = odd(widths, form);
        let Some(mut session) = gpu_session(&model, &options(&model, 3)) else { return };
        let mut tensors = state(&mut session);
        alternate(&mut tensors, frozen);
        session.load_state(&tensors).expect("its own state");
        let pictures = Pictures::new(&model, 3, 11);
        let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
        for check in &checks {
            let first = check.comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
            let what = format!("{form:?} {} {} {}", check.layer, check.pass, check.kernel);
            assert!(check.comparison.passed(), "{what}: {first}");
        }
        let count = |layer: &str, kernel: &str| {
            checks.iter().filter(|check| check.layer == layer && check.kernel == kernel).count()
        };
        for layer in ["act0", "act1", "act2"] {
            assert_eq!(count(layer, "quantize_groups"), 1, "{form:?} {layer}: all groups at once");
            assert_eq!(
                count(layer, "length_sums"),
                usize::from(!frozen),
                "{form:?} {layer}: all groups at once"
            );
        }
    }
}

/// The codes of channels without a value are 0 at every width, so that their group's length does not matter, and the others' does.
#[test]
fn the_gradient_of_a_groups_length_is_that_of_its_channels() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([3, 4, 32], LearnedBits { form, gamma: 0.0, ..GROUPED });
        for silent in 0..2 {
            let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
            let mut tensors = state(&mut session);
            put(&mut tensors, "act1", &[1.5, 1.25]);
            for (name, value) in [("bn1.gamma", 0.0), ("bn1.beta", -1.0)] {
                let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).expect("batch norm");
                tensor.values[16 * silent..16 * (silent + 1)].fill(value);
            }
            session.load_state(&tensors).expect("a state");
            block_on(session.forward(&Pictures::new(&model, 5, 11).batch(), 0)).expect("forward");
            block_on(session.backward()).expect("backward");
            let found = values(&block_on(session.gradients()).expect("gradients"), "act1.length");
            let (own, other) = (found[silent], found[1 - silent]);
            assert!(own == 0.0 && other.abs() > 1e-5, "{form:?}, group {silent} is silent: {found:?}");
        }
    }
}

/// Gives the groups of a layer's activations lengths, and the bases below them.
fn put(tensors: &mut [NamedTensor], layer: &str, lengths: &[f32]) {
    for (name, down) in [("length", false), ("base", true)] {
        let of = |length: &f32| if down { length.floor() } else { *length };
        let name = format!("{layer}.{name}");
        let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).expect("a length");
        assert_eq!(tensor.values.len(), lengths.len(), "{name}");
        tensor.values = lengths.iter().map(of).collect();
    }
}

/// Equal lengths compute what one length computes, and their gradients add up to its gradient.
#[test]
fn groups_of_equal_lengths_are_one_length() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let outcome = |channels: Option<u32>| {
            let model = learned([3, 4, 32], LearnedBits { form, channels, gamma: 0.0, ..LEARNED });
            let pictures = Pictures::new(&model, 5, 11);
            let mut session = gpu_session(&model, &options(&model, 5))?;
            let mut tensors = state(&mut session);
            for tensor in &mut tensors {
                match tensor.name.rsplit_once('.').map(|(_, name)| name) {
                    Some("length" | "weight_length") => tensor.values.fill(2.25),
                    Some("base" | "weight_base") => tensor.values.fill(2.0),
                    _ => {}
                }
            }
            session.load_state(&tensors).expect("its own state");
            block_on(session.forward(&pictures.batch(), 0)).expect("forward");
            block_on(session.backward()).expect("backward");
            Some(block_on(session.gradients()).expect("gradients"))
        };
        let (Some(one), Some(many)) = (outcome(None), outcome(Some(8))) else { return };
        for name in ["act0.length", "act1.length"] {
            let (one, many) = (values(&one, name), values(&many, name));
            assert_eq!((one.len(), many.len()), (1, 4), "{name}");
            let size: f64 = many.iter().map(|gradient| gradient.abs()).sum();
            let sum: f64 = many.iter().sum();
            assert!(
                size > 1e-4 && (sum - one[0]).abs() < 1e-3 * size,
                "{form:?} {name}: {many:?}, not {one:?}"
            );
        }
    }
}

/// What computes a forward pass or an evaluation.
fn kernels(session: &Session<gpu::Gpu>, phase: Phase) -> Vec<&'static str> {
    let recording = session.recording(phase).expect("a recording");
    recording.dispatches.iter().map(|dispatch| dispatch.kernel.name()).collect()
}

/// Frozen groups of equal bits share their planes, so that there is a product for each width and no more; where all agree the
/// layer is one of a fixed width, with thresholds and fused kernels.
#[test]
fn frozen_groups_of_equal_bits_share_planes() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        let model = learned([32, 4, 4], LearnedBits { form, channels: Some(4), ..LEARNED });
        let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
        for (widths, groups) in [([2.0, 3.0, 2.0, 5.0, 3.0, 2.0, 2.0, 5.0], 3), ([3.0; 8], 1)] {
            let mut tensors = state(&mut session);
            for layer in ["act0", "act1"] {
                put(&mut tensors, layer, &widths);
                let frozen = format!("{layer}.frozen");
                tensors.iter_mut().find(|tensor| tensor.name == frozen).expect("frozen").values.fill(1.0);
            }
            session.load_state(&tensors).expect("a state");
            let forward = kernels(&session, Phase::Forward);
            let count = |name: &str| forward.iter().filter(|kernel| **kernel == name).count();
            let fused = if groups == 1 { (0, 2) } else { (2, 0) };
            assert_eq!(
                (count("quantize_groups"), count("normalize_quantize")),
                fused,
                "{form:?}: {forward:?}"
            );
            assert_eq!(
                count("dequantize"),
                2 * groups,
                "{form:?}: f32 weights read a sum of {groups} groups"
            );
        }
        if form == LengthForm::Nested {
            // The upper bit of every code, whatever its length.
            let network = model.network.cut(&Cut::uniform(1)).expect("upper bits");
            let cut = Model { network, ..model.clone() };
            let mut narrow = gpu_session(&cut, &options(&cut, 5)).expect("an adapter");
            let mut tensors = state(&mut session);
            put(&mut tensors, "act0", &[2.0, 3.0, 2.0, 5.0, 3.0, 2.0, 2.0, 5.0]);
            narrow.load_state(&tensors).expect("a state");
            assert!(!kernels(&narrow, Phase::Forward).contains(&"quantize_groups"), "one bit everywhere");
        }
        let whole = learned([2, 4, 4], LearnedBits { form, channels: Some(8), ..LEARNED });
        assert_eq!(whole.network.bit_lengths().len(), 4 + 8 + 4 + 4);
        let plain = options(&whole, 5);
        let Some(mut session) = gpu_session(&whole, &plain) else { return };
        let mut tensors = state(&mut session);
        alternate(&mut tensors, true);
        put(&mut tensors, "act0", &[2.0, 4.0, 4.0, 2.0]);
        put(&mut tensors, "act1", &[3.0, 1.0, 2.0, 1.0]);
        session.load_state(&tensors).expect("a state");
        let products = kernels(&session, Phase::Evaluate).iter().filter(|name| is_bit_product(name)).count();
        assert_eq!(products, 4 * 2 + 8 * 3, "{form:?}: groups of weights times widths of activations");
        // Both evaluations give the same scores within roundings.
        let pictures = Pictures::new(&whole, 5, 3);
        block_on(session.freeze()).expect("freeze");
        let folded = block_on(session.logits(&pictures.batch())).expect("logits");
        let mut float = gpu_session(&whole, &SessionOptions { fold: false, ..plain }).expect("an adapter");
        float.load_state(&tensors).expect("a state");
        block_on(float.freeze()).expect("freeze");
        let unfolded = block_on(float.logits(&pictures.batch())).expect("logits");
        let largest = folded.iter().zip(&unfolded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-3, "{form:?}: {largest}");
    }
}

/// Behind the codes nothing has a kink, so that the loss is a smooth function of their lengths.
fn smooth(form: LengthForm, channels: Option<u32>) -> Model {
    let same = Geometry::square(3, 1, Padding::Same);
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 1));
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 32, geometry: same, bias: true }).unwrap();
    let quantizer = Arc::new(DorefaActivation::new(3));
    let x = net.add_layer("act0", Arc::new(Quantize { quantizer }), &[x]).unwrap();
    let x = net.quantized_conv2d("conv1", x, 16, same, bits([2, 3, 32])).unwrap();
    let x = net.global_avg_pool("pool", x).unwrap();
    net.linear("fc", x, Linear { outputs: 10, weight_decay: 0.0 }).unwrap();
    let learned_bits = Some(LearnedBits { form, channels, gamma: 0.0, ..LEARNED });
    let Model { input, .. } = tests::model("digits", 8, bits([1, 2, 32]));
    by(Model { network: net.build().unwrap(), input }, &Method { learned_bits, ..Method::default() })
}

/// The gradient of every length, of activations and of weights, is the slope of the loss, so that each group's planes and scale
/// are its own.
#[test]
fn lengths_have_the_gradient_of_the_loss() {
    for form in [LengthForm::Nested, LengthForm::Exact] {
        for channels in [None, Some(8)] {
            lengths_are_slopes(form, channels);
        }
    }
}

fn lengths_are_slopes(form: LengthForm, channels: Option<u32>) {
    let model = smooth(form, channels);
    let pictures = Pictures::new(&model, 5, 11);
    let Some(mut session) = gpu_session(&model, &options(&model, 5)) else { return };
    let mut tensors = state(&mut session);
    for tensor in &mut tensors {
        let lengths = [2.5, 1.25, 2.5, 1.25].iter();
        let of: fn(&f32) -> f32 = match tensor.name.as_str() {
            "act0.length" | "conv1.weight_length" => |length| *length,
            "act0.base" | "conv1.weight_base" => |length| length.floor(),
            _ => continue,
        };
        tensor.values = lengths.take(tensor.values.len()).map(of).collect();
    }
    session.load_state(&tensors).expect("a state");
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    let gradients = block_on(session.gradients()).expect("gradients");
    for name in ["act0.length", "conv1.weight_length"] {
        let lengths = values(&tensors, name);
        for (at, gradient) in values(&gradients, name).iter().enumerate() {
            let step = 1.0 / 8.0;
            let mut loss = |moved: f64| {
                tests::plant(&mut session, name, at as i64, (lengths[at] + moved) as f32);
                block_on(session.forward(&pictures.batch(), 0)).expect("forward");
                f64::from(block_on(session.report()).expect("a report").loss)
            };
            let slope = (loss(step) - loss(-step)) / (2.0 * step);
            loss(0.0);
            let apart = (slope - gradient).abs();
            assert!(apart < 0.01 * slope.abs() + 2e-6, "{form:?} {name} {at}: {gradient}, not {slope}");
        }
    }
}
