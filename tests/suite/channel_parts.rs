//! Convolutions in groups, and convolutions whose weights pass a binding: every product equals the reference's convolution of
//! each group on the codes and scales that the session itself drew.

use std::collections::BTreeMap;

use graph::{
    FULL_PRECISION, Geometry, InputSpec, NamedTensor, Network, NetworkBuilder, Padding, Phase, Session,
    SessionOptions, Shape,
    layers::{Conv2d, Linear, QuantizedConv2d},
};
use pollster::block_on;
use recording::{BufferSlice, Dispatch, Executor, HostExecutor, Recording};
use reference::{
    bits::unpack,
    conv,
    quantize::{levels, weights_binary, weights_tanh, weights_tanh_backward},
};
use tests::{Pictures, assert_same, bits, deviation, open_gpu, options_for};

const SAMPLES: u32 = 5;

/// `conv0`, `act0`, the convolution under test, batch norm, an activation and a linear layer.
#[derive(Clone, Copy, Debug)]
struct Subject {
    size: (u32, u32),
    inputs: u32,
    outputs: u32,
    groups: u32,
    geometry: Geometry,
    bias: bool,
    widths: [u32; 3],
    limit: Option<u64>,
}

const PLAIN: Subject = Subject {
    size: (7, 6),
    inputs: 6,
    outputs: 10,
    groups: 2,
    geometry: Geometry { kernel: (3, 3), stride: 1, padding: Padding::Same },
    bias: false,
    widths: [1, 2, 4],
    limit: None,
};

impl Subject {
    fn network(&self) -> Network {
        let widths = bits(self.widths);
        let (height, width) = self.size;
        let mut net = NetworkBuilder::new(Shape::new(height, width, 3));
        let same = Geometry::square(3, 1, Padding::Same);
        let first = Conv2d { out_channels: self.inputs, geometry: same, bias: true };
        let x = net.conv2d("conv0", net.input(), first).expect("conv0");
        let x = net.activation("act0", x, widths.activation).expect("act0");
        let plain = QuantizedConv2d::dorefa(self.outputs, self.geometry, widths);
        let layer = QuantizedConv2d { groups: self.groups, bias: self.bias, ..plain };
        let x = net.quantized_conv2d_with("conv1", x, layer).expect("conv1");
        let x = net.batch_norm("bn1", x).expect("bn1");
        let x = net.rectifier("clip1", x, widths.activation).expect("clip1");
        let x = net.global_avg_pool("pool1", x).expect("pool1");
        net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
        net.build().expect("a network")
    }

    fn input(&self) -> InputSpec {
        let (height, width) = self.size;
        InputSpec {
            source_height: height,
            source_width: width,
            channels: 3,
            resize_height: height,
            resize_width: width,
            out_height: height,
            out_width: width,
        }
    }

    fn options(&self) -> SessionOptions {
        let options = options_for(self.input(), SAMPLES);
        SessionOptions { max_binding_words: self.limit, fuse: false, ..options }
    }

    fn pictures(&self) -> Pictures {
        Pictures::of(&self.input(), SAMPLES, 31)
    }

    /// The convolution of one group, as the reference has it.
    fn group(&self) -> conv::Conv2d {
        let shape = Shape::new(self.size.0, self.size.1, self.inputs);
        let window = self.geometry.window(SAMPLES, shape).expect("fits");
        window.to_reference(self.inputs / self.groups, self.outputs / self.groups)
    }
}

/// A session on the reference whose biases are not zero.
fn host(subject: &Subject) -> (Session<HostExecutor>, Vec<NamedTensor>) {
    let lanes = block_on(gpu::select(None)).ok().and_then(|selected| selected.info.subgroup);
    let executor = HostExecutor::with_subgroup(lanes);
    let mut session = Session::new(executor, &subject.network(), &subject.options()).expect("a session");
    let mut state = block_on(session.state()).expect("state");
    for bias in state.iter_mut().filter(|tensor| tensor.name == "conv1.bias") {
        bias.values.iter_mut().zip(0..).for_each(|(value, at)| *value = 0.37 - 0.11 * (at % 7) as f32);
    }
    session.load_state(&state).expect("its own state");
    (session, state)
}

