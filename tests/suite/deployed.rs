//! The deployed form: integer thresholds in place of batch norm, pool, clip and quantization.

use bitplane::models::Model;
use gpu::Gpu;
use graph::{
    Geometry, NamedTensor, NetworkBuilder, Padding, Phase, Session, SessionOptions, Shape,
    layers::{Conv2d, Linear},
};
use pollster::block_on;
use recording::{BufferSlice, Dispatch, Executor, Recording};
use reference::{bits::unpack, quantize::levels};
use tests::{
    Pictures, SMALL_ALEXNET, bits, classes_of, deviation, gpu_session, host_session, largest, model, options,
    reduced, train,
};

/// State after `steps` steps, with every third gamma negative and every seventh zero.
pub(crate) fn state_with_odd_gammas(
    model: &Model,
    pictures: &Pictures,
    steps: u32,
) -> Option<Vec<NamedTensor>> {
    let samples = pictures.labels.len() as u32;
    let mut session = gpu_session(model, &options(model, samples))?;
    train(&mut session, &pictures.batch(), 0, steps);
    let mut state = block_on(session.state()).expect("state");
    for gamma in state.iter_mut().filter(|tensor| tensor.name.ends_with(".gamma")) {
        for (channel, value) in gamma.values.iter_mut().enumerate() {
            match channel {
                _ if channel % 7 == 3 => *value = 0.0,
                _ if channel % 3 == 1 => *value = -*value,
                _ => {}
            }
        }
    }
    for bias in state.iter_mut().filter(|tensor| tensor.name == "fc0.bias") {
        bias.values
            .iter_mut()
            .zip(0..)
            .for_each(|(value, channel)| *value = 0.9 - 0.2 * (channel % 9) as f32);
    }
    for beta in state.iter_mut().filter(|tensor| tensor.name.ends_with(".beta")) {
        beta.values.iter_mut().zip(0..).for_each(|(value, channel)| *value += 0.13 * (channel % 8) as f32);
    }
    Some(state)
}

fn read<E: Executor>(session: &mut Session<E>, slice: BufferSlice) -> Vec<u32> {
    block_on(session.executor_mut().read(slice.buffer, slice.offset, slice.words)).expect("reads")
}

pub(crate) fn run_one<E: Executor>(session: &mut Session<E>, dispatch: &Dispatch) {
    let recording = Recording { dispatches: vec![dispatch.clone()] };
    let executor = session.executor_mut();
    let prepared = executor.prepare(&recording).expect("prepares");
    block_on(executor.run(&prepared)).expect("runs");
}

/// Uploads a batch and returns the dispatches of its evaluation.
pub(crate) fn evaluation<E: Executor>(session: &mut Session<E>, pictures: &Pictures) -> Vec<Dispatch> {
    block_on(session.freeze()).expect("freezes");
    block_on(session.logits(&pictures.batch())).expect("evaluates");
    session.recording(Phase::Evaluate).expect("an evaluation").dispatches.clone()
}

fn constant(dispatch: &Dispatch, name: &str) -> u32 {
    let values = [dispatch.kernel.constants(), dispatch.kernel.template()].concat();
    values.iter().find(|c| c.name == name).expect("the kernel has it").value
}

fn param(dispatch: &Dispatch, name: &str) -> u32 {
    dispatch.kernel.params().iter().find(|p| p.name == name).expect("the kernel has it").word
}

/// The codes `[row][channel]` that a dispatch packed, and the number of channels.
pub(crate) fn codes<E: Executor>(session: &mut Session<E>, dispatch: &Dispatch) -> (Vec<u32>, usize) {
    let count = if dispatch.kernel.name() == "quantize_weight" { "k" } else { "channels" };
    let channels = param(dispatch, count) as usize;
    let width = constant(dispatch, "BITS");
    let slice = dispatch.outputs().next().expect("a packing kernel writes");
    let rows = slice.words as usize / (width as usize * kernels::words_for(channels as u32) as usize);
    (unpack(&read(session, slice), rows, channels, width), channels)
}

/// Every threshold kernel, on the device and on the reference, gives the same codes from the same state.
fn codes_equal_the_reference(name: &str, size: u32, widths: [u32; 3], samples: u32) {
    model_equals_the_reference(name, &model(name, size, bits(widths)), samples);
}

