//! Networks made of bases: one step dispatch by dispatch, the gradients of their scales, and what the bases share.

use std::collections::BTreeMap;

use bitplane::models::{self, Model, ModelInput};
use graph::{BaseScales, Method, NamedTensor, NestedForm, Phase, Shortcut, Structure};
use pollster::block_on;
use recording::Executor;
use tests::{Pictures, bits, deviation, gpu_session, host_session, largest, model, options, plant, reduced};

use crate::group_net_quantizers;
use crate::method::{by, checked_kernels};
use crate::steps::model_equals_reference;

pub(crate) fn structure(text: &str, bases: u32) -> Structure {
    let partition = text.parse().expect("a structure");
    Structure { partition, bases, scales: BaseScales::Learned, shortcut: Shortcut::Shared, soft: false }
}

/// A model of few bits for small pictures, rebuilt from bases.
pub(crate) fn built(name: &str, size: u32, widths: [u32; 3], structure: &Structure) -> Model {
    model(name, size, bits(widths)).structured(Some(structure)).expect("the structure fits")
}

#[test]
fn a_step_of_one_block_a_group() {
    let widths = [1, 2, 4];
    model_equals_reference("resnet8 v1", &built("resnet8", 12, widths, &structure("v1", 3)), widths);
}

#[test]
fn a_step_of_several_blocks_a_group() {
    let own = Structure { shortcut: Shortcut::Own, scales: BaseScales::Average, ..structure("1,2", 2) };
    model_equals_reference("resnet8 1,2", &built("resnet8", 12, [1, 4, 32], &own), [1, 4, 32]);
}

#[test]
fn a_step_with_soft_connections() {
    let (widths, soft) = ([1, 2, 4], Structure { soft: true, ..structure("v3", 2) });
    model_equals_reference("resnet8 v3 soft", &built("resnet8", 12, widths, &soft), widths);
}

#[test]
fn a_step_layer_by_layer() {
    let widths = [1, 1, 4];
    model_equals_reference("resnet8", &built("resnet8", 12, widths, &structure("layer-wise", 5)), widths);
}

/// A sixteenth of the widths, at which the last stage has one pixel.
#[test]
fn a_step_of_bottlenecks() {
    let widths = [1, 2, 4];
    let plain = reduced("resnet50", models::Size { side: 32, divisor: 16 }, bits(widths));
    let rebuilt = plain.structured(Some(&structure("v1", 2))).expect("the structure fits");
    let Some(kernels) = checked_kernels(&rebuilt, 2) else { return };
    let count = |name: &str| kernels.iter().filter(|kernel| *kernel == name).count();
    assert_eq!(count("weighted_sum"), 16 * 3, "sums of 16 blocks, and the gradients of two bases of each");
}

#[test]
fn a_step_of_pairs_of_layers() {
    let widths = [1, 2, 4];
    model_equals_reference("digits", &built("digits", 8, widths, &structure("v1", 2)), widths);
}

/// The loss of a forward pass with one value of a parameter changed.
fn loss_with<E: Executor>(
    session: &mut graph::Session<E>,
    pictures: &Pictures,
    (name, at, value): (&str, i64, f32),
) -> f64 {
    plant(session, name, at, value);
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    f64::from(block_on(session.report()).expect("a report").loss)
}

#[test]
fn scales_and_ratios_have_the_gradient_of_the_loss() {
    for (name, text, count) in [("digits", "v1", 1), ("digits", "layer-wise", 2), ("resnet8", "v3", 3)] {
        let soft = name == "resnet8";
        let model = built(name, 8, [32, 32, 32], &Structure { soft, ..structure(text, 2) });
        let pictures = Pictures::new(&model, 3, 5);
        let Some(mut session) = gpu_session(&model, &options(&model, 3)) else { return };
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = block_on(session.gradients()).expect("gradients");
        let scales: Vec<&NamedTensor> =
            gradients.iter().filter(|g| g.name.ends_with(".lambda") || g.name.ends_with(".theta")).collect();
        assert_eq!(scales.len(), count);
        for NamedTensor { name, values, .. } in scales {
            for (at, gradient) in values.iter().enumerate() {
                let (start, step) = (0.5, 1.0 / 512.0);
                let mut loss = |value: f32| loss_with(&mut session, &pictures, (name, at as i64, value));
                let slope = (loss(start + step) - loss(start - step)) / (2.0 * f64::from(step));
                loss(start);
                let apart = (slope - f64::from(*gradient)).abs();
                // Between the two measured values some inputs pass the kinks of ReLU and maximum pool.
                assert!(
                    apart < 0.15 * slope.abs() + 5e-3,
                    "{text} {name} {at}: {gradient}, measured {slope}"
                );
            }
        }
    }
}

