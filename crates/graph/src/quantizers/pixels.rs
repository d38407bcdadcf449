//! Bytes of pictures, the input of a quantized first layer.

use std::sync::Arc;

use kernels::{ActivationForm, QuantizeActivation, Rounding};

use super::{ActivationQuantizer, DorefaActivation};
use crate::{CodeRule, GraphError, Packed, Recorder, Tensor};

/// The 8 planes of the bytes that pictures are made of: code q stands for `q / 255`, exactly what
/// [`ImageGather`](kernels::ImageGather) makes of a byte. A value between two bytes, as a change of size makes them, goes to
/// the nearer one. Nothing receives a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels;

const BITS: u32 = 8;

impl ActivationQuantizer for Pixels {
    /// Pictures keep all their bits.
    fn cut(&self, _: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        Some(Arc::new(*self))
    }

    fn bits(&self) -> u32 {
        BITS
    }

    fn factor(&self) -> f32 {
        1.0 / reference::quantize::levels(BITS) as f32
    }

    fn rule(&self) -> Option<CodeRule> {
        DorefaActivation::new(BITS).rule()
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let shape = input.shape;
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let planes = recorder.per_sample("pixels", chunk, Packed::words(shape, BITS, chunk.samples));
            let kernel = QuantizeActivation {
                rows: chunk.samples * shape.pixels(),
                channels: shape.channels,
                bits: BITS,
                form: ActivationForm::Clip,
                rounding: Rounding::Even,
                range: 1.0,
            };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], planes])?;
            chunks.push(planes);
        }
        Ok(Packed::codes(shape, (self.kind(), BITS, self.factor()), chunks))
    }

    fn backward(&self, _: &mut Recorder, _: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        Ok(grad.clone())
    }
}
