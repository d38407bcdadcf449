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
    let x = net.quantized_conv2d("conv1", x, width(64), same, bits)?;
    let x = net.batch_norm("bn1", x)?;
    let x = net.activation("act1", x, bits.activation)?;
    let x = net.quantized_conv2d("conv2", x, width(64), same, bits)?;
    let x = net.batch_norm("bn2", x)?;
    let x = net.max_pool("pool2", x, pool)?;
    let x = net.activation("act2", x, bits.activation)?;
    let x = net.quantized_conv2d("conv3", x, width(128), valid(3), bits)?;
    let x = net.batch_norm("bn3", x)?;
    let x = net.activation("act3", x, bits.activation)?;
    let x = net.quantized_conv2d("conv4", x, width(128), same, bits)?;
    let x = net.batch_norm("bn4", x)?;
    let x = net.activation("act4", x, bits.activation)?;
    let x = net.quantized_conv2d("conv5", x, width(128), valid(3), bits)?;
    let x = net.batch_norm("bn5", x)?;
    let x = net.activation("act5", x, bits.activation)?;
    let x = net.dropout("dropout5", x, 0.5)?;
    let x = net.quantized_conv2d("conv6", x, width(512), valid(5), bits)?;
    let x = net.batch_norm("bn6", x)?;
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
    use super::*;

    #[test]
    fn model_a_has_the_published_parameters_and_operations() {
        let input = ModelInput { height: 32, width: 32, channels: 3, classes: 10 };
        let bits = Bits::new(1, 2, 4).expect("valid");
        let model = build(&input, bits, 1).expect("builds");
        assert_eq!(model.network.parameter_count(), 2_082_378);
        let summary = model.network.summary();
        let batch_norm: u64 = summary.iter().filter(|l| l.kind == "batch_norm").map(|l| l.parameters).sum();
        assert_eq!(model.network.parameter_count() - batch_norm, 2_080_330);
        assert_eq!(summary.iter().map(|l| l.macs).sum::<u64>(), 41_735_424);
    }
}
