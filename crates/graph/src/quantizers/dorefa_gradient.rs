//! DoReFa-Net gradients, Eq 12 with the final half outside the rounding, as the derivation above it has it.

use kernels::{QuantizeGradient, Reduce, ReduceMap, ReduceOp};

use super::{GradientPlanes, GradientQuantizer};
use crate::{GraphError, Recorder, Tensor, recorder::Chunk, reduction::reduce_to_one};

/// `q = round(n * (g / (2 s) + 1/2 + u))` with s the maximum of `|g|` over one sample and u uniform in (-1/2, 1/2) / n:
/// unbiased stochastic rounding with one scale per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DorefaGradient {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
}

impl GradientQuantizer for DorefaGradient {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        grad: &Tensor,
        stream: u32,
    ) -> Result<GradientPlanes, GraphError> {
        let (bits, shape, source) = (self.bits, grad.shape, grad.chunks[chunk.index]);
        let (values, len) = match &grad.maxima {
            Some(maxima) => (maxima.chunks[chunk.index], maxima.parts),
            None => (source, shape.len()),
        };
        let (rows, map, op) = (chunk.samples, ReduceMap::Abs, ReduceOp::Max);
        let first = Reduce { rows, len, map, op, factor: 1.0 };
        let scale = reduce_to_one(recorder, "gradient scale", first, values, Some(chunk))?;
        let rows = chunk.samples * shape.pixels();
        let words = u64::from(bits) * u64::from(rows) * u64::from(kernels::words_for(shape.channels));
        let planes = recorder.per_sample("gradient planes", chunk, words);
        let kernel = QuantizeGradient {
            rows,
            channels: shape.channels,
            rows_per_sample: shape.pixels(),
            first_row: recorder.first_row(chunk, shape.pixels()),
            tensor: stream,
            bits,
        };
        let step = recorder.step();
        recorder.dispatch(kernel, &[source, scale, step, planes])?;
        let factor = 1.0 / reference::quantize::levels(bits) as f32;
        let gradient = GradientPlanes { planes, scale, bits, factor };
        recorder.tap_gradient_codes(chunk, (shape.pixels(), shape.channels), &gradient);
        Ok(gradient)
    }
}
