//! Three convolutions for 8x8 digits: small enough to learn in seconds on a processor, and wide enough that all products
//! of both inner convolutions run on bit planes.

use graph::{
    Bits, Geometry, GraphError, Padding,
    layers::{Conv2d, Linear},
};

use super::{Model, ModelInput, Recipe, adam_recipe, start};
use crate::{batches::Augment, schedule::SchedulerKind};

pub(super) fn build(input: &ModelInput, bits: Bits) -> Result<Model, GraphError> {
    let (mut net, spec) = start(input, None);
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 32, geometry: same, bias: false })?;
    let x = net.batch_norm("bn0", x)?;
    let x = net.activation("act0", x, bits.activation)?;
    let block1 = net.position();
    let x = net.quantized_conv2d("conv1", x, 32, same, bits)?;
    let x = net.batch_norm("bn1", x)?;
    let x = net.activation("act1", x, bits.activation)?;
    let x = net.quantized_conv2d("conv2", x, 64, Geometry::square(3, 1, Padding::Valid), bits)?;
    let x = net.batch_norm("bn2", x)?;
    net.block("block1", block1, &[])?;
    let x = net.max_pool("pool2", x, Geometry::square(2, 2, Padding::Same))?;
    let x = net.rectifier("clip2", x, bits.activation)?;
    net.linear("fc1", x, Linear { outputs: input.classes, weight_decay: 1e-7 })?;
    Ok(Model { network: net.build()?, input: spec })
}

/// Fifteen epochs with shifts of one pixel, which the 1,500 training pictures need more than passes over them.
pub(super) fn recipe() -> Recipe {
    Recipe {
        epochs: 15,
        batch_size: 50,
        lr: 5e-3,
        lr_scheduler: SchedulerKind::Cosine,
        augment: Augment::Crop,
        crop_padding: 1,
        ..adam_recipe()
    }
}