/// Bases of equal weights have equal outputs, so that their gradients are as their scales.
#[test]
fn the_gradient_of_a_base_goes_by_its_own_scale() {
    for (name, text) in [("digits", "v1"), ("resnet8", "v1")] {
        let model = built(name, 8, [32, 32, 32], &structure(text, 2));
        let pictures = Pictures::new(&model, 3, 5);
        let Some(mut session) = gpu_session(&model, &options(&model, 3)) else { return };
        let mut state = block_on(session.state()).expect("state");
        let first: BTreeMap<String, Vec<f32>> =
            state.iter().map(|tensor| (tensor.name.clone(), tensor.values.clone())).collect();
        for NamedTensor { name, values, .. } in &mut state {
            if name.ends_with(".lambda") {
                assert_eq!(*values, [0.5, 0.5], "{name} starts with the mean");
                *values = vec![0.25, 0.75];
            } else if let Some(values_of_first) = first.get(&name.replace(".base1.", ".base0.")) {
                values.clone_from(values_of_first);
            }
        }
        session.load_state(&state).expect("its own state");
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = block_on(session.gradients()).expect("gradients");
        let of = |name: &str| &gradients.iter().find(|gradient| gradient.name == name).expect(name).values;
        let bases = gradients.iter().filter(|g| g.name.contains(".base1.") && g.name.ends_with("weight"));
        let mut compared = 0;
        for NamedTensor { name, values, .. } in bases {
            let wanted: Vec<f32> =
                of(&name.replace(".base1.", ".base0.")).iter().map(|gradient| 3.0 * gradient).collect();
            let (apart, size) = (deviation(values, &wanted), largest(&wanted));
            assert!(size > 0.0 && apart <= 1e-4 * size, "{name}: {apart} of {size}");
            compared += 1;
        }
        assert!(compared >= 2, "{compared} weights");
    }
}

/// Dispatches of one kernel.
fn count<E: Executor>(session: &graph::Session<E>, phase: Phase, kernel: &str) -> usize {
    let dispatches = session.recording(phase).map(|recording| recording.dispatches.as_slice());
    dispatches.unwrap_or_default().iter().filter(|dispatch| dispatch.kernel.name() == kernel).count()
}

#[test]
fn bases_share_one_packed_input() {
    let of = |bases: u32| {
        let model = built("digits", 8, [1, 2, 4], &structure("layer-wise", bases));
        host_session(&model, &options(&model, 64))
    };
    let (one, five) = (of(1), of(5));
    for kernel in ["normalize_quantize", "quantize_activation", "bit_unfold"] {
        let counts = [&one, &five].map(|session| count(session, Phase::Forward, kernel));
        assert_eq!(counts[0], counts[1], "{kernel}");
    }
    assert!(count(&five, Phase::Forward, "bit_unfold") == 2, "one for each convolution");
    // One gradient is quantized, transposed and unfolded for all, and multiplied once with the patches.
    for kernel in ["quantize_gradient", "bit_transpose", "bit_unfold", "bit_unfold_grad"] {
        let counts = [&one, &five].map(|session| count(session, Phase::Backward, kernel));
        assert_eq!(counts[0], counts[1], "{kernel}");
    }
    assert_eq!(count(&five, Phase::Backward, "bit_unfold"), 2);
}

