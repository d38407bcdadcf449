//! Variants of the method: each step equals the reference, and what they change follows from a formula.

use bitplane::models::Model;
use graph::{
    ActivationForm, GradientScale, GroupNetRules, Method, NamedTensor, Rounding, SessionOptions,
    is_bit_product,
};
use pollster::block_on;
use tests::{
    Pictures, assert_same, bits, deviation, gpu_session, host_session, largest, model, options, train,
};

const SAMPLES: u32 = 5;

const PLAIN: Method = Method {
    activation_form: ActivationForm::Clip,
    tanh: false,
    rounding: Rounding::Even,
    max_gradient: false,
    gradient_scale: GradientScale::Sample,
    first: None,
    last: None,
    learned_bits: None,
    nested: None,
    heterogeneous: None,
    channel_bits: None,
    group_net: GroupNetRules { channel_scales: false, clip: None, signs: None },
};

const PARITY: Method =
    Method { activation_form: ActivationForm::Cabs, rounding: Rounding::Floor, max_gradient: true, ..PLAIN };

/// `model` by `method`.
pub fn by(model: Model, method: &Method) -> Model {
    Model { network: model.network.with_method(method).expect("a network"), ..model }
}

/// One step on the device, every dispatch against the reference on the device's own inputs; the kernels that ran.
pub fn checked_kernels(model: &Model, samples: u32) -> Option<Vec<String>> {
    let pictures = Pictures::new(model, samples, 11);
    let mut session = gpu_session(model, &options(model, samples))?;
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    for check in &checks {
        let first = check.comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(check.comparison.passed(), "{} {} {}: {first}", check.layer, check.pass, check.kernel);
    }
    Some(checks.into_iter().map(|check| check.kernel.to_string()).collect())
}

#[test]
fn a_step_of_every_variant_equals_the_reference() {
    let floor = Method { rounding: Rounding::Floor, ..PLAIN };
    for (method, widths) in [(PARITY, [2, 2, 4]), (PARITY, [1, 1, 2]), (floor, [3, 3, 6])] {
        let model = by(model("digits", 8, bits(widths)), &method);
        let Some(kernels) = checked_kernels(&model, SAMPLES) else { return };
        let counts = |name: &str| kernels.iter().filter(|kernel| *kernel == name).count();
        let maxima = if method.max_gradient && widths[0] > 1 { 2 } else { 0 };
        assert_eq!(counts("weight_max_backward"), maxima, "{widths:?}");
        // Only a clip is fused with its neighbors.
        assert_eq!(counts("normalize_quantize") == 0, method.activation_form == ActivationForm::Cabs);
    }
}

#[test]
fn tangents_take_the_place_of_rectifiers_in_full_precision() {
    let tanh = Method { tanh: true, ..PLAIN };
    let relaxed = by(model("digits", 8, bits([32, 32, 32])), &tanh);
    let Some(kernels) = checked_kernels(&relaxed, SAMPLES) else { return };
    let counts = |name: &str| kernels.iter().filter(|kernel| *kernel == name).count();
    assert!(counts("tanh_forward") > 1 && counts("tanh_forward") == counts("tanh_backward"), "{kernels:?}");
    assert_eq!((counts("relu_forward"), counts("relu_backward")), (0, 0));
    let coded = model("digits", 8, bits([1, 1, 32])).network.with_method(&tanh);
    assert!(coded.expect_err("codes").to_string().contains("--bits W,32,G"));
}

fn gradients(model: &Model) -> Option<(Vec<NamedTensor>, Vec<NamedTensor>)> {
    let pictures = Pictures::new(model, SAMPLES, 11);
    let mut session = gpu_session(model, &options(model, SAMPLES))?;
    let state = block_on(session.state()).expect("state");
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    Some((state, block_on(session.gradients()).expect("gradients")))
}

