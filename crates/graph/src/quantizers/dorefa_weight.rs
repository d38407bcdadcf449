//! DoReFa-Net weights: Eq 7 for one bit, Eq 9 for more.

use kernels::{
    By, Kind, PlaneGroup, QuantizeWeight, Reduce, ReduceMap, ReduceOp, ScaleIndex, WeightBackward, WeightRule,
};
use recording::BufferSlice;

use super::{WeightQuantizer, WeightRows};
use crate::{
    Convolution, GraphError, Parameter, Recorder,
    planes::{Group, Operand},
    reduction::reduce_pieces,
};

/// One bit: `E * sgn(w)` with E the mean of `|w|` over the layer; the gradient passes unchanged. More bits:
/// `(2q - n)/n` with `q = round(n * (tanh(w) / (2 max|tanh(w)|) + 1/2))`, the maximum taken as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DorefaWeight {
    /// Bits of a weight, 1 to 8.
    pub bits: u32,
}

impl WeightQuantizer for DorefaWeight {
    fn stored_bits(&self) -> f64 {
        f64::from(self.bits)
    }

    fn planes(&self) -> u32 {
        self.bits
    }

    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let len = weight.len();
        let (map, op, factor) = match self.bits {
            1 => (ReduceMap::Abs, ReduceOp::Sum, 1.0 / len as f32),
            _ => (ReduceMap::AbsTanh, ReduceOp::Max, 1.0),
        };
        let first = Reduce { rows: 1, len, map, op, factor };
        Ok(vec![reduce_pieces(recorder, "weight scale", first, weight.value)?])
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let scale = prepared[0];
        let shape = [convolution.output.channels, convolution.taps(), convolution.input.channels];
        let rule = if self.bits == 1 { WeightRule::Sign } else { WeightRule::Tanh };
        let kernel = match rows {
            WeightRows::ByOutput => QuantizeWeight::by_output(shape, self.bits, rule),
            WeightRows::ByInput => QuantizeWeight::by_input(shape, self.bits, rule),
        };
        let words = u64::from(self.bits) * u64::from(kernel.rows) * u64::from(kernels::words_for(kernel.k));
        let buffer = recorder.transient("weight planes", words);
        recorder.dispatch(kernel, &[weight.value, scale, buffer])?;
        if rows == WeightRows::ByOutput {
            let common = (self.bits == 1).then_some(scale);
            recorder.tap_weight_codes(buffer, (kernel.rows, kernel.k), self.bits, common);
        }
        let (factor, scale) = match self.bits {
            1 => (1.0, Some((scale, ScaleIndex { by: By::One, div: 1 }))),
            bits => (1.0 / reference::quantize::levels(bits) as f32, None),
        };
        let planes = PlaneGroup { first_plane: 0, planes: self.bits, mask: None };
        Ok(Operand { buffer, kind: Kind::Sign, groups: vec![Group { planes, factor, scale }] })
    }

    fn passes_gradient(&self) -> bool {
        self.bits == 1
    }

    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        let pieces = [weight.value, grad_quantized, weight.gradient].map(|slice| recorder.pieces(slice));
        let [values, quantized, gradients] = &pieces;
        for ((value, quantized), gradient) in values.iter().zip(quantized).zip(gradients) {
            let len = u32::try_from(value.words).expect("a binding has fewer than 2^32 words");
            recorder.dispatch(WeightBackward { len }, &[*value, prepared[0], *quantized, *gradient])?;
        }
        Ok(())
    }
}
