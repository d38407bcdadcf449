//! ResNet-8, -14 and -20 for 32x32 pictures with quantized convolutions: residual sums stay in f32, every block quantizes its
//! input once for its first convolution and its shortcut.

use graph::{
    Bits, EpsilonForm, Geometry, GraphError, NetworkBuilder, Node, Optimizer, Padding,
    layers::{Conv2d, Linear},
};

use super::{Model, ModelInput, Recipe, adam_recipe, start};
use crate::{batches::Augment, schedule::SchedulerKind};

/// Three groups of `blocks` residual blocks, all widths divided by `divisor`.
pub(super) fn build(
    input: &ModelInput,
    bits: Bits,
    (blocks, divisor): (u32, u32),
) -> Result<Model, GraphError> {
    let (mut net, spec) = start(input, None);
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 16 / divisor, geometry: same, bias: false })?;
    let mut x = net.batch_norm("bn0", x)?;
    for (group, channels) in [16, 32, 64].map(|width| width / divisor).into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if group > 0 && block == 0 { 2 } else { 1 };
            x = residual_block(&mut net, &format!("group{group}.{block}"), x, (channels, stride), bits)?;
        }
    }
    let x = net.rectifier("last.clip", x, bits.activation)?;
    let x = net.global_avg_pool("last.pool", x)?;
    net.linear("fc1", x, Linear { outputs: input.classes, weight_decay: 0.0 })?;
    Ok(Model { network: net.build()?, input: spec })
}

fn residual_block(
    net: &mut NetworkBuilder,
    name: &str,
    x: Node,
    (channels, stride): (u32, u32),
    bits: Bits,
) -> Result<Node, GraphError> {
    let (named, first) = (|part: &str| format!("{name}.{part}"), net.position());
    let quantized = net.activation(&named("act1"), x, bits.activation)?;
    let y = net.quantized_conv2d(
        &named("conv1"),
        quantized,
        channels,
        Geometry::square(3, stride, Padding::Same),
        bits,
    )?;
    let y = net.batch_norm(&named("bn1"), y)?;
    let y = net.activation(&named("act2"), y, bits.activation)?;
    let y =
        net.quantized_conv2d(&named("conv2"), y, channels, Geometry::square(3, 1, Padding::Same), bits)?;
    let y = net.batch_norm(&named("bn2"), y)?;
    let (mut shortcut, mut past) = (x, Vec::new());
    if stride > 1 {
        let pointwise = Geometry::square(1, stride, Padding::Valid);
        shortcut = net.quantized_conv2d(&named("shortcut"), quantized, channels, pointwise, bits)?;
        past.push(shortcut);
        shortcut = net.batch_norm(&named("shortcut_bn"), shortcut)?;
    }
    let sum = net.sum(&named("sum"), y, shortcut)?;
    net.block(name, first, &past)?;
    Ok(sum)
}

pub(super) fn recipe() -> Recipe {
    Recipe {
        lr_scheduler: SchedulerKind::Cosine,
        augment: Augment::FlipCrop,
        optimizer: Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            form: EpsilonForm::Corrected,
            weight_decay: 0.0,
        },
        ..adam_recipe()
    }
}
