//! Batch norm, pool and quantization as one kernel a pass give what they give one by one.

use bitplane::models::Model;
use graph::{
    Geometry, InputSpec, NamedTensor, Network, NetworkBuilder, Padding, Phase, Session, SessionOptions,
    Shape,
    layers::{Conv2d, Linear},
    plan_memory,
};
use pollster::block_on;
use recording::{Executor, HostExecutor};
use tests::{Pictures, assert_same, bits, deviation, gpu_session, host_session, largest, model, options};

const SAMPLES: u32 = 36;
/// Of the largest gradient of a tensor: sums over a batch in f32, in another order.
const BOUND: f64 = 1e-5;

struct Outcome {
    loss: u32,
    gradients: Vec<NamedTensor>,
    state: Vec<NamedTensor>,
}

/// Loss and gradients of the first of two steps, and the state behind them.
fn outcome(model: &Model, options: &SessionOptions, fuse: bool) -> Option<Outcome> {
    let mut session = gpu_session(model, &SessionOptions { fuse, ..options.clone() })?;
    assert_eq!(kernels_of(&session).contains(&"normalize_quantize"), fuse);
    let pictures = Pictures::new(model, options.batch_size, 21);
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    let gradients = block_on(session.gradients()).expect("gradients");
    block_on(session.apply(1e-3)).expect("apply");
    let loss = block_on(session.report()).expect("a report").loss.to_bits();
    block_on(session.step(&pictures.batch(), 1, 1e-3)).expect("a step");
    Some(Outcome { loss, gradients, state: block_on(session.state()).expect("state") })
}

/// Kernels of a training step, in order.
fn kernels_of<E: Executor>(session: &Session<E>) -> Vec<&'static str> {
    let recordings = [Phase::Forward, Phase::Backward].into_iter().filter_map(|p| session.recording(p));
    recordings.flat_map(|r| r.dispatches.iter().map(|d| d.kernel.name())).collect()
}

fn same_bits(model: &Model, options: &SessionOptions, what: &str) {
    let Some(fused) = outcome(model, options, true) else { return };
    let Some(single) = outcome(model, options, false) else { return };
    assert_eq!(fused.loss, single.loss, "{what}");
    assert_same(&fused.gradients, &single.gradients, what);
    assert_same(&fused.state, &single.state, what);
}

#[test]
fn without_a_pool_every_bit_is_the_same() {
    for (name, size, widths) in
        [("digits", 8, [1, 2, 4]), ("digits", 8, [2, 3, 32]), ("resnet20", 16, [1, 1, 2])]
    {
        let model = model(name, size, bits(widths));
        same_bits(&model, &options(&model, SAMPLES), &format!("{name} {widths:?}"));
    }
}

#[test]
fn frozen_statistics_give_the_same_bits() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let options = SessionOptions { frozen_batch_norm: true, ..options(&model, SAMPLES) };
    same_bits(&model, &options, "frozen");
}

/// The sums for beta and gamma behind a pool run over its windows, not over its pixels, so their order differs; what
/// lies before the first of them does not.
#[test]
fn with_pools_the_loss_is_the_same_and_gradients_differ_by_the_order_of_sums() {
    let model = model("svhn-d", 32, bits([1, 2, 32]));
    let options = options(&model, SAMPLES);
    let Some(fused) = outcome(&model, &options, true) else { return };
    let Some(single) = outcome(&model, &options, false) else { return };
    assert_eq!(fused.loss, single.loss, "codes are the same");
    for (fused, single) in fused.gradients.iter().zip(&single.gradients) {
        let (apart, scale) = (deviation(&fused.values, &single.values), largest(&single.values));
        assert!(scale > 0.0 && apart <= BOUND * scale, "{}: {apart:e} of {scale:e}", fused.name);
    }
    let behind =
        |tensor: &&NamedTensor| ["bn3", "conv4", "conv6", "fc1"].iter().any(|l| tensor.name.starts_with(l));
    let [fused, single] =
        [&fused, &single].map(|outcome| outcome.gradients.iter().filter(behind).cloned().collect::<Vec<_>>());
    assert!(!fused.is_empty());
    assert_same(&fused, &single, "behind the pool");
}

/// A normalized value with two consumers, and pools whose windows overlap or are no squares, stay layers of their own.
fn network() -> Network {
    let widths = bits([1, 2, 4]);
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 1));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 6, geometry: same, bias: false }).expect("fits");
    let shared = net.batch_norm("bn0", x).expect("fits");
    let x = net.activation("act0", shared, widths.activation).expect("fits");
    let x = net.quantized_conv2d("conv1", x, 6, same, widths).expect("fits");
    let x = net.sum("sum", x, shared).expect("fits");
    let x = net.batch_norm("bn1", x).expect("fits");
    let x = net.max_pool("overlap", x, Geometry::square(3, 2, Padding::Same)).expect("fits");
    let x = net.activation("act1", x, widths.activation).expect("fits");
    let x = net.quantized_conv2d("conv2", x, 6, same, widths).expect("fits");
    let x = net.batch_norm("bn2", x).expect("fits");
    let x = net.activation("act2", x, widths.activation).expect("fits");
    let x = net.quantized_conv2d("conv3", x, 6, same, widths).expect("fits");
    let x = net.global_avg_pool("mean", x).expect("fits");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fits");
    net.build().expect("builds")
}

#[test]
fn only_chains_without_other_consumers_are_fused() {
    let input = InputSpec {
        source_height: 8,
        source_width: 8,
        channels: 1,
        resize_height: 8,
        resize_width: 8,
        out_height: 8,
        out_width: 8,
    };
    let model = Model { network: network(), input };
    let options = options(&model, SAMPLES);
    let kernels = kernels_of(&host_session(&model, &options));
    let count = |name: &str| kernels.iter().filter(|kernel| **kernel == name).count();
    assert_eq!(count("normalize_quantize"), 1, "act2");
    assert_eq!(count("quantize_activation"), 2, "act0 and act1");
    assert_eq!(count("batch_norm_forward"), 2, "bn0 and bn1");
    same_bits(&model, &options, "some layers fused");
}

#[test]
fn the_gradient_quantizer_reads_no_gradient_whose_maxima_are_known() {
    let model = model("svhn-d", 32, bits([1, 2, 4]));
    let read = |fuse: bool| {
        let session = host_session(&model, &SessionOptions { fuse, ..options(&model, 32) });
        let backward = session.recording(Phase::Backward).expect("a backward pass");
        let reductions = backward.dispatches.iter().filter(|d| d.kernel.name() == "reduce");
        reductions.map(|d| d.kernel.lens()[0]).sum::<u64>()
    };
    assert!(read(true) * 10 < read(false), "{} of {} words", read(true), read(false));
}

/// Kept for the backward pass are f32 outputs of convolutions once, and bits.
#[test]
fn a_step_at_few_bits_takes_less_memory() {
    let bytes = |widths: [u32; 3], fuse: bool| {
        let model = model("svhn-a", 32, bits(widths));
        let options = SessionOptions { fuse, ..options(&model, 128) };
        plan_memory(HostExecutor::new().limits(), &model.network, &options).expect("a plan")
    };
    let (fused, single, full) = (bytes([1, 2, 4], true), bytes([1, 2, 4], false), bytes([32, 32, 32], true));
    println!("{fused} bytes fused, {single} one by one, {full} in f32");
    assert!(fused * 10 <= 7 * full && fused * 10 <= 8 * single, "{fused} of {single}, {full} in f32");
}
