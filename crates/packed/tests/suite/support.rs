//! A small network with every operation.

use std::collections::BTreeMap;

use packed::manifest::{
    BitConvolution, CodeGroup, Codes, Convolution, DivideBy, Form, IMAGE, Layer, Manifest, Mask, Narrower,
    Operation, Picture, Planes, Preprocessing, Provenance, Quantize, Rounding, Rule, WeightGroup, Window,
};
use packed::{File, Tensor};

/// Numbers that look random, the same every time.
pub struct Noise(pub u64);

impl Noise {
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.word() >> 20) % bound
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

pub fn window(kernel: u32, stride: u32, padding: [u32; 4]) -> Window {
    Window { kernel: [kernel, kernel], stride, padding }
}

/// Layers with their tensors, one behind the other.
pub struct Draft {
    pub layers: Vec<Layer>,
    pub tensors: BTreeMap<String, Tensor>,
    pub noise: Noise,
}

impl Draft {
    pub fn new(seed: u64) -> Self {
        Self { layers: Vec::new(), tensors: BTreeMap::new(), noise: Noise(seed) }
    }

    pub fn add(&mut self, name: &str, inputs: &[&str], operation: Operation) {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        self.layers.push(Layer { name: name.to_owned(), inputs, operation });
    }

    pub fn tensor(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// `rows` times `count` random bits.
    fn random_bits(&mut self, rows: u32, count: u64) -> Vec<u8> {
        let mut bits = self.noise.bytes(rows as usize * count.div_ceil(8) as usize);
        if !count.is_multiple_of(8) {
            let size = bits.len() / rows as usize;
            bits.chunks_exact_mut(size).for_each(|row| row[size - 1] &= (1 << (count % 8)) - 1);
        }
        bits
    }

    /// A convolution with random planes.
    pub fn bits(&mut self, name: &str, input: &str, conv: BitConvolution, inner: u32) {
        let fan_in = conv.window.taps() * u64::from(inner);
        let weights = u64::from(conv.channels) * fan_in;
        let mut conv = conv;
        if conv.weights.is_empty() {
            let planes = self.random_bits(conv.weight_bits, weights);
            self.tensor(&format!("{name}.planes"), Tensor::U8(planes));
            self.tensor(&format!("{name}.scale"), Tensor::F32(vec![0.5]));
        }
        let (apart, channels, all) = (conv.apart, conv.channels, conv.weights.len());
        for (at, group) in conv.weights.iter_mut().enumerate() {
            let mut reached = weights;
            if let Some(mask) = &mut group.mask {
                let runs = fan_in.div_ceil(u64::from(mask.run));
                let bits = match apart {
                    // Every channel belongs to one group.
                    true => {
                        let own = (0..channels as usize).filter(|channel| channel % all == at);
                        vec![own.fold(0, |bits, channel| bits | 1 << channel)]
                    }
                    false => self.random_bits(1, u64::from(channels) * runs),
                };
                let kept = |weight: &u64| {
                    let place = weight / fan_in * runs + weight % fan_in / u64::from(mask.run);
                    bits[place as usize / 8] >> (place % 8) & 1 == 1
                };
                reached = (0..weights).filter(kept).count() as u64;
                mask.weights = reached;
                self.tensor(&format!("{name}.mask.{at}"), Tensor::U8(bits));
            }
            let planes = self.random_bits(group.planes, reached);
            self.tensor(&format!("{name}.planes.{at}"), Tensor::U8(planes));
            if group.scales > 0 {
                let scales = self.noise.floats(group.scales as usize);
                self.tensor(&format!("{name}.scale.{at}"), Tensor::F32(scales));
            }
        }
        self.add(name, &[input], Operation::BitConvolution(conv));
    }

    /// Comparisons with thresholds around zero, every third channel descending.
    pub fn threshold(&mut self, name: &str, input: &str, (bits, channels): (u32, u32), pool: Option<Window>) {
        let n = (1 << bits) - 1;
        let ascending: Vec<u8> = (0..channels).map(|channel| u8::from(channel % 3 != 1)).collect();
        let thresholds = (0..n).flat_map(|code| {
            let threshold = move |up: &u8| (code * 5 - 3 * n / 2) * if *up == 1 { 1 } else { -1 };
            ascending.iter().map(threshold).collect::<Vec<i32>>()
        });
        self.tensor(&format!("{name}.thresholds"), Tensor::I32(thresholds.collect()));
        self.tensor(&format!("{name}.ascending"), Tensor::U8(ascending));
        self.add(name, &[input], Operation::Threshold { bits, pool, codes: None });
    }

    pub fn manifest(&self, image: [u32; 3], input: [u32; 2], classes: usize) -> Manifest {
        let mut manifest = Manifest {
            format: 1,
            image: Picture { height: image[0], width: image[1], channels: image[2] },
            preprocessing: Preprocessing {
                resize: input,
                crop: input,
                subtract: [0.0; 3],
                divide_by: DivideBy::All(255),
            },
            classes: (0..classes).map(|class| format!("class \"{class}\" é")).collect(),
            layers: self.layers.clone(),
            narrower: Vec::new(),
            provenance: Provenance {
                program: "test".into(),
                model: "test".into(),
                bits: [2, 3, 32],
                seed: 1,
                data: "none".into(),
                settings_sha256: "ab".into(),
                epoch: 1,
                step: 2,
            },
        };
        manifest.format = manifest.needed_format();
        manifest
    }
}

/// One group of planes whose values are those of the first version of the format.
pub fn plain(channels: u32, groups: u32, weight_bits: u32, window: Window) -> BitConvolution {
    BitConvolution { channels, groups, weight_bits, window, weights: Vec::new(), apart: false }
}

/// Planes in groups with a factor each.
pub fn grouped(channels: u32, window: Window, weights: Vec<WeightGroup>) -> BitConvolution {
    let weight_bits = weights.iter().map(|group| group.planes).sum();
    BitConvolution { channels, groups: 1, weight_bits, window, weights, apart: false }
}

pub fn weights(planes: u32, factor: f32, scales: u32, run: Option<u32>) -> WeightGroup {
    WeightGroup { planes, factor, scales, mask: run.map(|run| Mask { run, weights: 0 }) }
}

pub fn codes(planes: Planes, groups: &[(u32, u32, f32)]) -> Option<Codes> {
    let group = |&(first, planes, factor): &(u32, u32, f32)| CodeGroup { first, planes, factor };
    Some(Codes { planes, groups: groups.iter().map(group).collect(), apart: false })
}

/// A network of pictures 7x6x3, resized to 9x8, with every operation.
pub fn draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(88_172_645_463_325_252);
    let weight = draft.noise.floats(10 * 3 * 3 * 3);
    draft.tensor("conv0.weight", Tensor::F32(weight));
    let bias = draft.noise.floats(10);
    draft.tensor("conv0.bias", Tensor::F32(bias));
    let conv =
        Convolution { channels: 10, groups: 1, bias: true, window: window(3, 1, [1, 1, 1, 1]), outside: 0.0 };
    draft.add("conv0", &[IMAGE], Operation::Convolution(conv));
    let mut rows = draft.noise.floats(4 * 10);
    rows[30..].iter_mut().for_each(|variance| *variance = variance.abs());
    draft.tensor("bn0.normalization", Tensor::F32(rows));
    draft.add("bn0", &["conv0"], Operation::BatchNormalization { epsilon: 1e-3 });
    draft.add("pool0", &["bn0"], Operation::MaxPool(window(2, 2, [0, 1, 0, 0])));
    draft.add("act0", &["pool0"], Operation::Quantize(Quantize::plain(3)));
    draft.bits("conv1", "act0", plain(6, 2, 2, window(3, 1, [1, 1, 1, 1])), 5);
    draft.threshold("act1", "conv1", (2, 6), Some(window(3, 2, [1, 1, 1, 0])));
    draft.bits("conv2", "act1", plain(5, 1, 1, window(3, 1, [1, 1, 1, 1])), 6);
    draft.add("conv2.rescale", &["conv2"], Operation::Rescale);
    draft.bits("shortcut", "act1", plain(5, 1, 3, window(1, 1, [0; 4])), 6);
    draft.add("shortcut.rescale", &["shortcut"], Operation::Rescale);
    draft.add("sum", &["conv2.rescale", "shortcut.rescale"], Operation::Add);
    draft.add("clip", &["sum"], Operation::Clip);
    draft.add("codes", &["act1"], Operation::Dequantize);
    float(&mut draft, "pointwise", "codes", pointwise(5), 6);
    draft.add("relu", &["pointwise"], Operation::Relu);
    draft.add("sum2", &["clip", "relu"], Operation::Add);
    draft.add("average", &["sum2"], Operation::AveragePool(window(2, 1, [1, 0, 0, 1])));
    draft.add("scale", &["average"], Operation::Scale { factor: 1.5 });
    draft.add("mean", &["scale"], Operation::GlobalAveragePool);
    let weight = draft.noise.floats(4 * 5);
    draft.tensor("fc.weight", Tensor::F32(weight));
    let bias = draft.noise.floats(4);
    draft.tensor("fc.bias", Tensor::F32(bias));
    let conv = Convolution { channels: 4, groups: 1, bias: true, window: window(1, 1, [0; 4]), outside: 0.0 };
    draft.add("fc", &["mean"], Operation::Convolution(conv));
    (draft.manifest([7, 6, 3], [9, 8], 4), draft.tensors)
}