/// Writes the pixels once more, which share their memory with what the first run computed later.
fn upload_again(session: &mut Session<HostExecutor>, subject: &Subject) {
    let recording = session.recording(Phase::Forward).expect("a forward pass");
    let gather = recording.dispatches.iter().find(|dispatch| dispatch.kernel.name() == "image_gather");
    let source = gather.expect("pictures enter").buffers[0];
    let pictures = subject.pictures();
    let word = |bytes: &[u8]| {
        let mut all = [0; 4];
        all[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(all)
    };
    let words: Vec<u32> = pictures.batch().pixels.chunks(4).map(word).collect();
    session.executor_mut().write(source.buffer, source.offset, &words).expect("writes");
}

/// Runs forward and backward pass again, dispatch by dispatch: what those around `conv1` read and wrote.
fn captured(session: &mut Session<HostExecutor>, subject: &Subject) -> BTreeMap<&'static str, Vec<u32>> {
    upload_again(session, subject);
    let mut found = BTreeMap::new();
    for phase in [Phase::Forward, Phase::Backward] {
        for dispatch in session.recording(phase).cloned().unwrap_or_default().dispatches {
            let named = (dispatch.scope.layer.as_str(), dispatch.kernel.name());
            let mut keep = |session: &mut Session<HostExecutor>, name, slice| {
                found.entry(name).or_insert_with(|| read(session, slice));
            };
            match named {
                ("bn1", "batch_norm_stats") => keep(session, "output", dispatch.buffers[0]),
                ("act0", "clip_backward" | "relu_backward") => {
                    keep(session, "grad_input", dispatch.buffers[1]);
                }
                _ => {}
            }
            run_one(session, &dispatch);
            match named {
                ("act0", "quantize_activation" | "relu_forward") => {
                    keep(session, "input", dispatch.outputs().next().expect("an output"));
                }
                ("bn1", "batch_norm_backward") => {
                    keep(session, "gradient", dispatch.outputs().next().expect("an output"));
                }
                ("conv1", "quantize_gradient") => {
                    keep(session, "scale", dispatch.buffers[1]);
                    keep(session, "codes", dispatch.outputs().next().expect("an output"));
                }
                _ => {}
            }
        }
    }
    found
}

fn read<E: Executor>(session: &mut Session<E>, slice: BufferSlice) -> Vec<u32> {
    block_on(session.executor_mut().read(slice.buffer, slice.offset, slice.words)).expect("reads")
}

fn run_one<E: Executor>(session: &mut Session<E>, dispatch: &Dispatch) {
    let recording = Recording { dispatches: vec![dispatch.clone()] };
    let executor = session.executor_mut();
    let prepared = executor.prepare(&recording).expect("prepares");
    block_on(executor.run(&prepared)).expect("runs");
}

fn floats(words: &[u32]) -> Vec<f64> {
    words.iter().map(|word| f64::from(f32::from_bits(*word))).collect()
}

/// Channels of group `group` of rows of `channels`.
fn of_group(values: &[f64], channels: u32, (group, groups): (u32, u32)) -> Vec<f64> {
    let count = (channels / groups) as usize;
    values.chunks(channels as usize).flat_map(|row| row[group as usize * count..][..count].to_vec()).collect()
}

fn assert_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f64, |max, value| max.max(value.abs()));
    assert!(largest > 0.0, "{what}: all zero");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 2e-5 * largest, "{what} {index}: {got}, not {want}");
    }
}

