//! Codes of several widths on the device: the upper bits of the widest are the code of fewer.

use gpu::Gpu;
use kernels::{ActivationForm, QuantizeActivation, QuantizeWeight, Rounding, WeightRule};
use recording::{BufferSlice, Dispatch, Executor, Kernel, Recording, Scope};
use reference::nested::NestedForm;
use reference::quantize::{levels, prefix};
use tests::open_gpu;

/// What `kernel` writes to its last binding.
fn outputs(gpu: &mut Gpu, kernel: impl Kernel + 'static, inputs: &[&[u32]]) -> Vec<u32> {
    let mut buffers = Vec::new();
    for (at, words) in kernel.lens().iter().enumerate() {
        let buffer = gpu.allocate("operand", *words).expect("small");
        inputs.get(at).map_or(Ok(()), |input| gpu.write(buffer, 0, input)).expect("written");
        buffers.push(BufferSlice::whole(buffer, *words));
    }
    let scope = Scope::default();
    let dispatch = Dispatch { kernel: std::sync::Arc::new(kernel), buffers: buffers.clone(), scope };
    let prepared = gpu.prepare(&Recording { dispatches: vec![dispatch] }).expect("prepared");
    pollster::block_on(async {
        gpu.run(&prepared).await.expect("run");
        let last = buffers.last().expect("an output");
        gpu.read(last.buffer, 0, last.words).await.expect("read")
    })
}

/// Every place where a code may change, its neighbors, the ends, and places between them.
fn places() -> Vec<f32> {
    let mut places = vec![-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, f32::INFINITY];
    for bits in 1..=8 {
        let n = levels(bits) as f32;
        for code in 0..=levels(bits) {
            for x in [code as f32 / (n + 1.0), (code as f32 + 0.5) / n] {
                places.extend([x, x.next_down(), x.next_up()]);
            }
        }
    }
    places.extend((0..500).map(|element| reference::random::uniform(3, 0, 1, 0, element) as f32));
    places
}

#[test]
fn upper_planes_of_activations_are_the_codes_of_fewer_bits() {
    let Some(mut gpu) = open_gpu() else { return };
    let words: Vec<u32> = places().iter().map(|x| x.to_bits()).collect();
    let len = words.len();
    let mut codes = |bits: u32, rounding: Rounding| {
        let channels = u32::try_from(len).expect("few");
        let form = ActivationForm::Clip;
        let planes = outputs(
            &mut gpu,
            QuantizeActivation { rows: 1, channels, bits, form, rounding, range: 1.0 },
            &[&words],
        );
        reference::bits::unpack(&planes, 1, len, bits)
    };
    for form in [NestedForm::MidRise, NestedForm::Shift] {
        for widest in 1..=8 {
            let whole = codes(widest, form.rounding(widest));
            for bits in 1..=widest {
                let upper: Vec<u32> = whole.iter().map(|code| prefix(*code, widest, bits)).collect();
                assert_eq!(upper, codes(bits, form.rounding(widest)), "{form:?} {widest} to {bits} bits");
            }
        }
    }
}

#[test]
fn upper_planes_of_weights_are_the_codes_of_fewer_bits() {
    let Some(mut gpu) = open_gpu() else { return };
    // The largest tangent is that of the first two, so that the others lie at the places above and their mirror images.
    let largest = 1f32.tanh();
    let mut weights = vec![1.0, -1.0, 0.0, -0.0];
    weights.extend(places().iter().filter(|x| x.abs() <= 1.0).map(|x| ((2.0 * x - 1.0) * largest).atanh()));
    let words: Vec<u32> = weights.iter().map(|w| w.to_bits()).collect();
    let (len, max) = (words.len(), [largest.to_bits()]);
    let mut codes = |bits: u32| {
        let shape = [1, 1, u32::try_from(len).expect("few")];
        let kernel = QuantizeWeight::by_output(shape, bits, WeightRule::TanhMidRise);
        reference::bits::unpack(&outputs(&mut gpu, kernel, &[&words, &max]), 1, len, bits)
    };
    let all: Vec<Vec<u32>> = (1..=8).map(&mut codes).collect();
    for (widest, whole) in (1..).zip(&all) {
        let middle = 1 << (widest - 1);
        assert_eq!(&whole[..4], [levels(widest), 0, middle, middle]);
        for (bits, fewer) in (1..=widest).zip(&all) {
            let upper: Vec<u32> = whole.iter().map(|code| prefix(*code, widest, bits)).collect();
            assert_eq!(&upper, fewer, "{widest} to {bits} bits");
        }
    }
}