/// A network with every operation and field of the second version of the format.
pub fn second_draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(271_828_182_845_904_523);
    let rule = |form, inverse, factor, rounding, drop| Some(Rule { form, inverse, factor, rounding, drop });
    let same = window(3, 1, [1, 1, 1, 1]);
    let pixels = Quantize::plain(8);
    draft.add("pixels", &[IMAGE], Operation::Quantize(pixels));
    let per_channel = weights(2, 0.25, 9, None);
    draft.bits("conv0", "pixels", grouped(9, same, vec![per_channel]), 3);
    let bias = draft.noise.floats(9);
    draft.add("values0", &["conv0"], Operation::Rescale);
    draft.tensor("bias0.bias", Tensor::F32(bias));
    draft.add("bias0", &["values0"], Operation::Bias);
    draft.add("magnitude", &["bias0"], Operation::Magnitude);
    let cut = Quantize {
        bits: 3,
        rule: rule(Form::Magnitude, 1.3, 7.9, Rounding::Down, 0),
        codes: codes(Planes::Unit, &[(1, 2, 0.3), (0, 1, 0.07)]),
    };
    draft.add("act0", &["magnitude"], Operation::Quantize(cut));
    let two = vec![weights(1, 0.6, 3, None), weights(2, 0.2, 0, Some(7)), weights(1, 0.1, 1, Some(27))];
    draft.bits("conv1", "act0", grouped(6, same, two), 9);
    let sign = Quantize {
        bits: 1,
        rule: rule(Form::Sign, 1.0, 1.0, Rounding::Even, 0),
        codes: codes(Planes::Sign, &[(0, 1, 1.0)]),
    };
    draft.add("signs", &["conv1"], Operation::Quantize(sign));
    draft.add("back", &["signs"], Operation::Dequantize);
    draft.bits("conv2", "signs", grouped(6, same, vec![weights(1, 0.5, 6, Some(1))]), 6);
    draft.threshold("act2", "conv2", (2, 6), None);
    let Operation::Threshold { codes: of, .. } = &mut draft.layers.last_mut().expect("a layer").operation
    else {
        panic!("act2")
    };
    *of = codes(Planes::Sign, &[(0, 2, 0.4)]);
    draft.bits(
        "conv3",
        "act2",
        grouped(6, same, vec![weights(3, 0.125, 0, None), weights(1, 0.5, 0, None)]),
        6,
    );
    draft.bits(
        "conv4",
        "back",
        grouped(6, same, vec![weights(2, 0.25, 2, None), weights(1, 0.1, 0, Some(6))]),
        6,
    );
    let factors = draft.noise.floats(3);
    draft.tensor("sum.factors", Tensor::F32(factors));
    draft.add("sum", &["conv3", "conv4", "back"], Operation::WeightedSum);
    let shifted = Quantize { bits: 2, rule: rule(Form::Clip, 0.5, 15.0, Rounding::HalfUp, 2), codes: None };
    draft.add("act4", &["sum"], Operation::Quantize(shifted));
    draft.add("codes4", &["act4"], Operation::Dequantize);
    let rule = rule(Form::ClipByChannel, 1.0, 15.0, Rounding::Even, 0);
    draft.tensor("act5.bits", Tensor::U8(vec![1, 2, 4, 4, 2, 1]));
    draft.add("act5", &["codes4"], Operation::Quantize(Quantize { bits: 4, rule, codes: None }));
    draft.add("codes5", &["act5"], Operation::Dequantize);
    draft.add("mean", &["codes5"], Operation::GlobalAveragePool);
    float(&mut draft, "fc", "mean", pointwise(4), 6);
    (draft.manifest([6, 5, 3], [6, 5], 4), draft.tensors)
}