/// Forward pass and all gradients of `conv1` against the reference's convolution of every group.
fn equals_the_reference(subject: Subject) {
    println!("{subject:?}");
    let [w_bits, a_bits, g_bits] = subject.widths;
    let (mut session, state) = host(&subject);
    block_on(session.forward(&subject.pictures().batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    let captured = captured(&mut session, &subject);
    let gradients = block_on(session.gradients()).expect("gradients");
    let tensor = |tensors: &[NamedTensor], name: &str| -> Vec<f64> {
        let found = tensors.iter().find(|t| t.name == name).expect("a tensor");
        found.values.iter().map(|value| f64::from(*value)).collect()
    };

    let conv = subject.group();
    let (inputs, outputs, groups) = (subject.inputs, subject.outputs, subject.groups);
    let pixels = conv.samples * conv.height * conv.width;
    let positions = conv.samples * conv.positions();
    let codes = |words: &[u32], rows: usize, channels: u32, planes: u32| -> Vec<f64> {
        unpack(words, rows, channels as usize, planes).into_iter().map(f64::from).collect()
    };
    let x: Vec<f64> = if a_bits == FULL_PRECISION {
        floats(&captured["input"])
    } else {
        let n = f64::from(levels(a_bits));
        codes(&captured["input"], pixels, inputs, a_bits).iter().map(|code| code / n).collect()
    };
    let weight = tensor(&state, "conv1.weight");
    let w: Vec<f64> = match w_bits {
        FULL_PRECISION => weight.clone(),
        1 => {
            let binary = weights_binary(&weight);
            binary.codes.iter().map(|code| binary.scale * (2.0 * f64::from(*code) - 1.0)).collect()
        }
        planes => {
            let n = f64::from(levels(planes));
            weights_tanh(&weight, planes).codes.iter().map(|code| (2.0 * f64::from(*code) - n) / n).collect()
        }
    };
    let dy: Vec<f64> = if g_bits == FULL_PRECISION {
        floats(&captured["gradient"])
    } else {
        let (n, scale) = (f64::from(levels(g_bits)), floats(&captured["scale"]));
        let per_sample = conv.positions() * outputs as usize;
        let centered = codes(&captured["codes"], positions, outputs, g_bits);
        centered.iter().enumerate().map(|(at, q)| scale[at / per_sample] * (2.0 * q - n) / n).collect()
    };

    let per_group = conv.weight_len();
    let (mut dw, mut of_output, mut of_input) = (Vec::new(), Vec::new(), Vec::new());
    for group in 0..groups {
        let x = of_group(&x, inputs, (group, groups));
        let dy = of_group(&dy, outputs, (group, groups));
        let w = &w[group as usize * per_group..][..per_group];
        of_output.push(conv.forward(&x, w, None));
        of_input.push(conv.grad_input(&dy, w));
        dw.extend(conv.grad_weight(&dy, &x));
    }
    let bias = subject.bias.then(|| tensor(&state, "conv1.bias"));
    let bias_at = |channel: usize| bias.as_ref().map_or(0.0, |bias| bias[channel]);
    let y = joined(&of_output, outputs, groups);
    let y: Vec<f64> = y.iter().enumerate().map(|(at, y)| y + bias_at(at % outputs as usize)).collect();
    assert_close(&floats(&captured["output"]), &y, "output");
    assert_close(&floats(&captured["grad_input"]), &joined(&of_input, inputs, groups), "grad_input");
    let dw = if (2..=8).contains(&w_bits) { weights_tanh_backward(&weight, &dw, false) } else { dw };
    assert_close(&tensor(&gradients, "conv1.weight"), &dw, "grad_weight");
    if subject.bias {
        let channels = outputs as usize;
        let sums: Vec<f64> =
            (0..channels).map(|channel| dy.iter().skip(channel).step_by(channels).sum()).collect();
        assert_close(&tensor(&gradients, "conv1.bias"), &sums, "grad_bias");
    }
}

/// Rows of all channels from those of the groups.
fn joined(groups: &[Vec<f64>], channels: u32, count: u32) -> Vec<f64> {
    let width = (channels / count) as usize;
    let rows = groups[0].len() / width;
    (0..rows).flat_map(|row| groups.iter().flat_map(move |g| g[row * width..][..width].to_vec())).collect()
}

/// Every dispatch of one step on the device equals the reference.
fn step_equals_reference(subject: Subject) {
    let Some(gpu) = open_gpu() else { return };
    let mut session = Session::new(gpu, &subject.network(), &subject.options()).expect("a session");
    let checks = block_on(session.step_checked(&subject.pictures().batch(), 0, 1e-3, false)).expect("a step");
    for check in &checks {
        assert!(check.comparison.passed(), "{subject:?}: {} {}", check.kernel, check.layer);
    }
}

#[test]
fn groups_at_odd_sizes() {
    let valid = |kernel, stride| Geometry { kernel, stride, padding: Padding::Valid };
    for (groups, inputs, outputs) in [(2, 6, 10), (3, 9, 15), (5, 5, 5)] {
        for widths in [[1, 2, 4], [3, 1, 2], [1, 2, 32], [2, 32, 3], [32, 2, 4], [32, 32, 32]] {
            equals_the_reference(Subject { groups, inputs, outputs, widths, ..PLAIN });
        }
        for geometry in [valid((2, 3), 2), valid((7, 6), 1), valid((1, 1), 1)] {
            equals_the_reference(Subject { groups, inputs, outputs, geometry, ..PLAIN });
        }
    }
}

#[test]
fn groups_that_begin_at_whole_slices() {
    // 64 and 128 channels a group need no copies of results; weights of either group begin at a slice's alignment.
    for widths in [[1, 2, 4], [2, 1, 3], [32, 32, 32]] {
        equals_the_reference(Subject { inputs: 128, outputs: 256, size: (5, 5), widths, ..PLAIN });
    }
}

#[test]
fn groups_on_the_device() {
    for widths in [[1, 2, 4], [2, 3, 6], [32, 32, 32]] {
        step_equals_reference(Subject { groups: 3, inputs: 9, outputs: 15, bias: true, widths, ..PLAIN });
    }
    step_equals_reference(Subject { inputs: 64, outputs: 128, size: (5, 5), ..PLAIN });
}

#[test]
fn a_bias_is_added_and_its_gradient_is_that_of_the_codes() {
    for widths in [[1, 2, 4], [2, 3, 32], [32, 32, 32]] {
        equals_the_reference(Subject { groups: 1, bias: true, widths, ..PLAIN });
        equals_the_reference(Subject { groups: 2, bias: true, widths, ..PLAIN });
    }
}

/// A layer of 32,768 weights where a binding takes 16,384 words.
const LARGE: Subject = Subject {
    size: (8, 8),
    inputs: 8,
    outputs: 64,
    groups: 1,
    geometry: Geometry { kernel: (8, 8), stride: 1, padding: Padding::Valid },
    bias: true,
    widths: [1, 2, 4],
    limit: Some(1 << 14),
};

#[test]
fn weights_larger_than_a_binding_are_used_part_by_part() {
    for widths in [[1, 2, 4], [3, 2, 6], [2, 2, 32], [32, 32, 32]] {
        equals_the_reference(Subject { widths, ..LARGE });
    }
    step_equals_reference(LARGE);
    step_equals_reference(Subject { widths: [2, 3, 6], ..LARGE });
    let mut session =
        Session::new(HostExecutor::new(), &LARGE.network(), &LARGE.options()).expect("a session");
    let dispatches = session.recording(Phase::Apply).expect("an update").dispatches.clone();
    let slices = dispatches.iter().flat_map(|dispatch| &dispatch.buffers);
    assert!(slices.map(|slice| slice.words).max().expect("slices") <= 1 << 14);
    block_on(session.step(&LARGE.pictures().batch(), 0, 1e-3)).expect("a step");
}

#[test]
fn parts_of_the_weights_learn_as_the_whole() {
    let trained = |limit: Option<u64>| {
        let subject = Subject { limit, ..LARGE };
        let (mut session, _) = host(&subject);
        for step in 0..2 {
            block_on(session.step(&subject.pictures().batch(), step, 1e-3)).expect("a step");
        }
        block_on(session.state()).expect("state")
    };
    let (parts, whole) = (trained(LARGE.limit), trained(None));
    for (parts, whole) in parts.iter().zip(&whole).filter(|(tensor, _)| tensor.name == "conv1.weight") {
        // Updates of Adam's first steps are as large as the rate, wherever the gradient is not nearly zero.
        assert!(deviation(&parts.values, &whole.values) <= 4e-3);
        let apart = parts.values.iter().zip(&whole.values).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert!(apart * 100 <= parts.values.len(), "{apart} of {} weights", parts.values.len());
    }
}

#[test]
fn an_unfolded_gradient_larger_than_a_binding_is_cut_by_samples() {
    // Nine taps of 40 channels fill 12 words; in four planes and a mask for each of 64 pixels they are 3,840 words a sample.
    let subject = Subject { size: (8, 8), outputs: 40, groups: 1, ..PLAIN };
    let gradients = |limit: Option<u64>| {
        let subject = Subject { limit, ..subject };
        let (mut session, _) = host(&subject);
        block_on(session.forward(&subject.pictures().batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let unfolded = session.recording(Phase::Backward).expect("a backward pass").dispatches.iter();
        let count = unfolded.filter(|d| d.kernel.name() == "bit_unfold_grad").count();
        (count, block_on(session.gradients()).expect("gradients"))
    };
    let (whole, cut) = (gradients(None), gradients(Some(13_000)));
    assert_eq!(whole.0, 1);
    assert!(cut.0 > 1, "{} parts", cut.0);
    assert_same(&cut.1, &whole.1, "gradients of a step cut by samples");
    step_equals_reference(Subject { limit: Some(13_000), ..subject });
}
