//! DoReFa-Net's AlexNet: a first convolution of 12x12 taps, four more of which three have two groups, and three fully
//! connected layers, on 224x224 pictures.

use graph::{
    Bits, EpsilonForm, Geometry, GraphError, NetworkBuilder, Node, Optimizer, Padding,
    layers::{Conv2d, Linear, QuantizedConv2d},
};

use super::{Model, ModelInput, Recipe, Size, adam_recipe, start};
use crate::{batches::Augment, preprocess::Preprocess, schedule::SchedulerKind};

/// Decay of the weights of every fully connected layer.
const WEIGHT_DECAY: f32 = 5e-6;

/// As published.
pub(super) const SIZE: Size = Size { side: 224, divisor: 1 };

pub(super) fn build(input: &ModelInput, bits: Bits, size: Size) -> Result<Model, GraphError> {
    let (mut net, spec) = start(input, Some(size.side));
    let width = |channels: u32| channels / size.divisor;
    let same = |kernel: u32| Geometry::square(kernel, 1, Padding::Same);
    let pool = |padding: Padding| Some(Geometry::square(3, 2, padding));

    let x = net.input();
    let first = Geometry::square(12, 4, Padding::Valid);
    let x = net.conv2d("conv0", x, Conv2d { out_channels: width(96), geometry: first, bias: true })?;
    let mut x = net.activation("act0", x, bits.activation)?;
    let mut block = net.position();
    for (number, channels, kernel, groups, pool) in [
        (1, 256, 5, 2, pool(Padding::Same)),
        (2, 384, 3, 1, pool(Padding::Same)),
        (3, 384, 3, 2, None),
        (4, 256, 3, 2, pool(Padding::Valid)),
    ] {
        let plain = QuantizedConv2d::dorefa(width(channels), same(kernel), bits);
        x = net.quantized_conv2d_with(&format!("conv{number}"), x, QuantizedConv2d { groups, ..plain })?;
        x = net.batch_norm(&format!("bn{number}"), x)?;
        // Two layers are a block; what stands behind them belongs to the next one.
        if number % 2 == 0 {
            net.block(&format!("block{}", number / 2), block, &[])?;
            block = net.position();
        }
        if let Some(geometry) = pool {
            x = net.max_pool(&format!("pool{number}"), x, geometry)?;
        }
        x = net.activation(&format!("act{number}"), x, bits.activation)?;
    }
    let x = fully_connected(&mut net, "fc0", x, (width(4096), true), bits)?;
    let x = net.batch_norm("bn5", x)?;
    let x = net.activation("act5", x, bits.activation)?;
    let x = fully_connected(&mut net, "fc1", x, (width(4096), false), bits)?;
    let x = net.batch_norm("bn6", x)?;
    net.block("block3", block, &[])?;
    let x = net.rectifier("clip6", x, bits.activation)?;
    net.linear("fct", x, Linear { outputs: input.classes, weight_decay: WEIGHT_DECAY })?;
    Ok(Model { network: net.build()?, input: spec })
}

/// A quantized convolution whose kernel is the whole image.
fn fully_connected(
    net: &mut NetworkBuilder,
    name: &str,
    x: Node,
    (outputs, bias): (u32, bool),
    bits: Bits,
) -> Result<Node, GraphError> {
    let shape = net.shape(x);
    let geometry = Geometry { kernel: (shape.height, shape.width), stride: 1, padding: Padding::Valid };
    let plain = QuantizedConv2d::dorefa(outputs, geometry, bits);
    net.quantized_conv2d_with(name, x, QuantizedConv2d { bias, weight_decay: WEIGHT_DECAY, ..plain })
}

/// 90 epochs of 5000 steps of 256 pictures; the rate falls to a fifth at epochs 60 and 75.
pub(super) fn recipe() -> Recipe {
    let form = EpsilonForm::Uncorrected;
    Recipe {
        epochs: 90,
        batch_size: 256,
        optimizer: Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, form, weight_decay: 0.0 },
        lr: 2e-4,
        lr_scheduler: SchedulerKind::Multistep,
        lr_gamma: 0.2,
        lr_milestones: vec![60, 75],
        augment: Augment::Alexnet,
        preprocess: Preprocess::Imagenet,
        ..adam_recipe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;

    fn usual() -> ModelInput {
        ModelInput::usual("alexnet", None, None)
    }

    #[test]
    fn layers_have_the_published_sizes_and_operations() {
        let model = models::build("alexnet", &usual(), Bits::new(1, 2, 6).expect("valid")).expect("builds");
        let summary = model.network.summary();
        let products: Vec<_> = summary.iter().filter(|l| l.macs > 0).collect();
        let tenths: Vec<u64> = products.iter().map(|l| (l.macs + 50_000) / 100_000).collect();
        assert_eq!(tenths, [1209, 8958, 6450, 1301, 867, 377, 168, 41], "tenths of a million");
        let sizes: Vec<String> = products.iter().map(|l| l.output.shape.to_string()).collect();
        let expected = ["54x54x96", "54x54x256", "27x27x384", "14x14x384", "14x14x256"];
        assert_eq!(sizes[..5], expected);
        assert_eq!(sizes[5..], ["1x1x4096", "1x1x4096", "1x1x1000"]);
        // Weights, the biases of conv0, fc0 and fct, and two values per normalized channel.
        let weights = [41_472, 307_200, 884_736, 663_552, 442_368, 9216 * 4096, 4096 * 4096, 4_096_000];
        let others = 96 + 4096 + 1000 + 2 * (256 + 384 + 384 + 256 + 4096 + 4096);
        assert_eq!(model.network.parameter_count(), weights.iter().sum::<u64>() + others);
        let quantized = products.iter().filter(|l| l.bits.is_some()).count();
        assert_eq!(quantized, 6, "all but the first and the last");
    }

    #[test]
    fn the_recipe_is_the_published_one() {
        let model = models::build("alexnet", &usual(), Bits::new(1, 2, 6).expect("valid")).expect("builds");
        let decays: Vec<String> = model.network.weight_decays().into_iter().map(|(name, _)| name).collect();
        assert_eq!(decays, ["fc0.weight", "fc1.weight", "fct.weight"]);
        assert!(model.network.weight_decays().iter().all(|(_, decay)| *decay == 5e-6));
        let recipe = recipe();
        let rate = |epoch: u32| {
            let passed = recipe.lr_milestones.iter().filter(|milestone| **milestone <= epoch).count();
            recipe.lr * recipe.lr_gamma.powi(passed as i32)
        };
        for (epoch, want) in [(0, 2e-4), (59, 2e-4), (60, 4e-5), (75, 8e-6), (89, 8e-6)] {
            assert!((rate(epoch) - want).abs() < 1e-12, "epoch {epoch}");
        }
    }
}