fn model_equals_the_reference(name: &str, model: &Model, samples: u32) {
    let pictures = Pictures::new(model, samples, 21);
    let Some(state) = state_with_odd_gammas(model, &pictures, 3) else { return };
    let options = options(model, samples);
    let Some(mut device) = gpu_session(model, &options) else { return };
    let mut host = host_session(model, &options);
    device.load_state(&state).expect("its own state");
    host.load_state(&state).expect("its own state");
    let (on_device, on_host) = (evaluation(&mut device, &pictures), evaluation(&mut host, &pictures));
    let mut layers = 0;
    for (ours, theirs) in on_device.iter().zip(&on_host) {
        run_one(&mut device, ours);
        run_one(&mut host, theirs);
        let output = ours.outputs().next().expect("every kernel writes");
        match ours.kernel.name() {
            // The first layer is in f32, so a code may lie on either side of a boundary; from here on all is integer.
            "quantize_activation" | "normalize_quantize" => {
                let (ours, theirs) = (codes(&mut device, ours).0, codes(&mut host, theirs).0);
                let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
                assert!(differing * 10_000 <= ours.len(), "{name}: {differing} of {} codes", ours.len());
                let words = read(&mut device, output);
                host.executor_mut().write(output.buffer, output.offset, &words).expect("writes");
            }
            "threshold_pack" => {
                let layer = &ours.scope.layer;
                assert_eq!(
                    read(&mut device, ours.buffers[1]),
                    read(&mut host, theirs.buffers[1]),
                    "{layer}: thresholds"
                );
                let (codes, channels) = codes(&mut device, ours);
                assert_eq!(read(&mut device, output), read(&mut host, output), "{layer}: packed codes");
                assert_codes_vary(&codes, channels, layer);
                layers += 1;
            }
            _ => {}
        }
    }
    let quantized = model.network.summary().iter().filter(|l| l.kind == "quantized_conv2d").count();
    assert_eq!(layers, quantized - 1, "{name}: every inner activation has thresholds");
    let last = on_device.last().expect("the loss").buffers[0];
    let [ours, theirs] = [read(&mut device, last), read(&mut host, last)]
        .map(|words| words.into_iter().map(f32::from_bits).collect::<Vec<f32>>());
    assert!(deviation(&ours, &theirs) <= 1e-5 * largest(&theirs), "{name}: class scores");
}

/// Codes of a channel whose gamma is zero are constant; most others take several values, some of them with a negative
/// gamma.
fn assert_codes_vary(codes: &[u32], channels: usize, layer: &str) {
    let varies = |channel: usize| {
        let of_channel = || codes.iter().skip(channel).step_by(channels);
        of_channel().any(|code| code != of_channel().next().expect("a code"))
    };
    let count = |kind: fn(usize) -> bool| (0..channels).filter(|c| kind(*c) && varies(*c)).count();
    assert_eq!(count(|channel| channel % 7 == 3), 0, "{layer}: gamma is 0");
    let negative = count(|channel| channel % 7 != 3 && channel % 3 == 1);
    let positive = count(|channel| channel % 7 != 3 && channel % 3 != 1);
    assert!(negative >= 1 && positive >= 2, "{layer}: {negative} and {positive} of {channels} channels vary");
}

#[test]
fn digits_codes_1_2_4() {
    codes_equal_the_reference("digits", 8, [1, 2, 4], 6);
}

#[test]
fn digits_codes_2_3_6() {
    codes_equal_the_reference("digits", 8, [2, 3, 6], 6);
}

#[test]
fn svhn_d_codes_1_2_4() {
    codes_equal_the_reference("svhn-d", 32, [1, 2, 4], 2);
}

#[test]
fn alexnet_codes_1_2_6_with_groups_and_a_bias() {
    let model = reduced("alexnet", SMALL_ALEXNET, bits([1, 2, 6]));
    model_equals_the_reference("alexnet", &model, 4);
}

/// Codes of all inner activations, packed by `kernel`, in the order of layers.
fn activations(session: &mut Session<Gpu>, pictures: &Pictures, kernels: &[&str]) -> Vec<(String, Vec<u32>)> {
    let mut result = Vec::new();
    for dispatch in evaluation(session, pictures) {
        run_one(session, &dispatch);
        if kernels.contains(&dispatch.kernel.name()) {
            result.push((dispatch.scope.layer.clone(), codes(session, &dispatch).0));
        }
    }
    result
}