/// A convolution in f32 with weights of noise.
fn float(draft: &mut Draft, name: &str, input: &str, conv: Convolution, inner: u32) {
    let count = u64::from(conv.channels * inner) * conv.window.taps();
    let weight = draft.noise.floats(count as usize);
    draft.tensor(&format!("{name}.weight"), Tensor::F32(weight));
    draft.add(name, &[input], Operation::Convolution(conv));
}

fn pointwise(channels: u32) -> Convolution {
    Convolution { channels, groups: 1, bias: false, window: window(1, 1, [0; 4]), outside: 0.0 }
}

/// A network with every operation and field of the third version of the format.
pub fn third_draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(577_215_664_901_532_861);
    let (same, half) = (window(3, 1, [1, 1, 1, 1]), window(3, 2, [1, 1, 1, 1]));
    // Channels in fours and by themselves, each more than a pile takes.
    float(&mut draft, "conv0", IMAGE, pointwise(1100), 2);
    draft.add("magnitude0", &["conv0"], Operation::ChannelMagnitude);
    draft.add("factors0", &["magnitude0"], Operation::WindowMean(same));
    draft.add("scaled", &["conv0", "factors0"], Operation::ScalePositions);
    let bordered = Convolution { channels: 258, groups: 2, bias: false, window: same, outside: 0.25 };
    float(&mut draft, "conv1", IMAGE, bordered, 1);
    draft.add("magnitude1", &["conv1"], Operation::ChannelMagnitude);
    draft.add("factors1", &["magnitude1"], Operation::WindowMean(half));
    draft.add("clip", &["scaled"], Operation::ClipTo { limit: 0.8 });
    float(&mut draft, "narrow", "clip", pointwise(9), 1100);
    let sign = Quantize {
        bits: 1,
        rule: Some(Rule { form: Form::Sign, inverse: 1.0, factor: 1.0, rounding: Rounding::Even, drop: 0 }),
        codes: codes(Planes::Sign, &[(0, 1, 0.7)]),
    };
    draft.add("signs", &["narrow"], Operation::Quantize(sign));
    let several = vec![weights(1, 0.6, 6, None), weights(2, 0.2, 0, Some(9))];
    draft.bits("bits0", "signs", grouped(6, half, several), 9);
    draft.layers.last_mut().expect("a layer").inputs.push("factors1".into());
    draft.bits("bits1", "signs", plain(6, 1, 2, half), 9);
    draft.layers.last_mut().expect("a layer").inputs.push("factors1".into());
    draft.add("magnitude2", &["bits0"], Operation::MagnitudeTo { limit: 0.5 });
    draft.add("sum", &["magnitude2", "bits1"], Operation::Add);
    let apart = vec![weights(3, 0.5, 1, Some(81)), weights(1, 0.25, 2, Some(81))];
    draft.bits("bits2", "signs", BitConvolution { apart: true, ..grouped(6, half, apart) }, 9);
    draft.add("values2", &["bits2"], Operation::Rescale);
    draft.add("sum2", &["sum", "values2"], Operation::Add);
    draft.add("mean", &["sum2"], Operation::GlobalAveragePool);
    float(&mut draft, "fc", "mean", pointwise(4), 6);
    (draft.manifest([6, 5, 2], [6, 5], 4), draft.tensors)
}

