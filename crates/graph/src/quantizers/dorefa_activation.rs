//! DoReFa-Net activations, Eq 11.

use std::ops::RangeInclusive;

use kernels::{ClipBackward, QuantizeActivation};
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold_batch_norm};

use super::ActivationQuantizer;
use crate::{GraphError, Packed, Recorder, Tensor};

/// `q = round(n * clip(x, 0, 1))`, value `q / n`; the gradient passes where `0 <= x <= 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DorefaActivation {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
}

impl ActivationQuantizer for DorefaActivation {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn factor(&self) -> f32 {
        1.0 / reference::quantize::levels(self.bits) as f32
    }

    fn thresholds(
        &self,
        channel: &BatchNormChannel,
        range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        Some(fold_batch_norm(channel, self.bits, range))
    }

    fn clips_to_unit(&self) -> bool {
        true
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let (bits, shape) = (self.bits, input.shape);
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let planes = recorder.per_sample("codes", chunk, Packed::words(shape, bits, chunk.samples));
            let rows = chunk.samples * shape.pixels();
            let kernel = QuantizeActivation { rows, channels: shape.channels, bits };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], planes])?;
            chunks.push(planes);
        }
        Ok(Packed { shape, bits, factor: self.factor(), chunks })
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        let result = recorder.tensor("grad_input", input.shape);
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let kernel = ClipBackward { len: chunk.samples * input.shape.len() };
            recorder.dispatch(kernel, &[input.chunks[at], grad.chunks[at], result.chunks[at]])?;
        }
        Ok(result)
    }
}
