//! Gradients in full precision are the slopes of the loss, also where a tensor has several consumers.

use bitplane::models::Model;
use gpu::Gpu;
use graph::{
    Geometry, InputSpec, NamedTensor, Network, NetworkBuilder, Padding, Session, Shape,
    layers::{Conv2d, Linear},
};
use pollster::block_on;
use tests::{Pictures, bits, gpu_session, options};

const SAMPLES: u32 = 6;

/// `conv0`'s output has two consumers, `join`'s has three, of which one is the sum itself.
fn network() -> Network {
    let full = bits([32, 32, 32]);
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 2));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 6, geometry: same, bias: true }).expect("fits");
    let a = net.quantized_conv2d("conv_a", x, 6, same, full).expect("fits");
    let a = net.batch_norm("bn_a", a).expect("fits");
    let b = net.quantized_conv2d("conv_b", x, 6, Geometry::square(1, 1, Padding::Valid), full).expect("fits");
    let join = net.sum("join", a, b).expect("fits");
    let c = net.activation("relu", join, 32).expect("fits");
    let c = net.quantized_conv2d("conv_c", c, 6, same, full).expect("fits");
    let twice = net.sum("twice", join, join).expect("fits");
    let c = net.sum("sum", c, twice).expect("fits");
    let c = net.max_pool("pool", c, Geometry::square(2, 2, Padding::Same)).expect("fits");
    let c = net.batch_norm("bn_c", c).expect("fits");
    let d = net.global_avg_pool("mean", c).expect("fits");
    let d = net.linear("fc0", d, Linear { outputs: 5, weight_decay: 0.0 }).expect("fits");
    let c = net.linear("fc1", c, Linear { outputs: 5, weight_decay: 0.0 }).expect("fits");
    net.sum("scores", c, d).expect("fits");
    net.build().expect("builds")
}

fn model() -> Model {
    let input = InputSpec {
        source_height: 8,
        source_width: 8,
        channels: 2,
        resize_height: 8,
        resize_width: 8,
        out_height: 8,
        out_width: 8,
    };
    Model { network: network(), input }
}

/// The loss with `direction` times `step` added to one tensor.
fn loss_at(
    session: &mut Session<Gpu>,
    pictures: &Pictures,
    (state, at): (&[NamedTensor], usize),
    direction: &[f64],
    step: f64,
) -> f64 {
    let mut moved = state.to_vec();
    for (value, along) in moved[at].values.iter_mut().zip(direction) {
        *value = (f64::from(*value) + step * along) as f32;
    }
    session.load_state(&moved).expect("its own state");
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    f64::from(block_on(session.report()).expect("a report").loss)
}

fn unit(mut direction: Vec<f64>) -> Vec<f64> {
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    direction.iter_mut().for_each(|x| *x /= length.max(f64::MIN_POSITIVE));
    direction
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let model = model();
    let mut pictures = Pictures::new(&model, SAMPLES, 50);
    pictures.labels.iter_mut().for_each(|label| *label %= 5);
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    // Away from the initial ones and zeros, at which some gradients vanish.
    let mut random = kernels::Random::new(51);
    let mut state = block_on(session.state()).expect("state");
    for tensor in state.iter_mut().filter(|t| !t.name.contains("moment")) {
        tensor.values.iter_mut().for_each(|value| *value += 0.2 * (random.unit() - 0.5));
    }
    session.load_state(&state).expect("its own state");
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    let gradients = block_on(session.gradients()).expect("gradients");
    assert_eq!(gradients.len(), 2 + 3 + 2 + 2 + 2 + 2, "weights, biases, gammas and betas");
    for gradient in &gradients {
        let at = state.iter().position(|tensor| tensor.name == gradient.name).expect("a parameter");
        let values: Vec<f64> = gradient.values.iter().map(|value| f64::from(*value)).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let steepest = unit(values.clone());
        let random_direction = unit(values.iter().map(|_| f64::from(random.unit()) - 0.5).collect());
        let largest = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
        let largest = largest.expect("a parameter has values");
        let axis = (0..values.len()).map(|i| f64::from(u8::from(i == largest))).collect();
        for (name, direction) in [("steepest", steepest), ("random", random_direction), ("axis", axis)] {
            let step = 1e-3;
            let mut loss = |step| loss_at(&mut session, &pictures, (&state, at), &direction, step);
            let slope = (loss(step) - loss(-step)) / (2.0 * step);
            let want: f64 = values.iter().zip(&direction).map(|(g, d)| g * d).sum();
            // Rounding of two losses in f32, kinks of ReLU and pool, curvature.
            let bound = 2e-3 + 0.003 * norm;
            println!("{} {name}: slope {slope:.5}, gradient {want:.5}, bound {bound:.5}", gradient.name);
            assert!((slope - want).abs() <= bound, "{} {name}: {slope} is not {want}", gradient.name);
        }
        assert!(norm > 0.05, "{}: a gradient of {norm} shows nothing", gradient.name);
    }
}
