//! Descriptions of a few bytes that ask for much memory.

use packed::Tensor;
use packed::manifest::{
    BitConvolution, IMAGE, Layer, Mask, Operation, Picture, Preprocessing, Quantize, WeightGroup, Window,
};

use super::bad_descriptions::{Parts, changed_of};
use super::support::draft;

/// A picture of one pixel behind `layers`, which give one score.
fn of_one_pixel(layers: Vec<Layer>, tensors: &[(&str, Tensor)]) -> Parts {
    let (mut manifest, _) = draft();
    manifest.image = Picture { height: 1, width: 1, channels: 1 };
    manifest.preprocessing = Preprocessing { resize: [1, 1], crop: [1, 1], ..manifest.preprocessing };
    manifest.classes = vec!["one".to_owned()];
    manifest.layers = layers;
    manifest.format = manifest.needed_format();
    (manifest, tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect())
}

fn layer(name: &str, input: &str, operation: Operation) -> Layer {
    Layer { name: name.to_owned(), inputs: vec![input.to_owned()], operation }
}

/// A window of so many pixels that all but one of them lie outside.
fn mostly_outside(size: u32) -> Window {
    let around = size - 1;
    Window { kernel: [size, size], stride: size, padding: [around, around, around, around] }
}

#[test]
fn a_small_file_does_not_ask_for_much_memory() {
    let size = 1 << 13;
    let quantize = || Operation::Quantize(Quantize { bits: 1, rule: None, codes: None });
    for count in [1u32, 64] {
        let mask = Mask { run: size * size, weights: 0 };
        let group = WeightGroup { planes: 5, factor: 1.0, scales: 0, mask: Some(mask) };
        let conv = BitConvolution {
            window: mostly_outside(size),
            channels: 1,
            groups: 1,
            weight_bits: 5 * count,
            weights: vec![group; count as usize],
            apart: false,
        };
        let layers = vec![
            layer("codes", IMAGE, quantize()),
            layer("conv", "codes", Operation::BitConvolution(conv)),
            layer("values", "conv", Operation::Rescale),
        ];
        let mut parts = of_one_pixel(layers, &[]);
        if count > 1 {
            parts.0.layers.pop();
        }
        for group in 0..count {
            parts.1.insert(format!("conv.mask.{group}"), Tensor::U8(vec![0]));
            parts.1.insert(format!("conv.planes.{group}"), Tensor::U8(Vec::new()));
        }
        changed_of(parts, |_, _| {}, "layer `conv` has planes of weights or codes beyond what is handled");
    }
    let mut layers: Vec<Layer> =
        (0..40).map(|at| layer(&format!("scale{at}"), "large", Operation::Scale { factor: 1.0 })).collect();
    let inputs = layers.iter().map(|layer| layer.name.clone()).collect();
    let pool = Window { kernel: [1, 1], stride: 1, padding: [0; 4] };
    layers.insert(0, layer("large", IMAGE, Operation::MaxPool(pool)));
    layers.push(Layer { name: "sum".to_owned(), inputs, operation: Operation::WeightedSum });
    layers.push(layer("scores", "sum", Operation::GlobalAveragePool));
    let mut parts = of_one_pixel(layers, &[("sum.factors", Tensor::F32(vec![1.0; 40]))]);
    let (side, preprocessing) = (1 << 12, &mut parts.0.preprocessing);
    (preprocessing.resize, preprocessing.crop) = ([side, side], [side, side]);
    changed_of(parts, |_, _| {}, "together more than is handled");
}

#[test]
fn sizes_whose_product_leaves_64_bits_are_refused() {
    let layers = vec![
        layer("pool", IMAGE, Operation::MaxPool(mostly_outside(1 << 31))),
        layer("scores", "pool", Operation::GlobalAveragePool),
    ];
    let mut parts = of_one_pixel(layers, &[]);
    let Operation::MaxPool(window) = &mut parts.0.layers[0].operation else { unreachable!() };
    window.stride = 1;
    parts.0.image.channels = 4;
    changed_of(parts, |_, _| {}, "more than is handled");
}