/// A network with groups of codes apart, read by convolutions with and without groups of channels and as values.
pub fn fourth_draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(141_421_356_237_309_504);
    let same = window(3, 1, [1, 1, 1, 1]);
    float(&mut draft, "conv0", IMAGE, Convolution { window: same, ..pointwise(70) }, 2);
    let mut apart =
        |name: &str, input: &str, (rounding, factor): (Rounding, f32), groups: &[(u32, u32, f32)]| {
            let rule = Rule { form: Form::Clip, inverse: 1.0, factor, rounding, drop: 0 };
            let rule = Some(rule).filter(|rule| rule.rounding != Rounding::Even);
            let of = Codes { apart: true, ..codes(Planes::Unit, groups).expect("codes") };
            let bits = groups.iter().map(|group| group.1).max().expect("groups");
            draft.tensor(
                &format!("{name}.groups"),
                Tensor::U8((0..70usize).map(|channel| (channel * 5 / 7 % groups.len()) as u8).collect()),
            );
            draft.add(name, &[input], Operation::Quantize(Quantize { bits, rule, codes: Some(of) }));
        };
    apart("nested", "conv0", (Rounding::Down, 32.0), &[(0, 2, 1.0 / 3.0), (0, 5, 1.0 / 31.0), (0, 1, 1.0)]);
    apart("even", "conv0", (Rounding::Even, 7.0), &[(0, 3, 1.0 / 7.0), (0, 1, 0.9)]);
    let two = vec![weights(2, 0.25, 6, None), weights(1, 0.1, 0, Some(9))];
    draft.bits("conv1", "nested", grouped(6, same, two), 70);
    let parts = BitConvolution { groups: 2, ..grouped(6, same, vec![weights(3, 0.125, 0, None)]) };
    draft.bits("conv2", "even", parts, 35);
    draft.add("values", &["nested"], Operation::Dequantize);
    draft.bits("conv3", "values", grouped(6, window(1, 1, [0; 4]), vec![weights(1, 0.5, 0, None)]), 70);
    draft.add("sum", &["conv1", "conv2"], Operation::Add);
    draft.add("sum2", &["sum", "conv3"], Operation::Add);
    draft.add("mean", &["sum2"], Operation::GlobalAveragePool);
    float(&mut draft, "fc", "mean", pointwise(4), 6);
    (draft.manifest([6, 5, 2], [6, 5], 4), draft.tensors)
}

