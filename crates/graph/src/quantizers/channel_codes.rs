//! Activations whose channels have codes of several widths, each width in planes of its own.

use kernels::{ActivationForm, ChannelSet, ClipBackward, QuantizeGroups, Rounding};
use recording::BufferSlice;

use super::ActivationQuantizer;
use crate::{GraphError, Packed, Recorder, Tensor, planes::Group};

/// Activations clipped to [0, 1], in a network that is deployed and no longer trained: every set of channels has codes of its
/// own bits in planes that are 0 elsewhere, so that the tensor is the sum of the sets' plane groups.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelCodes {
    /// The sets, in the order of their planes.
    pub sets: Vec<ChannelSet>,
    /// Value of code 1 in each of them.
    pub factors: Vec<f32>,
    /// How codes are rounded.
    pub rounding: Rounding,
}

impl ActivationQuantizer for ChannelCodes {
    /// Of the widest.
    fn bits(&self) -> u32 {
        self.sets.iter().map(|set| set.bits).max().expect("at least one set")
    }

    fn factor(&self) -> f32 {
        self.factors[0]
    }

    fn groups(&self, _: &mut Recorder) -> Result<Vec<Group>, GraphError> {
        let mut first_plane = 0;
        let group = |(set, factor): (&ChannelSet, &f32)| {
            let group = Group::codes(set.bits, *factor).behind(first_plane);
            first_plane += set.bits;
            group
        };
        Ok(self.sets.iter().zip(&self.factors).map(group).collect())
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let chunks = record_sets(recorder, input, &self.sets, self.rounding)?;
        let groups = self.groups(recorder)?;
        Ok(Packed { shape: input.shape, kind: self.kind(), groups, chunks, magnitudes: None })
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        clip_backward(recorder, input, grad)
    }
}

/// Records the codes of all sets of channels, one behind the other.
pub(super) fn record_sets(
    recorder: &mut Recorder,
    input: &Tensor,
    sets: &[ChannelSet],
    rounding: Rounding,
) -> Result<Vec<BufferSlice>, GraphError> {
    let (shape, planes) = (input.shape, sets.iter().map(|set| set.bits).sum());
    let table = recorder.constant("sets of channels", ChannelSet::words(sets));
    let sets = u32::try_from(sets.len()).expect("no more than twice the channels");
    let mut chunks = Vec::new();
    for chunk in recorder.chunks() {
        let codes = recorder.per_sample("codes", chunk, Packed::words(shape, planes, chunk.samples));
        let (rows, channels) = (chunk.samples * shape.pixels(), shape.channels);
        let kernel = QuantizeGroups { rows, channels, sets, planes, rounding };
        recorder.dispatch(kernel, &[input.chunks[chunk.index], table, codes])?;
        chunks.push(codes);
    }
    Ok(chunks)
}

/// Records the gradient, which passes where `0 <= x <= 1`.
pub(super) fn clip_backward(
    recorder: &mut Recorder,
    input: &Tensor,
    grad: &Tensor,
) -> Result<Tensor, GraphError> {
    let result = recorder.tensor("grad_input", input.shape);
    for chunk in recorder.chunks() {
        let at = chunk.index;
        let (len, form) = (chunk.samples * input.shape.len(), ActivationForm::Clip);
        let kernel = ClipBackward { len, form, limit: 1.0 };
        recorder.dispatch(kernel, &[input.chunks[at], grad.chunks[at], result.chunks[at]])?;
    }
    Ok(result)
}