#[test]
fn thresholds_give_the_codes_of_the_f32_chain() {
    for (name, size, widths) in [
        ("digits", 8, [1, 2, 4]),
        ("digits", 8, [2, 4, 4]),
        ("svhn-d", 32, [1, 2, 4]),
        ("alexnet", 99, [1, 2, 6]),
    ] {
        let model = match name {
            "alexnet" => reduced(name, SMALL_ALEXNET, bits(widths)),
            _ => model(name, size, bits(widths)),
        };
        let pictures = Pictures::new(&model, 12, 22);
        let Some(state) = state_with_odd_gammas(&model, &pictures, 3) else { return };
        let mut sides = Vec::new();
        let in_f32 = ["quantize_activation", "normalize_quantize"];
        for (fold, kernels) in [(true, &["threshold_pack"][..]), (false, &in_f32)] {
            let Some(mut session) = gpu_session(&model, &SessionOptions { fold, ..options(&model, 12) })
            else {
                return;
            };
            session.load_state(&state).expect("its own state");
            sides.push(activations(&mut session, &pictures, kernels));
        }
        let (folded, chain) = (&sides[0], &sides[1][1..]);
        assert_eq!(folded.len(), chain.len(), "{name}: the first activation has no thresholds");
        for ((layer, folded), (other, chain)) in folded.iter().zip(chain) {
            assert_eq!(layer, other);
            let differing = folded.iter().zip(chain).filter(|(a, b)| a != b).count();
            println!("{name} {widths:?} {layer}: {differing} of {} codes differ", folded.len());
            assert!(differing * 1000 <= folded.len(), "{name} {layer}: {differing} of {}", folded.len());
            let top = folded.iter().filter(|code| **code == levels(widths[1])).count();
            assert!(top > 0 && top < folded.len(), "{name} {layer}: the largest code occurs, and others");
        }
    }
}

#[test]
fn folded_and_unfolded_evaluation_predict_the_same_classes() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let data = data::digits::load();
    let Some(mut session) = gpu_session(&model, &options(&model, 50)) else { return };
    for step in 0..60u32 {
        let first = 50 * (step as usize % 30);
        let pixels = &data.train.pixels[first * 64..(first + 50) * 64];
        let batch = graph::Batch { pixels, labels: &data.train.labels[first..first + 50], transforms: &[] };
        block_on(session.step(&batch, step, 3e-3)).expect("a step");
    }
    let state = block_on(session.state()).expect("state");
    let test = Pictures { pixels: data.test.pixels, labels: data.test.labels };
    let samples = test.labels.len();
    let mut sides = Vec::new();
    for fold in [true, false] {
        let options = SessionOptions { fold, ..options(&model, samples as u32) };
        let Some(mut session) = gpu_session(&model, &options) else { return };
        session.load_state(&state).expect("its own state");
        block_on(session.freeze()).expect("freezes");
        let evaluation = block_on(session.evaluate(&test.batch())).expect("evaluates");
        sides.push((block_on(session.logits(&test.batch())).expect("evaluates"), evaluation));
    }
    let (folded, unfolded) = (&sides[0], &sides[1]);
    let (a, b) = (classes_of(&folded.0, 10), classes_of(&unfolded.0, 10));
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    let off = deviation(&folded.0, &unfolded.0) / largest(&unfolded.0);
    println!("{same} of {samples} classes agree, scores off by {off:.1e} of the largest");
    assert!(same * 100 >= samples * 99);
    let right =
        |classes: &[usize]| classes.iter().zip(&test.labels).filter(|(a, b)| **a == **b as usize).count();
    assert_eq!(folded.1.top1 as usize, right(&a), "hits are those of the scores");
    assert!(right(&a) * 2 > samples, "{} of {samples} are right: the network has learned", right(&a));
}

/// A pool before a batch norm is a maximum of accumulators, which a negative gamma would turn into a minimum of codes.
#[test]
fn a_pool_before_batch_norm_is_not_folded_into_the_wrong_extreme() {
    let widths = bits([2, 2, 4]);
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 1));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net
        .conv2d("conv0", net.input(), Conv2d { out_channels: 8, geometry: same, bias: true })
        .expect("conv0");
    let x = net.activation("act0", x, widths.activation).expect("act0");
    let x = net.quantized_conv2d("conv1", x, 16, same, widths).expect("conv1");
    let x = net.max_pool("pool1", x, Geometry::square(2, 2, Padding::Same)).expect("pool1");
    let x = net.batch_norm("bn1", x).expect("bn1");
    let x = net.activation("act1", x, widths.activation).expect("act1");
    let x = net.quantized_conv2d("conv2", x, 8, same, widths).expect("conv2");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
    let input = model("digits", 8, widths).input;
    let model = Model { network: net.build().expect("a network"), input };
    let pictures = Pictures::new(&model, 6, 5);
    let Some(state) = state_with_odd_gammas(&model, &pictures, 2) else { return };
    let scores = |fold: bool| {
        let options = SessionOptions { fold, ..options(&model, 6) };
        let mut session = gpu_session(&model, &options).expect("an adapter");
        session.load_state(&state).expect("its own state");
        block_on(session.freeze()).expect("freezes");
        block_on(session.logits(&pictures.batch())).expect("evaluates")
    };
    let (folded, unfolded) = (scores(true), scores(false));
    assert!(deviation(&folded, &unfolded) <= 1e-4 * largest(&unfolded), "{}", deviation(&folded, &unfolded));
}
