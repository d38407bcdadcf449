//! DoReFa-Net gradients, Eq 12 with the final half outside the rounding, as the derivation above it has it.

use std::sync::Arc;

use kernels::{GradientScales, QuantizeGradient, Reduce, ReduceMap, ReduceOp};
use recording::BufferSlice;
use reference::quantize::GradientScale;

use super::{GradientPlanes, GradientQuantizer};
use crate::{GraphError, Method, Recorder, Tensor, recorder::Chunk, reduction::reduce_to_one};

/// `q = round(n * (g / (2 s) + 1/2 + u))` with u uniform in (-1/2, 1/2) / n: unbiased stochastic rounding. The scale s is
/// the maximum of `|g|` over one sample, the power of two from there on, or the maximum over the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DorefaGradient {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
    /// What a scale spans.
    pub scale: GradientScale,
}

impl DorefaGradient {
    /// Equation 12 with codes of `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self { bits, scale: GradientScale::Sample }
    }

    /// Records the largest magnitude of each sample of a chunk, or with `whole` of the chunk.
    fn largest(
        recorder: &mut Recorder,
        chunk: Chunk,
        grad: &Tensor,
        whole: bool,
    ) -> Result<BufferSlice, GraphError> {
        let (values, len) = match &grad.maxima {
            Some(maxima) => (maxima.chunks[chunk.index], maxima.parts),
            None => (grad.chunks[chunk.index], grad.shape.len()),
        };
        let (rows, len) = if whole { (1, chunk.samples * len) } else { (chunk.samples, len) };
        let first = Reduce { rows, len, map: ReduceMap::Abs, op: ReduceOp::Max, factor: 1.0 };
        reduce_to_one(recorder, "gradient scale", first, values, Some(chunk))
    }
}

impl GradientQuantizer for DorefaGradient {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn with_method(&self, method: &Method) -> Option<Arc<dyn GradientQuantizer>> {
        Some(Arc::new(Self { scale: method.gradient_scale, ..*self }))
    }

    fn prepare(&self, recorder: &mut Recorder, grad: &Tensor) -> Result<Option<BufferSlice>, GraphError> {
        if self.scale != GradientScale::Batch {
            return Ok(None);
        }
        let scale = recorder.transient("gradient scale of the batch", 1);
        for chunk in recorder.chunks() {
            let largest = Self::largest(recorder, chunk, grad, true)?;
            let kernel = GradientScales { len: 1, pow2: false, accumulate: chunk.index > 0 };
            recorder.dispatch(kernel, &[largest, scale])?;
        }
        Ok(Some(scale))
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        grad: &Tensor,
        (shared, stream): (Option<BufferSlice>, u32),
    ) -> Result<GradientPlanes, GraphError> {
        let (bits, shape, source) = (self.bits, grad.shape, grad.chunks[chunk.index]);
        let scale = match (shared, self.scale) {
            (Some(scale), _) => scale,
            (None, GradientScale::Pow2) => {
                let largest = Self::largest(recorder, chunk, grad, false)?;
                let scale = recorder.per_sample("gradient scale", chunk, u64::from(chunk.samples));
                let kernel = GradientScales { len: chunk.samples, pow2: true, accumulate: false };
                recorder.dispatch(kernel, &[largest, scale])?;
                scale
            }
            (None, _) => Self::largest(recorder, chunk, grad, false)?,
        };
        let rows = chunk.samples * shape.pixels();
        let words = u64::from(bits) * u64::from(rows) * u64::from(kernels::words_for(shape.channels));
        let planes = recorder.per_sample("gradient planes", chunk, words);
        let kernel = QuantizeGradient {
            rows,
            channels: shape.channels,
            rows_per_sample: if shared.is_some() { rows } else { shape.pixels() },
            first_row: recorder.first_row(chunk, shape.pixels()),
            tensor: stream,
            bits,
        };
        let step = recorder.step();
        recorder.dispatch(kernel, &[source, scale, step, planes])?;
        let factor = 1.0 / reference::quantize::levels(bits) as f32;
        let gradient = GradientPlanes { planes, scale, shared: shared.is_some(), bits, factor };
        recorder.tap_gradient_codes(chunk, (shape.pixels(), shape.channels), &gradient);
        Ok(gradient)
    }
}
