//! Activations of a learned bit length (BitPruning).

use std::{ops::RangeInclusive, sync::Arc};

use kernels::{ActivationForm, ClipBackward, QuantizeActivation, Reduce, ReduceMap, ReduceOp, Rounding};
use reference::bit_length::{Grid, Tensor as Of};
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold_batch_norm_by};

use super::{
    ActivationQuantizer, DorefaActivation,
    learned::{Recorded, copy, for_state, parameters, put, scales},
};
use crate::{
    CodeRule, GraphError, Packed, ParameterSpec, Recorder, Tensor,
    bit_length::LengthForm,
    planes::Group,
    reduction::{reduce_to_one, rows_per_partial, sum_partials},
};

/// Rows of one partial sum of a length's gradient, about.
const PARTIAL_ROWS: u32 = 1024;

/// Activations clipped to [0, 1] on the grids of [`reference::bit_length`]; the gradient passes where `0 <= x <= 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedActivation(pub(crate) Recorded);

impl LearnedActivation {
    /// A length that begins at `bits` whole bits.
    pub fn new(form: LengthForm, bits: u32) -> Self {
        Self(Recorded::new(form, Of::Activation, bits))
    }

    fn rounding(&self) -> Rounding {
        match self.0.form.grid() {
            Grid::Nested => Rounding::MidRise,
            Grid::Ends => Rounding::Even,
        }
    }
}

impl ActivationQuantizer for LearnedActivation {
    fn for_state(&self, read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn ActivationQuantizer>> {
        for_state(&[self.0], read).map(|recorded| Arc::new(Self(recorded[0])) as _)
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        self.0.cut(bits).map(|recorded| Arc::new(Self(recorded)) as _)
    }

    fn bits(&self) -> u32 {
        self.0.bits()
    }

    fn factor(&self) -> f32 {
        1.0 / reference::quantize::levels(self.0.base) as f32
    }

    fn groups(&self, recorder: &mut Recorder) -> Result<Vec<Group>, GraphError> {
        if self.0.frozen {
            return Ok(vec![Group::codes(self.0.base, self.factor())]);
        }
        let one = recorder.one();
        let scales = recorder.once(|recorder| scales(recorder, &[self.0], one))?;
        Ok(self.0.groups(scales, (0, 1)))
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        parameters(&[self.0])
    }

    fn thresholds(
        &self,
        channel: &BatchNormChannel,
        range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        self.0.frozen.then(|| fold_batch_norm_by(channel, (self.0.base, self.rounding()), range))
    }

    fn rule(&self) -> Option<CodeRule> {
        let whole = DorefaActivation { rounding: self.rounding(), ..DorefaActivation::new(self.0.base) };
        whole.rule().filter(|_| self.0.frozen)
    }

    /// Two sets of codes have no common rounding.
    fn unit_clip(&self) -> Option<Rounding> {
        (self.0.widths().len() == 1).then(|| self.rounding())
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let (shape, planes) = (input.shape, self.0.planes());
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * shape.pixels();
            let words = Packed::words(shape, planes, chunk.samples);
            let buffer = recorder.per_sample("codes", chunk, words);
            let mut first = 0;
            for bits in self.0.widths() {
                let (form, rounding) = (ActivationForm::Clip, self.rounding());
                let (channels, range) = (shape.channels, 1.0);
                let kernel = QuantizeActivation { rows, channels, bits, form, rounding, range };
                let own = Packed::words(shape, bits, chunk.samples);
                let source = input.chunks[chunk.index];
                if own == words {
                    recorder.dispatch(kernel, &[source, buffer])?;
                } else {
                    let part = recorder.per_sample("codes of one width", chunk, own);
                    recorder.dispatch(kernel, &[source, part])?;
                    let words = u32::try_from(words).expect("a binding has fewer than 2^32 words");
                    put(recorder, part, (buffer, words), first)?;
                }
                first += u32::try_from(own).expect("a binding has fewer than 2^32 words");
            }
            chunks.push(buffer);
        }
        let groups = self.groups(recorder)?;
        Ok(Packed { shape, kind: self.kind(), groups, chunks, magnitudes: None })
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        let result = recorder.tensor("grad_input", input.shape);
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let (len, form) = (chunk.samples * input.shape.len(), ActivationForm::Clip);
            let kernel = ClipBackward { len, form, limit: 1.0 };
            recorder.dispatch(kernel, &[input.chunks[at], grad.chunks[at], result.chunks[at]])?;
        }
        Ok(result)
    }

    fn own_gradients(
        &self,
        recorder: &mut Recorder,
        codes: &Packed,
        grad: &Tensor,
    ) -> Result<(), GraphError> {
        if self.0.frozen || !self.0.length(recorder).spec.trainable {
            return Ok(());
        }
        let (pixels, channels) = (codes.shape.pixels(), codes.shape.channels);
        let (group, one) = (rows_per_partial(pixels, PARTIAL_ROWS), recorder.one());
        let mut partials = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * pixels;
            let groups = rows.div_ceil(group);
            let words = u64::from(groups) * u64::from(channels);
            let partial = recorder.per_sample("partials of the length's gradient", chunk, words);
            let sources = (codes.chunks[chunk.index], grad.chunks[chunk.index], one);
            self.0.partial_sums(recorder, sources, (rows, channels, group), partial)?;
            partials.push((partial, groups));
        }
        let columns = recorder.transient("gradient of the length by channel", u64::from(channels));
        sum_partials(recorder, &partials, channels, 1.0, columns)?;
        let map = ReduceMap::Identity;
        let all = Reduce { rows: 1, len: channels, map, op: ReduceOp::Sum, factor: 1.0 };
        let sum = reduce_to_one(recorder, "gradient of the length", all, columns, None)?;
        let length = self.0.length(recorder);
        copy(recorder, sum, length.gradient)
    }
}
