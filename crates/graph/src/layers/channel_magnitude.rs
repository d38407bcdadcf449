//! The mean of |x| over the channels, in a network that is deployed and no longer trained.

use super::single_dense;
use crate::{
    GraphError, Recorder, Shape, Tensor,
    layer::{Backward, Layer, Place, no_backward},
    reduction::channel_means,
    tensor::{Kind, Value},
};

/// The mean of |x| over the channels of each pixel, as one channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelMagnitude;

impl Layer for ChannelMagnitude {
    fn kind(&self) -> &'static str {
        "channel_magnitude"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let input = single_dense(name, inputs)?;
        Ok(Kind::dense(Shape { channels: 1, ..input.shape }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        _: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            chunks.push(channel_means(recorder, chunk, input.shape, input.chunks[chunk.index])?);
        }
        let means = Tensor { shape: Shape { channels: 1, ..input.shape }, chunks, maxima: None };
        Ok((Value::Dense(means), no_backward()))
    }
}
