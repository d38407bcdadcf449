//! DoReFa-Net's ResNet-18: pre-activation blocks of two quantized 3x3 convolutions on 224x224 pictures. An average pool halves
//! the picture before a block, so that every quantized convolution has stride 1, and where the width changes the shortcut is
//! a quantized 1x1 convolution on the same codes as the block's first one. ResNet-50 has the same form with bottlenecks, 1x1
//! convolutions to a quarter of the width and back around the 3x3 one.

use graph::{
    Bits, Geometry, GraphError, NetworkBuilder, Node, Padding,
    layers::{Conv2d, Linear},
};

use super::{Model, ModelInput, Recipe, Size, alexnet, start};

/// As published.
pub(super) const SIZE: Size = Size { side: 224, divisor: 1 };

/// Which of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Blocks of each of the four stages.
    stages: [u32; 4],
    bottlenecks: bool,
    accidents: Accidents,
}

/// ResNet-18.
pub(super) const PLAIN: Form = Form { stages: [2; 4], bottlenecks: false, accidents: Accidents::Without };
/// ResNet-18 as its published weights have it.
pub(super) const ORIGINAL: Form = Form { accidents: Accidents::With, ..PLAIN };
/// ResNet-50.
pub(super) const BOTTLENECKS: Form = Form { stages: [3, 4, 6, 3], bottlenecks: true, ..PLAIN };

/// Two properties of the published weights' network that its authors call accidents: the first block has a convolution in
/// its shortcut although nothing changes there, and the averages before the last layer are multiplied by 49.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accidents {
    Without,
    With,
}

pub(super) fn build(input: &ModelInput, bits: Bits, size: Size, form: Form) -> Result<Model, GraphError> {
    let Form { stages, bottlenecks, accidents } = form;
    let (mut net, spec) = start(input, Some(size.side));
    let x = net.input();
    // On an even side this padding equals the published one, 3 pixels before and 2 behind. The pool's padding never wins,
    // which equals the published mirrored border.
    let first = Geometry::square(7, 2, Padding::Explicit(3));
    let conv1 = Conv2d { out_channels: 64 / size.divisor, geometry: first, bias: true };
    let x = net.conv2d("conv1", x, conv1)?;
    let mut x = net.max_pool("pool1", x, Geometry::square(3, 2, Padding::Explicit(1)))?;
    for (number, channels, stride) in [(2, 64, 1), (3, 128, 2), (4, 256, 2), (5, 512, 2)] {
        for at in 1..=stages[number - 2] {
            let joins = at == 1 && (stride > 1 || bottlenecks || accidents == Accidents::With);
            let block = Block {
                channels: channels / size.divisor,
                stride: if at == 1 { stride } else { 1 },
                bottleneck: bottlenecks,
                convolved_shortcut: joins,
            };
            x = block.add(&mut net, &format!("conv{number}.{at}"), x, bits)?;
        }
    }
    let x = net.batch_norm("last.bn", x)?;
    let x = net.rectifier("last.clip", x, bits.activation)?;
    let mut x = net.global_avg_pool("last.pool", x)?;
    if accidents == Accidents::With {
        x = net.scale("last.scale", x, 49.0)?;
    }
    net.linear("fct", x, Linear { outputs: input.classes, weight_decay: 0.0 })?;
    Ok(Model { network: net.build()?, input: spec })
}

struct Block {
    channels: u32,
    stride: u32,
    /// The block's output has four times the channels.
    bottleneck: bool,
    convolved_shortcut: bool,
}

impl Block {
    fn add(&self, net: &mut NetworkBuilder, name: &str, x: Node, bits: Bits) -> Result<Node, GraphError> {
        let (named, first) = (|part: &str| format!("{name}.{part}"), net.position());
        let same = Geometry::square(3, 1, Padding::Same);
        let pointwise = Geometry::square(1, 1, Padding::Valid);
        let mut x = x;
        if self.stride > 1 {
            let pool = Geometry::square(self.stride, self.stride, Padding::Valid);
            x = net.avg_pool(&named("pool"), x, pool)?;
        }
        let wide = if self.bottleneck { 4 * self.channels } else { self.channels };
        let convolutions: &[(Geometry, u32)] = if self.bottleneck {
            &[(pointwise, self.channels), (same, self.channels), (pointwise, wide)]
        } else {
            &[(same, wide), (same, wide)]
        };
        let (mut y, mut shortcut, mut past) = (x, x, Vec::new());
        for (number, &(geometry, channels)) in (1..).zip(convolutions) {
            y = net.batch_norm(&named(&format!("bn{number}")), y)?;
            y = net.activation(&named(&format!("act{number}")), y, bits.activation)?;
            if number == 1 && self.convolved_shortcut {
                shortcut = net.quantized_conv2d(&named("shortcut"), y, wide, pointwise, bits)?;
                past.push(shortcut);
            }
            y = net.quantized_conv2d(&named(&format!("conv{number}")), y, channels, geometry, bits)?;
        }
        let sum = net.sum(&named("sum"), shortcut, y)?;
        net.block(name, first, &past)?;
        Ok(sum)
    }
}