#[test]
fn bases_cost_less_than_as_many_networks() {
    let single = host_session(
        &model("resnet8", 16, bits([1, 2, 4])),
        &options(&model("resnet8", 16, bits([1, 2, 4])), 32),
    );
    let rebuilt = built("resnet8", 16, [1, 2, 4], &structure("v1", 5));
    let bases = host_session(&rebuilt, &options(&rebuilt, 32));
    for phase in [Phase::Forward, Phase::Backward] {
        let of = |session: &graph::Session<_>| session.recording(phase).map_or(0, |r| r.dispatches.len());
        assert!(of(&bases) < 5 * of(&single), "{phase:?}: {} and {}", of(&bases), of(&single));
    }
    assert!(bases.memory_bytes() < 5 * single.memory_bytes());
    assert!(bases.parameter_count() < 5 * single.parameter_count());
}

/// `plain` with the names of the only base of a layer-wise network.
fn renamed(plain: Vec<NamedTensor>, wanted: &BTreeMap<String, Vec<usize>>) -> Vec<NamedTensor> {
    let mut tensors: Vec<NamedTensor> = plain
        .into_iter()
        .map(|tensor| match wanted.contains_key(&tensor.name) {
            true => tensor,
            false => {
                let (layer, rest) = tensor.name.split_once(".weight").expect("a weight of a convolution");
                NamedTensor { name: format!("{layer}.base0.weight{rest}"), ..tensor }
            }
        })
        .collect();
    for (name, shape) in wanted.iter().filter(|(name, _)| name.ends_with(".lambda")) {
        tensors.push(NamedTensor { name: name.clone(), shape: shape.clone(), values: vec![1.0] });
    }
    tensors
}

#[test]
fn one_base_for_each_layer_is_the_plain_network() {
    // Random numbers follow the position of a layer, so that gradients stay in f32 here.
    let plain = model("digits", 8, bits([1, 2, 32]));
    let rebuilt = built("digits", 8, [1, 2, 32], &structure("layer-wise", 1));
    let pictures = Pictures::new(&plain, 20, 9);
    let Some(mut plain_session) = gpu_session(&plain, &options(&plain, 20)) else { return };
    let mut session = gpu_session(&rebuilt, &options(&rebuilt, 20)).expect("an adapter");
    let wanted = rebuilt.network.parameters().into_iter().collect();
    let state = block_on(plain_session.state()).expect("state");
    let weights: Vec<NamedTensor> =
        state.into_iter().filter(|tensor| !tensor.name.ends_with("_moment")).collect();
    session.load_parameters(&renamed(weights, &wanted)).expect("the same parameters");
    let mut results = Vec::new();
    for session in [&mut plain_session, &mut session] {
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = block_on(session.gradients()).expect("gradients");
        results.push(gradients);
    }
    let theirs = results.pop().expect("two");
    let ours = renamed(results.pop().expect("two"), &wanted);
    let theirs: Vec<NamedTensor> = theirs.into_iter().filter(|g| !g.name.ends_with(".lambda")).collect();
    let ours: Vec<NamedTensor> = ours.into_iter().filter(|g| !g.name.ends_with(".lambda")).collect();
    tests::assert_same(&theirs, &ours, "gradients");
    let input = ModelInput { height: 8, width: 8, channels: 1, classes: 10 };
    let bad = models::build("digits", &input, bits([1, 2, 4]))
        .expect("builds")
        .structured(Some(&structure("1,1", 2)));
    assert!(bad.is_err_and(|error| error.to_string().contains("this model has 1")));
}

/// What a weight of one bit stands for, over its layer's scale.
fn signs(weight: &[f32]) -> Vec<f64> {
    weight.iter().map(|w| if *w >= 0.0 { 1.0 } else { -1.0 }).collect()
}

