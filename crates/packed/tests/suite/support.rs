//! A small network with every operation.

use std::collections::BTreeMap;

use packed::manifest::{
    BitConvolution, Convolution, DivideBy, FORMAT, IMAGE, Layer, Manifest, Operation, Picture, Preprocessing,
    Provenance, Window,
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

    /// A convolution of codes with random planes.
    pub fn bits(&mut self, name: &str, input: &str, conv: BitConvolution, inner: u32) {
        let weights = u64::from(conv.channels) * conv.window.taps() * u64::from(inner);
        let mut planes = self.noise.bytes(conv.weight_bits as usize * weights.div_ceil(8) as usize);
        if !weights.is_multiple_of(8) {
            let size = planes.len() / conv.weight_bits as usize;
            planes.chunks_exact_mut(size).for_each(|plane| plane[size - 1] &= (1 << (weights % 8)) - 1);
        }
        self.tensor(&format!("{name}.planes"), Tensor::U8(planes));
        self.tensor(&format!("{name}.scale"), Tensor::F32(vec![0.5]));
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
        self.add(name, &[input], Operation::Threshold { bits, pool });
    }

    pub fn manifest(&self, image: [u32; 3], input: [u32; 2], classes: usize) -> Manifest {
        Manifest {
            format: FORMAT,
            image: Picture { height: image[0], width: image[1], channels: image[2] },
            preprocessing: Preprocessing {
                resize: input,
                crop: input,
                subtract: [0.0; 3],
                divide_by: DivideBy::All(255),
            },
            classes: (0..classes).map(|class| format!("class \"{class}\" é")).collect(),
            layers: self.layers.clone(),
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
        }
    }
}

/// A network of pictures 7x6x3, resized to 9x8, with every operation.
pub fn draft() -> (Manifest, BTreeMap<String, Tensor>) {
    let mut draft = Draft::new(88_172_645_463_325_252);
    let weight = draft.noise.floats(10 * 3 * 3 * 3);
    draft.tensor("conv0.weight", Tensor::F32(weight));
    let bias = draft.noise.floats(10);
    draft.tensor("conv0.bias", Tensor::F32(bias));
    let conv = Convolution { channels: 10, groups: 1, bias: true, window: window(3, 1, [1, 1, 1, 1]) };
    draft.add("conv0", &[IMAGE], Operation::Convolution(conv));
    let mut rows = draft.noise.floats(4 * 10);
    rows[30..].iter_mut().for_each(|variance| *variance = variance.abs());
    draft.tensor("bn0.normalization", Tensor::F32(rows));
    draft.add("bn0", &["conv0"], Operation::BatchNormalization { epsilon: 1e-3 });
    draft.add("pool0", &["bn0"], Operation::MaxPool(window(2, 2, [0, 1, 0, 0])));
    draft.add("act0", &["pool0"], Operation::Quantize { bits: 3 });
    let conv = BitConvolution { channels: 6, groups: 2, weight_bits: 2, window: window(3, 1, [1, 1, 1, 1]) };
    draft.bits("conv1", "act0", conv, 5);
    draft.threshold("act1", "conv1", (2, 6), Some(window(3, 2, [1, 1, 1, 0])));
    let conv = BitConvolution { channels: 5, groups: 1, weight_bits: 1, window: window(3, 1, [1, 1, 1, 1]) };
    draft.bits("conv2", "act1", conv, 6);
    draft.add("conv2.rescale", &["conv2"], Operation::Rescale);
    let conv = BitConvolution { channels: 5, groups: 1, weight_bits: 3, window: window(1, 1, [0; 4]) };
    draft.bits("shortcut", "act1", conv, 6);
    draft.add("shortcut.rescale", &["shortcut"], Operation::Rescale);
    draft.add("sum", &["conv2.rescale", "shortcut.rescale"], Operation::Add);
    draft.add("clip", &["sum"], Operation::Clip);
    draft.add("codes", &["act1"], Operation::Dequantize);
    let weight = draft.noise.floats(5 * 6);
    draft.tensor("pointwise.weight", Tensor::F32(weight));
    let conv = Convolution { channels: 5, groups: 1, bias: false, window: window(1, 1, [0; 4]) };
    draft.add("pointwise", &["codes"], Operation::Convolution(conv));
    draft.add("relu", &["pointwise"], Operation::Relu);
    draft.add("sum2", &["clip", "relu"], Operation::Add);
    draft.add("average", &["sum2"], Operation::AveragePool(window(2, 1, [1, 0, 0, 1])));
    draft.add("scale", &["average"], Operation::Scale { factor: 1.5 });
    draft.add("mean", &["scale"], Operation::GlobalAveragePool);
    let weight = draft.noise.floats(4 * 5);
    draft.tensor("fc.weight", Tensor::F32(weight));
    let bias = draft.noise.floats(4);
    draft.tensor("fc.bias", Tensor::F32(bias));
    let conv = Convolution { channels: 4, groups: 1, bias: true, window: window(1, 1, [0; 4]) };
    draft.add("fc", &["mean"], Operation::Convolution(conv));
    (draft.manifest([7, 6, 3], [9, 8], 4), draft.tensors)
}

pub fn sample() -> File {
    let (manifest, tensors) = draft();
    File::new(manifest, tensors).expect("a network")
}