/// No recipe is published; this is AlexNet's without its decay of weights.
pub(super) fn recipe() -> Recipe {
    alexnet::recipe()
}

#[cfg(test)]
mod tests {
    use graph::{LayerSummary, Network};

    use super::*;
    use crate::models;

    fn network(name: &str) -> Network {
        let bits = Bits::new(1, 4, 32).expect("valid");
        models::build(name, &ModelInput::usual(name, None, None), bits).expect("builds").network
    }

    fn shortcuts(layers: &[LayerSummary]) -> Vec<(&str, u64)> {
        let shortcuts = layers.iter().filter(|l| l.name.ends_with(".shortcut"));
        shortcuts.map(|l| (l.name.as_str(), l.parameters)).collect()
    }

    #[test]
    fn blocks_have_the_published_sizes() {
        let layers = network("resnet18").summary();
        let shape = |name: &str| {
            layers.iter().find(|l| l.name == name).map(|l| l.output.shape.to_string()).expect("a layer")
        };
        assert_eq!(shape("conv1"), "112x112x64");
        assert_eq!(shape("pool1"), "56x56x64");
        for (name, size) in
            [("conv2.2.sum", "56x56x64"), ("conv3.2.sum", "28x28x128"), ("conv4.2.sum", "14x14x256")]
        {
            assert_eq!(shape(name), size);
        }
        assert_eq!(shape("conv5.2.sum"), "7x7x512");
        assert_eq!(layers.iter().filter(|l| l.kind == "quantized_conv2d").count(), 16 + 3);
        assert_eq!(
            shortcuts(&layers),
            [
                ("conv3.1.shortcut", 64 * 128),
                ("conv4.1.shortcut", 128 * 256),
                ("conv5.1.shortcut", 256 * 512)
            ]
        );
        assert!(layers.iter().all(|l| l.kind != "scale"));
        let macs: u64 = layers.iter().map(|l| l.macs).sum();
        let conv = |pixels: u64, inputs: u64, outputs: u64| pixels * 9 * inputs * outputs;
        let expected = 112 * 112 * 49 * 3 * 64
            + 4 * conv(56 * 56, 64, 64)
            + [(28, 128), (14, 256), (7, 512)]
                .map(|(side, width)| {
                    let pixels = side * side;
                    let first = conv(pixels, width / 2, width) + pixels * width / 2 * width;
                    first + 3 * conv(pixels, width, width)
                })
                .iter()
                .sum::<u64>()
            + 512 * 1000;
        assert_eq!(macs, expected);
    }

    #[test]
    fn bottlenecks_have_the_published_sizes() {
        let network = network("resnet50");
        let layers = network.summary();
        assert_eq!(layers.iter().filter(|l| l.kind == "quantized_conv2d").count(), 3 * 16 + 4);
        assert_eq!(network.blocks().len(), 16);
        let shape = |name: &str| {
            layers.iter().find(|l| l.name == name).map(|l| l.output.shape.to_string()).expect("a layer")
        };
        assert_eq!(shape("conv2.3.sum"), "56x56x256");
        assert_eq!(shape("conv5.1.conv2"), "7x7x512");
        assert_eq!(shape("conv5.3.sum"), "7x7x2048");
        // As the usual network of post-activation blocks: its 25,557,032, less the norms behind each first convolution and
        // shortcut, with those before blocks, and with the stem's bias in place of its norm.
        let weights: u64 = layers.iter().filter(|l| l.macs > 0).map(|l| l.parameters).sum();
        assert_eq!(weights, 25_503_912 + 64);
    }

    #[test]
    fn the_original_keeps_its_accidents() {
        let layers = network("resnet18-original").summary();
        assert_eq!(shortcuts(&layers).first(), Some(&("conv2.1.shortcut", 64 * 64)));
        assert_eq!(shortcuts(&layers).len(), 4);
        let scales = layers.iter().position(|l| l.kind == "scale").expect("a factor");
        assert_eq!((layers[scales - 1].kind, layers[scales + 1].kind), ("global_avg_pool", "linear"));
    }
}
