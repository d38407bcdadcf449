//! Updates over several steps are the optimizer's formula, with the corrections that the host computes per step.

use std::collections::BTreeMap;

use bitplane::models::Model;
use graph::{
    EpsilonForm, Geometry, InputSpec, NamedTensor, NetworkBuilder, Optimizer, Padding, Phase, SessionOptions,
    Shape,
    layers::{Conv2d, Linear},
};
use pollster::block_on;
use reference::optimizer::{Adam, adam, sgd_nesterov};
use tests::{Pictures, bits, gpu_session, host_session, options};

const SAMPLES: u32 = 5;
/// Decay of the linear layer's weights, beside the optimizer's.
const LAYER_DECAY: f32 = 0.5;
const RATES: [f64; 4] = [1e-2, 3e-3, 2e-2, 1e-3];

fn model() -> Model {
    let mut net = NetworkBuilder::new(Shape::new(6, 6, 1));
    let valid = Geometry::square(3, 1, Padding::Valid);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 7, geometry: valid, bias: true }).expect("fits");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: LAYER_DECAY }).expect("fits");
    let input = InputSpec {
        source_height: 6,
        source_width: 6,
        channels: 1,
        resize_height: 6,
        resize_width: 6,
        out_height: 6,
        out_width: 6,
    };
    Model { network: net.build().expect("builds"), input }
}

type Tensors = BTreeMap<String, Vec<f64>>;

fn by_name(tensors: Vec<NamedTensor>) -> Tensors {
    let wide = |tensor: NamedTensor| (tensor.name, tensor.values.into_iter().map(f64::from).collect());
    tensors.into_iter().map(wide).collect()
}

/// The state after one update in f64.
fn updated(optimizer: &Optimizer, before: &Tensors, gradients: &Tensors, t: u32, rate: f64) -> Tensors {
    let mut state = before.clone();
    for (name, gradient) in gradients {
        let mut take = |suffix: &str| state.remove(&format!("{name}{suffix}")).expect("a saved tensor");
        let extra = if name == "fc1.weight" { f64::from(LAYER_DECAY) } else { 0.0 };
        let mut weight = take("");
        match *optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                let mut velocity = take(".velocity");
                let decay = f64::from(weight_decay) + extra;
                sgd_nesterov(
                    &mut weight,
                    gradient,
                    &mut velocity,
                    rate,
                    f64::from(momentum),
                    decay,
                    nesterov,
                );
                state.insert(format!("{name}.velocity"), velocity);
            }
            Optimizer::Adam { beta1, beta2, epsilon, form, weight_decay } => {
                let (mut first, mut second) = (take(".first_moment"), take(".second_moment"));
                let settings = Adam {
                    learning_rate: rate,
                    beta1: f64::from(beta1),
                    beta2: f64::from(beta2),
                    epsilon: f64::from(epsilon),
                    weight_decay: f64::from(weight_decay) + extra,
                    form,
                };
                adam(&settings, &mut weight, gradient, &mut first, &mut second, t);
                state.insert(format!("{name}.first_moment"), first);
                state.insert(format!("{name}.second_moment"), second);
            }
        }
        state.insert(name.clone(), weight);
    }
    state
}

fn updates_follow(optimizer: Optimizer) {
    let model = model();
    let options = SessionOptions { optimizer, ..options(&model, SAMPLES) };
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let pictures = Pictures::new(&model, SAMPLES, 70);
    for (step, rate) in (0..).zip(RATES) {
        let before = by_name(block_on(session.state()).expect("state"));
        block_on(session.forward(&pictures.batch(), step)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = by_name(block_on(session.gradients()).expect("gradients"));
        assert_eq!(gradients.len(), 4);
        block_on(session.apply(rate)).expect("apply");
        block_on(session.report()).expect("a report");
        let after = by_name(block_on(session.state()).expect("state"));
        for (name, want) in updated(&optimizer, &before, &gradients, step + 1, rate) {
            // Gradient and decay may cancel, so the scale is that of the tensor.
            let scale = want.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
            for ((got, want), old) in after[&name].iter().zip(&want).zip(&before[&name]) {
                let bound = 4e-7 * scale + 3e-6 * (want - old).abs();
                assert!((got - want).abs() <= bound, "step {step} {name}: {got:e} is not {want:e}");
            }
            assert_ne!(after[&name], before[&name], "step {step}: {name} stays");
        }
    }
}

fn adam_of(form: EpsilonForm, weight_decay: f32) -> Optimizer {
    Optimizer::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, form, weight_decay }
}

#[test]
fn adam_with_epsilon_on_the_corrected_root() {
    updates_follow(adam_of(EpsilonForm::Corrected, 0.0));
}

#[test]
fn adam_with_epsilon_on_the_raw_root() {
    updates_follow(adam_of(EpsilonForm::Uncorrected, 0.1));
}

#[test]
fn sgd_with_and_without_nesterov() {
    updates_follow(Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1 });
    updates_follow(Optimizer::Sgd { momentum: 0.5, nesterov: false, weight_decay: 0.0 });
}

#[test]
fn one_dispatch_updates_all_parameters_and_few_search_them() {
    for (widths, most) in [([1, 2, 4], 8), ([32, 32, 32], 20)] {
        let model = tests::model("svhn-d", 32, bits(widths));
        let session = host_session(&model, &options(&model, 8));
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for phase in [Phase::Forward, Phase::Backward, Phase::Apply] {
            for dispatch in &session.recording(phase).expect("recorded").dispatches {
                *counts.entry(dispatch.kernel.name()).or_default() += 1;
            }
        }
        let searches: u32 =
            counts.iter().filter(|(name, _)| name.starts_with("check_finite")).map(|(_, n)| n).sum();
        println!("{widths:?}: {} updates, {searches} searches", counts["adam"]);
        assert_eq!(counts["adam"], 1, "{widths:?}");
        assert!(searches <= most, "{widths:?}: {searches}");
    }
}