/// A layer of two bases with lambda 1 and 0 is the first base alone, with 0 and 1 the second: it then has the gradients of a
/// layer of one base. Lambda's are the products of the gradient of the quantized weights with what the bases stand for.
#[test]
fn the_gradients_of_a_sum_are_those_of_its_bases() {
    let build = |bases| built("digits", 8, [1, 2, 32], &structure("layer-wise", bases));
    let (one, two) = (build(1), build(2));
    let pictures = Pictures::new(&one, 40, 9);
    let Some(mut alone) = gpu_session(&one, &options(&one, 40)) else { return };
    let mut both = gpu_session(&two, &options(&two, 40)).expect("an adapter");
    let state = block_on(both.state()).expect("state");
    let of = |tensors: &[NamedTensor], name: &str| -> NamedTensor {
        tensors.iter().find(|tensor| tensor.name == name).expect("a tensor of this name").clone()
    };
    let with_lambda = |tensor: &NamedTensor, lambda: &[f32]| match tensor.name.ends_with(".lambda") {
        true => NamedTensor { shape: vec![lambda.len()], values: lambda.to_vec(), ..tensor.clone() },
        false => tensor.clone(),
    };
    for chosen in 0..2 {
        let (own, other) = (format!(".base{chosen}."), format!(".base{}.", 1 - chosen));
        let kept = state.iter().filter(|tensor| !tensor.name.ends_with("_moment"));
        let of_both: Vec<NamedTensor> = match chosen {
            0 => kept.map(|tensor| with_lambda(tensor, &[1.0, 0.0])).collect(),
            _ => kept.map(|tensor| with_lambda(tensor, &[0.0, 1.0])).collect(),
        };
        let of_one = of_both.iter().filter(|tensor| !tensor.name.contains(&other));
        let of_one: Vec<NamedTensor> = of_one
            .map(|tensor| NamedTensor {
                name: tensor.name.replace(&own, ".base0."),
                ..with_lambda(tensor, &[1.0])
            })
            .collect();
        alone.load_parameters(&of_one).expect("those of the base");
        both.load_parameters(&of_both).expect("those of both");
        let mut results = Vec::new();
        for session in [&mut alone, &mut both] {
            block_on(session.forward(&pictures.batch(), 0)).expect("forward");
            block_on(session.backward()).expect("backward");
            results.push(block_on(session.gradients()).expect("gradients"));
        }
        let (both, alone) = (results.pop().expect("two"), results.pop().expect("two"));
        for layer in ["conv1", "conv2"] {
            let gradient = of(&alone, &format!("{layer}.base0.weight")).values;
            assert_eq!(gradient, of(&both, &format!("{layer}{own}weight")).values, "{layer} {chosen}");
            let others = of(&both, &format!("{layer}{other}weight")).values;
            assert!(gradient.iter().any(|g| *g != 0.0) && others.iter().all(|g| *g == 0.0));
            for (base, got) in of(&both, &format!("{layer}.lambda")).values.iter().enumerate() {
                let weight = of(&state, &format!("{layer}.base{base}.weight")).values;
                let alpha = weight.iter().map(|w| f64::from(w.abs())).sum::<f64>() / weight.len() as f64;
                let terms = signs(&weight).into_iter().zip(&gradient).map(|(s, g)| alpha * s * f64::from(*g));
                let (want, size) =
                    terms.fold((0.0, 0.0), |(sum, size): (f64, f64), t| (sum + t, size + t.abs()));
                let apart = (want - f64::from(*got)).abs();
                assert!(apart <= 1e-5 * size, "{layer} lambda {base}: {got}, not {want}");
            }
        }
    }
}

/// Every rule of weights of which the bases of a layer can be one product. Scales of channels cannot where gradients have few bits:
/// every base then draws two sets of codes.
#[test]
fn a_step_of_sums_of_every_rule_equals_the_reference() {
    let rules = |channel_scales, signs| group_net_quantizers::rules(channel_scales, None, signs);
    let nested = Method { nested: Some(NestedForm::MidRise), ..Method::default() };
    let identity = group_net_quantizers::IDENTITY;
    let factors = group_net_quantizers::FACTORS;
    for (method, widths, bases, products) in [
        (Method::default(), [3, 2, 4], 3, 2),
        (Method::default(), [1, 32, 32], 2, 0),
        (nested, [2, 2, 4], 2, 2),
        (rules(true, None), [1, 2, 32], 3, 0),
        (rules(false, identity), [1, 1, 4], 2, 2),
        (rules(true, factors), [1, 1, 4], 2, 2 * 2 * 2),
    ] {
        let model = by(built("digits", 8, widths, &structure("layer-wise", bases)), &method);
        let Some(kernels) = checked_kernels(&model, 3) else { return };
        let gradients = kernels.iter().filter(|kernel| *kernel == "quantize_gradient").count();
        assert_eq!(gradients, products, "{method:?}, {widths:?}");
    }
}
