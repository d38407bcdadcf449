//! Weights of a learned bit length (BitPruning).

use std::sync::Arc;

use kernels::{Kind, QuantizeWeight, Reduce, ReduceMap, ReduceOp, WeightRule};
use recording::BufferSlice;
use reference::bit_length::Tensor as Of;

use super::{
    WeightQuantizer, WeightRows,
    learned::{Recorded, copy, put},
};
use crate::{
    Convolution, GraphError, Parameter, ParameterSpec, Recorder,
    bit_length::LengthForm,
    planes::Operand,
    reduction::{reduce_pieces, reduce_to_one},
};

/// Rows whose products share one partial sum of a length's gradient.
const PARTIAL_ROWS: u32 = 1024;

/// Weights in `[-m, m]`, `m = max |w|`, on the grids of [`reference::bit_length`]. The gradient passes unchanged, and `m` is
/// a constant of the backward pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedWeight(pub(crate) Recorded);

impl LearnedWeight {
    /// A length that begins at `bits` whole bits.
    pub fn new(form: LengthForm, bits: u32) -> Self {
        Self(Recorded::new(form, Of::Weight, bits))
    }

    /// The planes of all groups, of the matrix that `by` packs in a given width.
    fn planes(
        &self,
        recorder: &mut Recorder,
        (weight, range): (BufferSlice, BufferSlice),
        by: impl Fn(u32, WeightRule) -> QuantizeWeight,
    ) -> Result<BufferSlice, GraphError> {
        let rule = WeightRule::linear(self.0.form.grid());
        let row_words = |kernel: &QuantizeWeight| kernel.rows * kernels::words_for(kernel.k);
        let words = self.0.planes() * row_words(&by(1, rule));
        let buffer = recorder.transient("weight planes", u64::from(words));
        let mut first = 0;
        for bits in self.0.widths() {
            let kernel = by(bits, rule);
            let own = bits * row_words(&kernel);
            if own == words {
                recorder.dispatch(kernel, &[weight, range, buffer])?;
            } else {
                let part = recorder.transient("weight planes of one width", u64::from(own));
                recorder.dispatch(kernel, &[weight, range, part])?;
                put(recorder, part, (buffer, words), first)?;
            }
            first += own;
        }
        Ok(buffer)
    }
}

impl WeightQuantizer for LearnedWeight {
    fn for_state(&self, read: &dyn Fn(&str) -> Option<f32>) -> Option<Arc<dyn WeightQuantizer>> {
        self.0.for_state(read).map(|recorded| Arc::new(Self(recorded)) as _)
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        self.0.cut(bits).map(|recorded| Arc::new(Self(recorded)) as _)
    }

    fn stored_bits(&self) -> f64 {
        f64::from(self.0.bits())
    }

    fn planes(&self) -> u32 {
        self.0.bits()
    }

    fn parameters(&self, _: &Convolution) -> Vec<ParameterSpec> {
        self.0.parameters()
    }

    /// The largest magnitude, and the scales of the groups.
    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let first =
            Reduce { rows: 1, len: weight.len(), map: ReduceMap::Abs, op: ReduceOp::Max, factor: 1.0 };
        let range = reduce_pieces(recorder, "largest weight", first, weight.value)?;
        Ok(vec![range, self.0.scales(recorder, range)?])
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let shape = [convolution.output.channels, convolution.taps(), convolution.input.channels];
        let source = (weight.value, prepared[0]);
        let buffer = self.planes(recorder, source, |bits, rule| match rows {
            WeightRows::ByOutput => QuantizeWeight::by_output(shape, bits, rule),
            WeightRows::ByInput => QuantizeWeight::by_input(shape, bits, rule),
        })?;
        let groups = self.0.groups(prepared[1]);
        if let (WeightRows::ByOutput, [group]) = (rows, groups.as_slice()) {
            let kernel = QuantizeWeight::by_output(shape, self.0.base, WeightRule::Linear);
            let scale = group.scale.map(|(scale, _)| scale);
            recorder.tap_weight_codes(buffer, (kernel.rows, kernel.k), self.0.base, scale);
        }
        Ok(Operand { buffer, kind: Kind::Sign, groups })
    }

    fn passes_gradient(&self) -> bool {
        self.0.frozen
    }

    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        let pieces = [grad_quantized, weight.gradient].map(|slice| recorder.pieces(slice));
        for (source, target) in pieces[0].iter().zip(&pieces[1]) {
            copy(recorder, *source, *target)?;
        }
        let rows = u32::try_from(weight.spec.shape[0]).expect("channels");
        let (k, group) = (weight.len() / rows, rows.min(PARTIAL_ROWS));
        let planes = self.planes(recorder, (weight.value, prepared[0]), |bits, rule| {
            QuantizeWeight::by_output([rows, 1, k], bits, rule)
        })?;
        let len = rows.div_ceil(group) * k;
        let partials = recorder.transient("partials of the length's gradient", u64::from(len));
        let sources = (planes, grad_quantized, prepared[0]);
        self.0.partial_sums(recorder, sources, (rows, k, group), partials)?;
        let all = Reduce { rows: 1, len, map: ReduceMap::Identity, op: ReduceOp::Sum, factor: 1.0 };
        let sum = reduce_to_one(recorder, "gradient of the length", all, partials, None)?;
        let length = self.0.length(recorder);
        copy(recorder, sum, length.gradient)
    }
}
