//! DoReFa-Net weights: Eq 7 for one bit, Eq 9 for more.

use std::sync::Arc;

use kernels::{
    By, Kind, PlaneGroup, QuantizeWeight, Reduce, ReduceMap, ReduceOp, Rounding, ScaleIndex, WeightBackward,
    WeightMaxBackward, WeightMaxSums, WeightRule,
};
use recording::BufferSlice;
use reference::nested::NestedForm;

use super::{ChannelWeight, HbnnWeight, LearnedWeight, NestedWeight, WeightQuantizer, WeightRows};
use crate::{
    Convolution, GraphError, LengthForm, Method, Parameter, Recorder,
    planes::{Group, Operand},
    reduction::{reduce_pieces, sum_partials},
};

/// One bit: `E * sgn(w)` with E the mean of `|w|` over the layer; the gradient passes unchanged. More bits:
/// `(2q - n)/n` with `q = round(n * (tanh(w) / (2 max|tanh(w)|) + 1/2))`, the maximum taken as a constant unless
/// `max_gradient` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DorefaWeight {
    /// Bits of a weight, 1 to 8.
    pub bits: u32,
    /// How codes are rounded.
    pub rounding: Rounding,
    /// The gradient goes through the maximum too, spread over the weights that reach it.
    pub max_gradient: bool,
}

impl DorefaWeight {
    /// Equation 7 or 9 with codes of `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self { bits, rounding: Rounding::Even, max_gradient: false }
    }

    /// Adds the gradient through the maximum to the latent one; both and the weights come in pieces.
    fn max_backward(
        recorder: &mut Recorder,
        prepared: &[BufferSlice],
        [values, quantized, gradients]: &[Vec<BufferSlice>; 3],
    ) -> Result<(), GraphError> {
        let &[scale, largest] = prepared else { unreachable!("both were prepared") };
        let len =
            |slice: &BufferSlice| u32::try_from(slice.words).expect("a binding has fewer than 2^32 words");
        let mut partials = Vec::new();
        for (value, quantized) in values.iter().zip(quantized) {
            let kernel = WeightMaxSums { len: len(value) };
            let partial = recorder.transient("sums of the maximum", 2 * u64::from(kernel.groups()));
            recorder.dispatch(kernel, &[*value, *quantized, largest, partial])?;
            partials.push((partial, kernel.groups()));
        }
        let sums = recorder.transient("sum of the maximum", 2);
        sum_partials(recorder, &partials, 2, 1.0, sums)?;
        for (value, gradient) in values.iter().zip(gradients) {
            let kernel = WeightMaxBackward { len: len(value) };
            recorder.dispatch(kernel, &[*value, scale, largest, sums, *gradient])?;
        }
        Ok(())
    }
}

impl WeightQuantizer for DorefaWeight {
    fn with_method(&self, method: &Method) -> Option<Arc<dyn WeightQuantizer>> {
        if method.group_net.channel_scales && self.bits == 1 {
            return Some(Arc::new(ChannelWeight));
        }
        if let Some(form) = method.nested {
            return Some(Arc::new(NestedWeight { widest: self.bits, bits: self.bits, form, scaled: true }));
        }
        if let Some(rule) = method.heterogeneous {
            return Some(Arc::new(HbnnWeight { rule }));
        }
        let max_gradient = method.max_gradient && self.bits > 1;
        Some(Arc::new(Self { rounding: method.rounding, max_gradient, ..*self }))
    }

    /// The upper planes of Eq 9's codes on the grid of fewer bits; without a scale, as the whole codes have none.
    fn cut(&self, bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        if bits == self.bits {
            return Some(Arc::new(*self));
        }
        let can = bits < self.bits && self.rounding == Rounding::Even;
        let form = NestedForm::Shift;
        can.then(|| Arc::new(NestedWeight { widest: self.bits, bits, form, scaled: false }) as Arc<_>)
    }

    fn with_learned_bits(&self, form: LengthForm, groups: u32) -> Option<Arc<dyn WeightQuantizer>> {
        Some(Arc::new(LearnedWeight::new(form, self.bits, groups)))
    }

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
        let mut prepared = vec![reduce_pieces(recorder, "weight scale", first, weight.value)?];
        if self.max_gradient {
            let first = Reduce { map: ReduceMap::Abs, ..first };
            prepared.push(reduce_pieces(recorder, "largest weight", first, weight.value)?);
        }
        Ok(prepared)
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
        let rule = if self.bits == 1 { WeightRule::Sign } else { WeightRule::tanh(self.rounding) };
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
        let constants = (prepared[0], recorder.one());
        let pieces = tangent_backward(recorder, weight, constants, grad_quantized)?;
        if self.max_gradient { Self::max_backward(recorder, prepared, &pieces) } else { Ok(()) }
    }
}

/// Records the gradient through `scale * tanh(w) / largest` and gives the pieces of weights, gradients of quantized weights and
/// gradients.
pub(super) fn tangent_backward(
    recorder: &mut Recorder,
    weight: &Parameter,
    (largest, scale): (BufferSlice, BufferSlice),
    grad_quantized: BufferSlice,
) -> Result<[Vec<BufferSlice>; 3], GraphError> {
    let pieces = [weight.value, grad_quantized, weight.gradient].map(|slice| recorder.pieces(slice));
    let [values, quantized, gradients] = &pieces;
    for ((value, quantized), gradient) in values.iter().zip(quantized).zip(gradients) {
        let len = u32::try_from(value.words).expect("a binding has fewer than 2^32 words");
        recorder.dispatch(WeightBackward { len }, &[*value, largest, scale, *quantized, *gradient])?;
    }
    Ok(pieces)
}