/// A network of 3-bit weights that shares its planes with networks of 2 and 1 bits.
pub fn nested_draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(314_159_265_358_979);
    let layers = |draft: &mut Draft, bits: u32| {
        let rule = Rule {
            form: Form::Clip,
            inverse: 1.0,
            factor: (1 << bits) as f32,
            rounding: Rounding::Down,
            drop: 0,
        };
        let quantize = Quantize { bits, rule: Some(rule), codes: None };
        draft.add("act0", &[IMAGE], Operation::Quantize(quantize));
        let factor = 1.0 / (1 << bits) as f32;
        let conv = grouped(5, window(3, 1, [1, 1, 1, 1]), vec![weights(bits, factor, 1, None)]);
        draft.bits("conv1", "act0", conv, 3);
        draft.threshold("act1", "conv1", (bits, 5), None);
        let conv = grouped(4, window(4, 1, [0; 4]), vec![weights(bits, factor, 1, None)]);
        draft.bits("conv2", "act1", conv, 5);
        draft.add("scores", &["conv2"], Operation::Rescale);
    };
    layers(&mut draft, 3);
    let mut manifest = draft.manifest([4, 4, 3], [4, 4], 4);
    manifest.provenance.bits = [3, 3, 32];
    let mut tensors = draft.tensors;
    for bits in [2, 1] {
        let mut other = Draft::new(u64::from(bits) + 5);
        layers(&mut other, bits);
        for name in ["act1.thresholds", "act1.ascending", "conv2.scale.0"] {
            let own = other.tensors.remove(name).expect("its own tensor");
            tensors.insert(format!("{name}@{bits},{bits}"), own);
        }
        manifest.narrower.push(Narrower { bits: [bits, bits], layers: other.layers });
    }
    manifest.format = manifest.needed_format();
    (manifest, tensors)
}

pub fn sample() -> File {
    let (manifest, tensors) = draft();
    File::new(manifest, tensors).expect("a network")
}
