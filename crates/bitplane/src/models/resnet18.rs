//! DoReFa-Net's ResNet-18: pre-activation blocks of two quantized 3x3 convolutions on 224x224 pictures. An average pool halves
//! the picture before a block, so that every quantized convolution has stride 1, and where the width changes the shortcut is
//! a quantized 1x1 convolution on the same codes as the block's first one.

use graph::{
    Bits, Geometry, GraphError, NetworkBuilder, Node, Padding,
    layers::{Conv2d, Linear},
};

use super::{Model, ModelInput, Recipe, Size, alexnet, start};

const BLOCKS: u32 = 2;

/// As published.
pub(super) const SIZE: Size = Size { side: 224, divisor: 1 };

/// Two properties of the published weights' network that its authors call accidents: the first block has a convolution in
/// its shortcut although nothing changes there, and the averages before the last layer are multiplied by 49.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accidents {
    Without,
    With,
}

pub(super) fn build(
    input: &ModelInput,
    bits: Bits,
    size: Size,
    accidents: Accidents,
) -> Result<Model, GraphError> {
    let (mut net, spec) = start(input, Some(size.side));
    let x = net.input();
    // On an even side this padding equals the published one, 3 pixels before and 2 behind. The pool's padding never wins,
    // which equals the published mirrored border.
    let first = Geometry::square(7, 2, Padding::Explicit(3));
    let conv1 = Conv2d { out_channels: 64 / size.divisor, geometry: first, bias: true };
    let x = net.conv2d("conv1", x, conv1)?;
    let mut x = net.max_pool("pool1", x, Geometry::square(3, 2, Padding::Explicit(1)))?;
    for (number, channels, stride) in [(2, 64, 1), (3, 128, 2), (4, 256, 2), (5, 512, 2)] {
        for at in 1..=BLOCKS {
            let joins = at == 1 && (stride > 1 || accidents == Accidents::With);
            let block = Block {
                channels: channels / size.divisor,
                stride: if at == 1 { stride } else { 1 },
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
    convolved_shortcut: bool,
}

impl Block {
    fn add(&self, net: &mut NetworkBuilder, name: &str, x: Node, bits: Bits) -> Result<Node, GraphError> {
        let named = |part: &str| format!("{name}.{part}");
        let same = Geometry::square(3, 1, Padding::Same);
        let mut x = x;
        if self.stride > 1 {
            let pool = Geometry::square(self.stride, self.stride, Padding::Valid);
            x = net.avg_pool(&named("pool"), x, pool)?;
        }
        let codes = net.batch_norm(&named("bn1"), x)?;
        let codes = net.activation(&named("act1"), codes, bits.activation)?;
        let shortcut = if self.convolved_shortcut {
            let pointwise = Geometry::square(1, 1, Padding::Valid);
            net.quantized_conv2d(&named("shortcut"), codes, self.channels, pointwise, bits)?
        } else {
            x
        };
        let y = net.quantized_conv2d(&named("conv1"), codes, self.channels, same, bits)?;
        let y = net.batch_norm(&named("bn2"), y)?;
        let y = net.activation(&named("act2"), y, bits.activation)?;
        let y = net.quantized_conv2d(&named("conv2"), y, self.channels, same, bits)?;
        net.sum(&named("sum"), shortcut, y)
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
    fn the_original_keeps_its_accidents() {
        let layers = network("resnet18-original").summary();
        assert_eq!(shortcuts(&layers).first(), Some(&("conv2.1.shortcut", 64 * 64)));
        assert_eq!(shortcuts(&layers).len(), 4);
        let scales = layers.iter().position(|l| l.kind == "scale").expect("a factor");
        assert_eq!((layers[scales - 1].kind, layers[scales + 1].kind), ("global_avg_pool", "linear"));
    }
}
