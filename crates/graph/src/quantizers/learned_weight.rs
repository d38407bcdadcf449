//! Weights of learned bit lengths (BitPruning).

use std::sync::Arc;

use kernels::{Kind, QuantizeWeight, Reduce, ReduceMap, ReduceOp, WeightRule};
use recording::BufferSlice;
use reference::bit_length::Tensor as Of;

use super::{
    WeightQuantizer, WeightRows,
    learned::{self, Recorded, copy, put},
};
use crate::{
    Convolution, GraphError, Parameter, ParameterSpec, Recorder,
    bit_length::LengthForm,
    channel_parts::group,
    planes::Operand,
    reduction::{reduce_pieces, reduce_to_one},
};

/// Rows whose products share one partial sum of a length's gradient.
const PARTIAL_ROWS: u32 = 1024;

/// Weights in `[-m, m]`, `m = max |w|` of the whole tensor, on the grids of [`reference::bit_length`]. The gradient passes
/// unchanged, and `m` is a constant of the backward pass.
///
/// Groups of output channels may have lengths of their own. Each is then packed and multiplied by itself, with as many planes as
/// its length asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedWeight {
    /// The length of all weights, or those of equally many output channels each.
    lengths: Vec<Recorded>,
    /// The only group whose weights are packed.
    only: Option<usize>,
}

impl LearnedWeight {
    /// `groups` lengths that begin at `bits` whole bits.
    pub fn new(form: LengthForm, bits: u32, groups: u32) -> Self {
        let length = Recorded::new(form, Of::Weight, bits);
        Self { lengths: vec![length; groups as usize], only: None }
    }

    /// The length of the weights that are packed.
    fn packed(&self) -> Recorded {
        self.lengths[self.only.unwrap_or(0)]
    }

    /// Records the gradient of length `at` in word `at` of `target`.
    fn length_gradient(
        &self,
        recorder: &mut Recorder,
        at: u32,
        [weight, grad, range]: [BufferSlice; 3],
        (rows, k): (u32, u32),
        target: BufferSlice,
    ) -> Result<(), GraphError> {
        let (length, all) = (self.lengths[at as usize], self.lengths.len() as u32);
        let rows = rows / all;
        let [weight, grad] = match all {
            1 => [weight, grad],
            _ => [group(recorder, weight, (at, all))?, group(recorder, grad, (at, all))?],
        };
        let planes = planes(recorder, length, (weight, range), |bits, rule| {
            QuantizeWeight::by_output([rows, 1, k], bits, rule)
        })?;
        let summed = rows.min(PARTIAL_ROWS);
        let len = rows.div_ceil(summed) * k;
        let partials = recorder.transient("partials of the length's gradient", u64::from(len));
        let (sources, size) = ((planes, grad, range), (rows, k, summed));
        learned::partial_sums(recorder, (&[(length, 0)], length.planes()), sources, size, partials)?;
        let map = ReduceMap::Identity;
        let sums = Reduce { rows: 1, len, map, op: ReduceOp::Sum, factor: 1.0 };
        let sum = reduce_to_one(recorder, "gradient of the length", sums, partials, None)?;
        put(recorder, sum, (target, all), at)
    }
}

/// The planes of all groups of planes, of the matrix that `by` packs in a given width.
fn planes(
    recorder: &mut Recorder,
    length: Recorded,
    (weight, range): (BufferSlice, BufferSlice),
    by: impl Fn(u32, WeightRule) -> QuantizeWeight,
) -> Result<BufferSlice, GraphError> {
    let rule = WeightRule::linear(length.form.grid());
    let row_words = |kernel: &QuantizeWeight| kernel.rows * kernels::words_for(kernel.k);
    let words = length.planes() * row_words(&by(1, rule));
    let buffer = recorder.transient("weight planes", u64::from(words));
    let mut first = 0;
    for bits in length.widths() {
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

impl WeightQuantizer for LearnedWeight {
    fn for_state(&self, read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn WeightQuantizer>> {
        let lengths = learned::for_state(&self.lengths, read)?;
        Some(Arc::new(Self { lengths, ..self.clone() }))
    }

    fn channel_groups(&self) -> u32 {
        self.lengths.len() as u32
    }

    fn of_group(&self, at: u32) -> Option<Arc<dyn WeightQuantizer>> {
        (self.lengths.len() > 1).then(|| Arc::new(Self { only: Some(at as usize), ..self.clone() }) as _)
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        let lengths = self.lengths.iter().map(|length| length.cut(bits)).collect::<Option<_>>()?;
        Some(Arc::new(Self { lengths, ..self.clone() }))
    }

    fn stored_bits(&self) -> f64 {
        let bits: u32 = self.lengths.iter().map(Recorded::bits).sum();
        f64::from(bits) / self.lengths.len() as f64
    }

    fn planes(&self) -> u32 {
        self.lengths.iter().map(Recorded::bits).max().expect("at least one length")
    }

    fn parameters(&self, _: &Convolution) -> Vec<ParameterSpec> {
        learned::parameters(&self.lengths)
    }

    /// The largest magnitude, and the scales of the groups of planes.
    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let first =
            Reduce { rows: 1, len: weight.len(), map: ReduceMap::Abs, op: ReduceOp::Max, factor: 1.0 };
        let range = reduce_pieces(recorder, "largest weight", first, weight.value)?;
        Ok(vec![range, learned::scales(recorder, &self.lengths, range)?])
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
        let length = self.packed();
        let source = (weight.value, prepared[0]);
        let buffer = planes(recorder, length, source, |bits, rule| match rows {
            WeightRows::ByOutput => QuantizeWeight::by_output(shape, bits, rule),
            WeightRows::ByInput => QuantizeWeight::by_input(shape, bits, rule),
        })?;
        let groups = length.groups(prepared[1], (self.only.unwrap_or(0), self.lengths.len()));
        if let (WeightRows::ByOutput, None, [group]) = (rows, self.only, groups.as_slice()) {
            let kernel = QuantizeWeight::by_output(shape, length.base, WeightRule::Linear);
            let scale = group.scale.map(|(scale, _)| scale);
            recorder.tap_weight_codes(buffer, (kernel.rows, kernel.k), length.base, scale);
        }
        Ok(Operand { buffer, kind: Kind::Sign, groups })
    }

    fn passes_gradient(&self) -> bool {
        self.packed().frozen
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
        let (sources, size) = ([weight.value, grad_quantized, prepared[0]], (rows, weight.len() / rows));
        let target = self.packed().length(recorder).gradient;
        let all = 0..self.channel_groups();
        all.into_iter().try_for_each(|at| self.length_gradient(recorder, at, sources, size, target))
    }
}
