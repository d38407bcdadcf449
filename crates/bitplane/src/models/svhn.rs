//! DoReFa-Net's street view house number networks A to D: seven convolutions and one linear layer on 40x40 pictures.

use graph::{
    Bits, Geometry, GraphError, Padding,
    layers::{Conv2d, Linear},
};

use super::{Model, ModelInput, Recipe, adam_recipe, start};
use crate::schedule::SchedulerKind;

/// Model A has `divisor` 1; B, C and D have all convolution widths divided by 2, 4 and 8.
pub(super) fn build(input: &ModelInput, bits: Bits, divisor: u32) -> Result<Model, GraphError> {
    let (mut net, spec) = start(input, Some(40));
    let width = |channels: u32| channels / divisor;
    let valid = |kernel: u32| Geometry::square(kernel, 1, Padding::Valid);
    let same = Geometry::square(3, 1, Padding::Same);
    let pool = Geometry::square(2, 2, Padding::Same);

    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: width(48), geometry: valid(5), bias: true })?;
    let x = net.max_pool("pool0", x, pool)?;
    let x = net.activation("act0", x, bits.activation)?;
    let block1 = net.position();
    let x = net.quantized_conv2d("conv1", x, width(64), same, bits)?;
    let x = net.batch_norm("bn1", x)?;
    let x = net.activation("act1", x, bits.activation)?;
    let x = net.quantized_conv2d("conv2", x, width(64), same, bits)?;
    let x = net.batch_norm("bn2", x)?;
    net.block("block1", block1, &[])?;
    let block2 = net.position();
    let x = net.max_pool("pool2", x, pool)?;
    let x = net.activation("act2", x, bits.activation)?;
    let x = net.quantized_conv2d("conv3", x, width(128), valid(3), bits)?;
    let x = net.batch_norm("bn3", x)?;
    let x = net.activation("act3", x, bits.activation)?;
    let x = net.quantized_conv2d("conv4", x, width(128), same, bits)?;
    let x = net.batch_norm("bn4", x)?;
    net.block("block2", block2, &[])?;
    let block3 = net.position();
    let x = net.activation("act4", x, bits.activation)?;
    let x = net.quantized_conv2d("conv5", x, width(128), valid(3), bits)?;
    let x = net.batch_norm("bn5", x)?;
    let x = net.activation("act5", x, bits.activation)?;
    let x = net.dropout("dropout5", x, 0.5)?;
    let x = net.quantized_conv2d("conv6", x, width(512), valid(5), bits)?;
    let x = net.batch_norm("bn6", x)?;
    net.block("block3", block3, &[])?;
    let x = net.rectifier("clip6", x, bits.activation)?;
    net.linear("fc1", x, Linear { outputs: input.classes, weight_decay: 1e-7 })?;
    Ok(Model { network: net.build()?, input: spec })
}

/// 200 epochs, the learning rate halved every 100.
pub(super) fn recipe() -> Recipe {
    Recipe { lr_scheduler: SchedulerKind::Step, ..adam_recipe() }
}

#[cfg(test)]
mod tests {
    use graph::{EpsilonForm, Network, Optimizer};

    use super::*;

    fn network(divisor: u32) -> Network {
        let input = ModelInput { height: 32, width: 32, channels: 3, classes: 10 };
        build(&input, Bits::new(1, 2, 4).expect("valid"), divisor).expect("builds").network
    }

    #[test]
    fn model_a_has_the_published_parameters_and_operations() {
        let network = network(1);
        assert_eq!(network.parameter_count(), 2_082_378);
        let summary = network.summary();
        let batch_norm: u64 = summary.iter().filter(|l| l.kind == "batch_norm").map(|l| l.parameters).sum();
        assert_eq!(network.parameter_count() - batch_norm, 2_080_330);
        let products: Vec<_> =
            summary.iter().filter(|l| l.macs > 0).map(|l| (l.name.as_str(), l.macs)).collect();
        let published = [
            ("conv0", 4_665_600),
            ("conv1", 8_957_952),
            ("conv2", 11_943_936),
            ("conv3", 3_612_672),
            ("conv4", 7_225_344),
            ("conv5", 3_686_400),
            ("conv6", 1_638_400),
            ("fc1", 5_120),
        ];
        assert_eq!(products, published);
        assert_eq!(products.iter().map(|(_, macs)| macs).sum::<u64>(), 41_735_424);
    }

    #[test]
    fn models_b_c_and_d_divide_every_convolution_width() {
        for (divisor, widths) in [
            (2, [24, 32, 32, 64, 64, 64, 256]),
            (4, [12, 16, 16, 32, 32, 32, 128]),
            (8, [6, 8, 8, 16, 16, 16, 64]),
        ] {
            let summary = network(divisor).summary();
            let convolutions = summary.iter().filter(|l| l.kind.ends_with("conv2d"));
            assert!(convolutions.map(|l| l.output.shape.channels).eq(widths), "divisor {divisor}");
            assert_eq!(summary.last().expect("fc1").output.shape.channels, 10);
        }
    }

    #[test]
    fn the_recipe_is_the_published_one() {
        let network = network(1);
        let summary = network.summary();
        let at = |name: &str| summary.iter().position(|l| l.name == name).expect("a layer");
        assert_eq!(at("dropout5"), at("act5") + 1, "dropout acts on the codes behind conv5");
        assert_eq!(summary[at("dropout5")].output.bits, Some(2));
        let decays = network.weight_decays();
        assert_eq!(decays, [("fc1.weight".to_owned(), 1e-7)], "decay of fc1's weights and of nothing else");

        let recipe = recipe();
        let form = EpsilonForm::Uncorrected;
        let adam = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, form, weight_decay: 0.0 };
        assert_eq!((recipe.optimizer, recipe.lr), (adam, 1e-3));
        assert_eq!(recipe.lr_scheduler, SchedulerKind::Step);
        assert_eq!((recipe.lr_step_size, recipe.lr_gamma), (100, 0.5));
        assert_eq!((recipe.epochs, recipe.batch_size), (200, 128));
    }
}
