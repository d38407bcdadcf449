//! Pictures of a batch, as their views show them.

use kernels::{ColorGather, ImageGather, LightGather};

use super::Ports;
use crate::{
    GraphError, Network, Recorder, Tensor,
    recorder::Phase,
    session::{Change, InputSpec},
};

/// Records how the network's input comes from the pictures that the host sends or that stay on the device.
pub(super) fn gather(
    recorder: &mut Recorder,
    network: &Network,
    input: &InputSpec,
    (ports, change): (&Ports, Change),
) -> Result<Tensor, GraphError> {
    let image = recorder.tensor("image", network.input);
    recorder.describe_image(image.chunks[0]);
    for chunk in recorder.chunks() {
        let gather = |first_image: u32, images: u32| ImageGather {
            samples: chunk.samples,
            source_height: input.source_height,
            source_width: input.source_width,
            channels: input.channels,
            resize_height: input.resize_height,
            resize_width: input.resize_width,
            out_height: input.out_height,
            out_width: input.out_width,
            first_image,
            images,
            scale: network.pixel_scale,
        };
        let (table, image) = (ports.table[chunk.index], image.chunks[chunk.index]);
        let changes = ports.changes.get(chunk.index).filter(|_| recorder.phase != Phase::Evaluate).copied();
        let source = ports.source.get(chunk.index).map(|source| (0, chunk.samples, *source));
        let stores = ports.stores.iter().map(|store| (store.first_image, store.images, store.pixels));
        // Each fills in the samples whose pictures it has.
        for (first_image, images, pixels) in stores.chain(source) {
            let gather = gather(first_image, images);
            match (change, changes) {
                (Change::Light, Some(lights)) => {
                    recorder.dispatch(LightGather { gather }, &[pixels, table, lights, image])?;
                }
                (Change::Color, Some(views)) => {
                    recorder.dispatch(color_gather(&gather), &[pixels, views, image])?;
                }
                _ => recorder.dispatch(gather, &[pixels, table, image])?,
            }
        }
    }
    Ok(image)
}

fn color_gather(gather: &ImageGather) -> ColorGather {
    let &ImageGather { samples, source_height, source_width, out_height, out_width, .. } = gather;
    let &ImageGather { first_image, images, scale, .. } = gather;
    ColorGather { samples, source_height, source_width, out_height, out_width, first_image, images, scale }
}