fn values(tensors: &[NamedTensor], name: &str) -> Vec<f64> {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
    tensor.values.iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn the_gradient_through_the_maximum_reaches_the_largest_weight_alone() {
    let network = || model("digits", 8, bits([3, 2, 4]));
    let Some((state, constant)) = gradients(&network()) else { return };
    let Some((_, through)) = gradients(&by(network(), &Method { max_gradient: true, ..PLAIN })) else {
        return;
    };
    // Nothing of the last layer but its latent gradient depends on the option.
    let name = "conv2.weight";
    let weight = values(&state, name);
    let (constant, through) = (values(&constant, name), values(&through, name));
    let largest = weight.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    let max = largest.tanh();
    // What the convolution gave, from the latent gradient with a constant maximum.
    let slope = |w: f64| 1.0 - w.tanh() * w.tanh();
    let weighted: f64 = weight.iter().zip(&constant).map(|(w, g)| g * max / slope(*w) * w.tanh()).sum();
    let mut touched = 0;
    for ((w, constant), through) in weight.iter().zip(&constant).zip(&through) {
        let mut want = *constant;
        if w.abs() == largest {
            want -= w.signum() * weighted / (max * max) * slope(*w);
            assert!((want - constant).abs() > 1e-3 * constant.abs(), "the option changes something");
            touched += 1;
            assert!((through - want).abs() <= 1e-4 * (want.abs() + constant.abs()), "{through}, not {want}");
        } else {
            assert_eq!(through, constant);
        }
    }
    assert_eq!(touched, 1);
}

#[test]
fn magnitudes_are_deployed_in_f32_and_give_what_the_float_form_gives() {
    let cabs = Method { activation_form: ActivationForm::Cabs, ..PLAIN };
    let model = by(model("svhn-d", 32, bits([1, 2, 4])), &cabs);
    let pictures = Pictures::new(&model, SAMPLES, 5);
    let logits = |fold: bool| {
        let options = SessionOptions { fold, ..options(&model, SAMPLES) };
        let mut session = gpu_session(&model, &options)?;
        train(&mut session, &pictures.batch(), 0, 2);
        block_on(session.freeze()).expect("freeze");
        let values = block_on(session.logits(&pictures.batch())).expect("logits");
        Some(vec![NamedTensor { name: "logits".to_owned(), shape: vec![values.len()], values }])
    };
    let (Some(folded), Some(unfolded)) = (logits(true), logits(false)) else { return };
    assert_same(&folded, &unfolded, "cabs");
    let session = host_session(&model, &options(&model, SAMPLES));
    let recording = session.recording(graph::Phase::Evaluate).expect("an evaluation");
    assert!(recording.dispatches.iter().all(|d| d.kernel.name() != "threshold_pack"));
}

fn scaled(name: &str, size: u32, widths: [u32; 3], gradient_scale: GradientScale) -> Model {
    by(model(name, size, bits(widths)), &Method { gradient_scale, ..PLAIN })
}

#[test]
fn a_step_with_another_gradient_scale_equals_the_reference() {
    // 40 samples fill a segment of 32 and a part of the next one.
    for (scale, samples) in [(GradientScale::Pow2, 5), (GradientScale::Batch, 5), (GradientScale::Batch, 40)]
    {
        let model = scaled("digits", 8, [1, 2, 4], scale);
        let Some(kernels) = checked_kernels(&model, samples) else { return };
        assert_eq!(kernels.iter().filter(|kernel| *kernel == "gradient_scales").count(), 2, "{scale:?}");
    }
    let Some(_) = checked_kernels(&scaled("svhn-d", 32, [2, 3, 3], GradientScale::Batch), 6) else { return };
}

#[test]
fn a_scale_per_sample_gives_the_gradient_of_f32_but_for_its_noise() {
    let gradient = |model: &Model| {
        let pictures = Pictures::new(model, 40, 11);
        let mut session = gpu_session(model, &options(model, 40))?;
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        Some(values(&block_on(session.gradients()).expect("gradients"), "conv2.weight"))
    };
    let Some(exact) = gradient(&model("digits", 8, bits([2, 2, 32]))) else { return };
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut apart = Vec::new();
    for scale in [GradientScale::Sample, GradientScale::Pow2] {
        let Some(found) = gradient(&scaled("digits", 8, [2, 2, 8], scale)) else { return };
        let difference: Vec<f64> = found.iter().zip(&exact).map(|(a, b)| a - b).collect();
        apart.push(norm(&difference) / norm(&exact));
        assert!(norm(&difference) < 0.12 * norm(&exact), "{scale:?}: {apart:?}");
    }
    // A coarser scale adds more noise.
    assert!(apart[0] > 0.0 && apart[0] < apart[1], "{apart:?}");
}

#[test]
fn with_one_scale_for_the_batch_small_maps_are_bit_products() {
    let notes = |scale: GradientScale, samples: u32| {
        let model = scaled("svhn-d", 32, [1, 2, 4], scale);
        let session = host_session(&model, &options(&model, samples));
        let last = session.products().iter().find(|n| n.layer == "conv6" && n.pass == "grad_weight");
        last.expect("a product").clone()
    };
    for (scale, samples, bit) in [
        (GradientScale::Sample, 32, false),
        (GradientScale::Batch, 8, false),
        (GradientScale::Batch, 32, true),
    ] {
        let note = notes(scale, samples);
        assert_eq!(is_bit_product(note.kernel), bit, "{note:?}");
        assert_eq!(note.reason.is_none(), bit, "{note:?}");
    }
    let (key, _) = notes(GradientScale::Batch, 40).tactic.expect("a product of planes");
    assert_eq!((key.k, key.segments), (32, 2), "the positions of 32 samples are one segment");
}

fn low_bit(name: &str, size: u32, widths: [u32; 3], gradient_scale: GradientScale) -> Model {
    let bits = bits(widths);
    by(model(name, size, bits), &Method { gradient_scale, first: Some(bits), last: Some(bits), ..PLAIN })
}

#[test]
fn low_bit_first_and_last_layers_equal_the_reference() {
    for (name, size, widths, scale) in [
        ("digits", 8, [1, 2, 4], GradientScale::Sample),
        ("svhn-d", 32, [2, 3, 3], GradientScale::Batch),
        ("resnet20", 16, [1, 2, 4], GradientScale::Sample),
    ] {
        let model = low_bit(name, size, widths, scale);
        let Some(kernels) = checked_kernels(&model, 3) else { return };
        assert!(
            kernels.iter().all(|kernel| !kernel.starts_with("conv2d_forward")),
            "{name}: no product is left in f32"
        );
    }
}

#[test]
fn low_bit_first_and_last_layers_are_bit_products_with_the_parameters_of_the_float_ones() {
    let session = |model: &Model| host_session(model, &options(model, 32));
    for (name, size, last) in [("svhn-d", 32, "fc1"), ("digits", 8, "fc1"), ("resnet20", 16, "fc1")] {
        let (plain, low) =
            (model(name, size, bits([1, 2, 4])), low_bit(name, size, [1, 2, 4], GradientScale::Batch));
        assert_eq!(plain.network.parameters(), low.network.parameters(), "{name}");
        let (first_values, low_values) = (session(&plain), session(&low));
        let [mut a, mut b] = [first_values, low_values];
        assert_same(
            &block_on(b.state()).expect("state"),
            &block_on(a.state()).expect("state"),
            "the first values",
        );
        let pairs = |layer: &str, pass: &str| {
            let note = b.products().iter().find(|note| note.layer == layer && note.pass == pass)?;
            Some((is_bit_product(note.kernel), note.plane_pairs))
        };
        assert_eq!(pairs("conv0", "forward"), Some((true, 8)), "{name}: 8 planes of pixels, 1 of weights");
        assert_eq!(pairs("conv0", "grad_weight"), Some((true, 32)), "{name}");
        assert_eq!(pairs("conv0", "grad_input"), None, "{name}: pixels receive no gradient");
        assert_eq!(pairs(last, "forward"), Some((true, 2)), "{name}");
        assert_eq!(pairs(last, "grad_input"), Some((true, 4)), "{name}");
        assert_eq!(pairs(last, "grad_weight"), Some((true, 8)), "{name}");
    }
}

#[test]
fn planes_of_pixels_are_the_pictures() {
    let logits = |model: &Model, fold: bool| {
        let pictures = Pictures::new(model, SAMPLES, 5);
        let mut session = gpu_session(model, &SessionOptions { fold, ..options(model, SAMPLES) })?;
        train(&mut session, &pictures.batch(), 0, 1);
        block_on(session.freeze()).expect("freeze");
        Some(block_on(session.logits(&pictures.batch())).expect("logits"))
    };
    // Weights in f32 and a gradient of 8 bits: the first layer unpacks its planes again.
    let first = Some(bits([32, 32, 8]));
    let widths = [32, 32, 32];
    let planes = by(model("digits", 8, bits(widths)), &Method { first, ..PLAIN });
    let pictures = Pictures::new(&planes, SAMPLES, 5);
    let loss = |model: &Model| {
        let mut session = gpu_session(model, &options(model, SAMPLES))?;
        Some(block_on(session.forward(&pictures.batch(), 0)).map(|()| session).expect("forward"))
    };
    let (Some(mut planes), Some(mut plain)) = (loss(&planes), loss(&model("digits", 8, bits(widths)))) else {
        return;
    };
    for session in [&mut planes, &mut plain] {
        block_on(session.backward()).expect("backward");
        block_on(session.apply(1e-3)).expect("apply");
    }
    let [planes, plain] = [&mut planes, &mut plain].map(|s| block_on(s.report()).expect("a report").loss);
    assert!((planes - plain).abs() <= 1e-5 * plain.abs(), "{planes}, not {plain}");

    // Deployed with thresholds behind the first layer, and its bias in them.
    let model = low_bit("svhn-d", 32, [1, 2, 4], GradientScale::Sample);
    let (Some(folded), Some(unfolded)) = (logits(&model, true), logits(&model, false)) else { return };
    let apart = deviation(&folded, &unfolded);
    assert!(apart <= 0.02 * largest(&unfolded), "{apart} of {}", largest(&unfolded));
    let session = host_session(&model, &options(&model, SAMPLES));
    let recording = session.recording(graph::Phase::Evaluate).expect("an evaluation");
    let thresholds = recording.dispatches.iter().filter(|d| d.kernel.name() == "threshold_pack").count();
    assert_eq!(thresholds, 7, "behind every convolution");
}
