//! Activations of learned bit lengths (BitPruning).

use std::{ops::RangeInclusive, sync::Arc};

use kernels::{ActivationForm, ChannelSet, QuantizeActivation, Reduce, ReduceMap, ReduceOp, Rounding};
use recording::BufferSlice;
use reference::bit_length::{Grid, Tensor as Of};
use reference::quantize::levels;
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold_batch_norm_by};

use super::{
    ActivationQuantizer, DorefaActivation,
    channel_codes::{clip_backward, record_sets},
    learned::{Recorded, copy, for_state, parameters, partial_sums, put, scales},
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
///
/// Groups of channels may have lengths of their own. Each then has planes of its own, whose bits are 0 in all other channels, so
/// that the tensor is the sum of its plane groups as ever; frozen groups of equal bits share theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedActivation {
    /// The length of all channels, or those of equally many neighboring channels each.
    lengths: Vec<Recorded>,
}

/// Groups of channels whose codes lie in the same planes: one, or several frozen ones of equal bits.
#[derive(Clone, Debug)]
struct Set {
    length: Recorded,
    groups: Vec<usize>,
    first_plane: u32,
}

impl LearnedActivation {
    /// `groups` lengths that begin at `bits` whole bits.
    pub fn new(form: LengthForm, bits: u32, groups: u32) -> Self {
        Self { lengths: vec![Recorded::new(form, Of::Activation, bits); groups as usize] }
    }

    fn rounding(&self) -> Rounding {
        match self.lengths[0].form.grid() {
            Grid::Nested => Rounding::MidRise,
            Grid::Ends => Rounding::Even,
        }
    }

    fn sets(&self) -> Vec<Set> {
        let mut sets: Vec<Set> = Vec::new();
        for (at, length) in self.lengths.iter().enumerate() {
            let same = |set: &&mut Set| length.frozen && set.length.frozen && set.length.base == length.base;
            match sets.iter_mut().find(same) {
                Some(set) => set.groups.push(at),
                None => sets.push(Set { length: *length, groups: vec![at], first_plane: 0 }),
            }
        }
        let mut first_plane = 0;
        for set in &mut sets {
            set.first_plane = first_plane;
            first_plane += set.length.planes();
        }
        sets
    }

    /// The length of all channels: the only one, or the one that frozen groups agree on.
    fn only(&self) -> Option<Recorded> {
        match self.sets().as_slice() {
            [set] => Some(set.length),
            _ => None,
        }
    }

    fn planes(&self) -> u32 {
        self.sets().iter().map(|set| set.length.planes()).sum()
    }

    fn is_frozen(&self) -> bool {
        self.lengths.iter().all(|length| length.frozen)
    }

    /// Records the codes of one length of all channels, those of its widths one behind the other.
    fn pack_alone(
        &self,
        recorder: &mut Recorder,
        length: Recorded,
        input: &Tensor,
    ) -> Result<Vec<BufferSlice>, GraphError> {
        let (shape, planes) = (input.shape, length.planes());
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * shape.pixels();
            let words = Packed::words(shape, planes, chunk.samples);
            let buffer = recorder.per_sample("codes", chunk, words);
            let mut first = 0;
            for bits in length.widths() {
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
        Ok(chunks)
    }

    /// Records the codes of all sets of channels, one behind the other.
    fn pack_sets(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Vec<BufferSlice>, GraphError> {
        let of_group = input.shape.channels as usize / self.lengths.len();
        let of_set = |set: Set| {
            let members: Vec<bool> =
                (0..input.shape.channels as usize).map(|c| set.groups.contains(&(c / of_group))).collect();
            let widths = set.length.widths().into_iter();
            widths.map(move |bits| ChannelSet { bits, members: members.clone() })
        };
        let sets: Vec<ChannelSet> = self.sets().into_iter().flat_map(of_set).collect();
        record_sets(recorder, input, &sets, self.rounding())
    }
}

impl ActivationQuantizer for LearnedActivation {
    fn for_state(&self, read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn ActivationQuantizer>> {
        for_state(&self.lengths, read).map(|lengths| Arc::new(Self { lengths }) as _)
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        let lengths = self.lengths.iter().map(|length| length.cut(bits)).collect::<Option<_>>()?;
        Some(Arc::new(Self { lengths }))
    }

    /// Of the longest.
    fn bits(&self) -> u32 {
        self.lengths.iter().map(Recorded::bits).max().expect("at least one length")
    }

    fn factor(&self) -> f32 {
        1.0 / levels(self.lengths[0].base) as f32
    }

    fn groups(&self, recorder: &mut Recorder) -> Result<Vec<Group>, GraphError> {
        let (sets, of) = (self.sets(), self.lengths.len());
        let scales = match self.is_frozen() {
            true => None,
            false => {
                let one = recorder.one();
                Some(recorder.once(|recorder| scales(recorder, &self.lengths, one))?)
            }
        };
        let groups = |set: &Set| {
            let own = match scales {
                Some(scales) if !set.length.frozen => set.length.groups(scales, (set.groups[0], of)),
                _ => vec![Group::codes(set.length.base, 1.0 / levels(set.length.base) as f32)],
            };
            own.into_iter().map(|group| group.behind(set.first_plane)).collect::<Vec<_>>()
        };
        Ok(sets.iter().flat_map(groups).collect())
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        parameters(&self.lengths)
    }

    fn thresholds(
        &self,
        channel: &BatchNormChannel,
        range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        let length = self.only().filter(|length| length.frozen)?;
        Some(fold_batch_norm_by(channel, (length.base, self.rounding()), range))
    }

    fn rule(&self) -> Option<CodeRule> {
        let widest = DorefaActivation { rounding: self.rounding(), ..DorefaActivation::new(self.bits()) };
        widest.rule().filter(|_| self.is_frozen())
    }

    fn channel_sets(&self, channels: u32) -> Option<Vec<u32>> {
        let sets = self.sets();
        let of_group = channels as usize / self.lengths.len();
        let set = |channel: usize| sets.iter().position(|set| set.groups.contains(&(channel / of_group)));
        let all = (0..channels as usize).map(|channel| set(channel).map(|set| set as u32)).collect();
        if sets.len() > 1 && self.is_frozen() { all } else { None }
    }

    /// Two sets of codes have no common rounding.
    fn unit_clip(&self) -> Option<Rounding> {
        self.only().filter(|length| length.widths().len() == 1).map(|_| self.rounding())
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let chunks = match self.only() {
            Some(length) => self.pack_alone(recorder, length, input)?,
            None => self.pack_sets(recorder, input)?,
        };
        let groups = self.groups(recorder)?;
        Ok(Packed { shape: input.shape, kind: self.kind(), groups, chunks, magnitudes: None })
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        clip_backward(recorder, input, grad)
    }

    fn own_gradients(
        &self,
        recorder: &mut Recorder,
        codes: &Packed,
        grad: &Tensor,
    ) -> Result<(), GraphError> {
        let parameter = self.lengths[0].length(recorder);
        if self.is_frozen() || !parameter.spec.trainable {
            return Ok(());
        }
        let (pixels, channels) = (codes.shape.pixels(), codes.shape.channels);
        let (group, one) = (rows_per_partial(pixels, PARTIAL_ROWS), recorder.one());
        let sets = self.sets();
        let first_plane =
            |at: usize| sets.iter().find(|set| set.groups.contains(&at)).map(|set| set.first_plane);
        let lengths: Vec<(Recorded, u32)> = self
            .lengths
            .iter()
            .enumerate()
            .map(|(at, length)| (*length, first_plane(at).unwrap_or(0)))
            .collect();
        let mut partials = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * pixels;
            let groups = rows.div_ceil(group);
            let words = u64::from(groups) * u64::from(channels);
            let partial = recorder.per_sample("partials of the length's gradient", chunk, words);
            let sources = (codes.chunks[chunk.index], grad.chunks[chunk.index], one);
            partial_sums(recorder, (&lengths, self.planes()), sources, (rows, channels, group), partial)?;
            partials.push((partial, groups));
        }
        let columns = recorder.transient("gradient of the length by channel", u64::from(channels));
        sum_partials(recorder, &partials, channels, 1.0, columns)?;
        let rows = u32::try_from(self.lengths.len()).expect("no more than channels");
        let (len, map) = (channels / rows, ReduceMap::Identity);
        let all = Reduce { rows, len, map, op: ReduceOp::Sum, factor: 1.0 };
        let sum = reduce_to_one(recorder, "gradient of the length", all, columns, None)?;
        copy(recorder, sum, parameter.gradient)
    }
}
