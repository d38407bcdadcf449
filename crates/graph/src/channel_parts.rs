//! A convolution cut by channels: into groups, which read and write channels of their own, and into parts of the outputs
//! of a group where its weights together would pass a binding.
//!
//! Every part is a convolution without groups. What it reads of a wider tensor is copied out; what it writes goes straight
//! to its channels where they begin at a slice's alignment, else through a copy. A convolution that is its own only part
//! needs no copy.

use kernels::{BitSlice, CopyChannels};
use recording::{BufferSlice, SLICE_ALIGNMENT};

use crate::{
    Convolution, GraphError, Parameter, Recorder, Shape, Tensor, bit_convolution::Rows, planes::Operand,
    quantizers::GradientPlanes, recorder::Chunk,
};

/// A run of input channels and a run of output channels, with the weights between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelPart {
    /// The convolution between them.
    pub convolution: Convolution,
    /// Position among the parts that read the same input channels.
    pub of_group: u32,
    whole: Convolution,
    first_input: u32,
    first_output: u32,
}

/// Columns of a wider matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// Begins with the first of them.
    pub slice: BufferSlice,
    /// Words from one row to the next.
    pub stride: u32,
}

/// Channels of a wider row.
#[derive(Clone, Copy, Debug)]
struct Run {
    channels: u32,
    first: u32,
    count: u32,
}

impl Run {
    fn is_whole(&self) -> bool {
        self.count == self.channels
    }
}

impl Convolution {
    /// The parts, in order of their outputs, each of at most `most_weights` weights where the outputs can be cut so, and none
    /// of more than one of the `runs` equal runs of all outputs.
    pub(crate) fn parts(&self, most_weights: u64, runs: u32) -> Vec<ChannelPart> {
        let (inputs, outputs) = (self.input.channels / self.groups, self.output.channels / self.groups);
        let weights = |outputs: u32| u64::from(outputs) * u64::from(self.fan_in());
        // Weights of a cut group are bound part by part, so that each part must begin where a slice may.
        let least = (runs / self.groups).max(1);
        let fits = |cuts: &u32| {
            let part = weights(outputs / cuts);
            outputs.is_multiple_of(*cuts)
                && cuts.is_multiple_of(least)
                && part <= most_weights
                && part.is_multiple_of(SLICE_ALIGNMENT)
        };
        let cuts = match weights(outputs) <= most_weights {
            true => least,
            false => (2..=outputs).find(fits).unwrap_or(least),
        };
        let part = |at: u32| {
            let (group, of_group) = (at / cuts, at % cuts);
            let count = outputs / cuts;
            let input = Shape { channels: inputs, ..self.input };
            let output = Shape { channels: count, ..self.output };
            ChannelPart {
                convolution: Self { input, output, groups: 1, ..*self },
                of_group,
                whole: *self,
                first_input: group * inputs,
                first_output: group * outputs + of_group * count,
            }
        };
        (0..self.groups * cuts).map(part).collect()
    }
}

impl ChannelPart {
    /// The convolution has no other part.
    pub fn is_whole(&self) -> bool {
        self.reads_all_inputs() && self.outputs().is_whole()
    }

    /// Which of `groups` equal runs of all outputs the part belongs to.
    pub fn group_of(&self, groups: u32) -> u32 {
        self.first_output / (self.whole.output.channels / groups)
    }

    /// It reads every input channel.
    pub fn reads_all_inputs(&self) -> bool {
        self.inputs().is_whole()
    }

    fn inputs(&self) -> Run {
        let (channels, count) = (self.whole.input.channels, self.convolution.input.channels);
        Run { channels, first: self.first_input, count }
    }

    fn outputs(&self) -> Run {
        let (channels, count) = (self.whole.output.channels, self.convolution.output.channels);
        Run { channels, first: self.first_output, count }
    }

    /// The weights of the part, as if they were a parameter of their own.
    pub fn weight(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Parameter, GraphError> {
        let value = self.weight_slice(recorder, weight.value)?;
        Ok(Parameter { value, ..weight.clone() })
    }

    /// The part's share of `weight`.
    pub fn weight_slice(
        &self,
        recorder: &mut Recorder,
        weight: BufferSlice,
    ) -> Result<BufferSlice, GraphError> {
        share(recorder, weight, self.weights())
    }

    /// The part's share of one value per output channel.
    pub fn output_values(
        &self,
        recorder: &mut Recorder,
        values: BufferSlice,
    ) -> Result<BufferSlice, GraphError> {
        share(recorder, values, self.outputs())
    }

    /// Calls `record` with where the part's share of `weight` is to be written.
    pub fn record_weight(
        &self,
        recorder: &mut Recorder,
        weight: BufferSlice,
        record: impl FnOnce(&mut Recorder, BufferSlice) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        let run = self.weights();
        if let Some(slice) = aligned(weight, run) {
            return record(recorder, slice);
        }
        let part = recorder.transient("gradient of a part", u64::from(run.count));
        record(recorder, part)?;
        recorder.dispatch(put(1, run), &[part, weight])
    }

    /// Weights in the order of memory as channels of a single row.
    fn weights(&self) -> Run {
        let first = self.first_output * self.convolution.fan_in();
        Run { channels: self.whole.weight_len(), first, count: self.convolution.weight_len() }
    }

    /// The part's input channels of packed activations.
    pub fn input_rows<'a>(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        rows: Rows<'a>,
    ) -> Result<Rows<'a>, GraphError> {
        let pixels = chunk.samples * self.whole.input.pixels();
        let planes = (rows.planes, rows.of.planes());
        Ok(Rows { planes: slice(recorder, chunk, planes, pixels, self.inputs())?, ..rows })
    }

    /// The part's input channels of an f32 tensor.
    pub fn input(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Tensor, GraphError> {
        channels(recorder, input, self.inputs())
    }

    /// The part's output channels of a packed gradient.
    pub fn gradient(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
    ) -> Result<GradientPlanes, GraphError> {
        let (rows, planes) = (chunk.samples * self.whole.output.pixels(), (gradient.planes, gradient.bits));
        Ok(GradientPlanes { planes: slice(recorder, chunk, planes, rows, self.outputs())?, ..*gradient })
    }

    /// The part's output channels of an f32 gradient.
    pub fn dense_gradient(&self, recorder: &mut Recorder, grad: &Tensor) -> Result<Tensor, GraphError> {
        channels(recorder, grad, self.outputs())
    }

    /// Calls `record` with where the part's output channels of one chunk are to be written.
    pub fn record_output(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        output: BufferSlice,
        record: impl FnOnce(&mut Recorder, Columns) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        let rows = chunk.samples * self.whole.output.pixels();
        record_columns(recorder, chunk, output, (rows, self.outputs(), false), record)
    }

    /// Records the part's share of the gradient of the input of one chunk, added to what parts of its group before it wrote.
    pub fn bit_grad_input(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        weight: &Operand,
        grad_input: BufferSlice,
    ) -> Result<(), GraphError> {
        let adds = self.of_group > 0;
        if self.reads_all_inputs() {
            let flattened = self.convolution.flattened();
            let columns = Columns { slice: grad_input, stride: flattened.input.channels };
            return flattened.bit_grad_input(recorder, chunk, gradient, weight, (columns, adds));
        }
        let rows = chunk.samples * self.whole.input.pixels();
        record_columns(recorder, chunk, grad_input, (rows, self.inputs(), adds), |recorder, columns| {
            self.convolution.bit_grad_input(recorder, chunk, gradient, weight, (columns, adds))
        })
    }

    /// Copies an f32 result of the part to its output channels.
    pub fn put_output(
        &self,
        recorder: &mut Recorder,
        result: &Tensor,
        output: &Tensor,
    ) -> Result<(), GraphError> {
        put_channels(recorder, result, output, self.outputs())
    }

    /// Copies an f32 gradient of the part to its input channels.
    pub fn put_input(
        &self,
        recorder: &mut Recorder,
        result: &Tensor,
        grad_input: &Tensor,
    ) -> Result<(), GraphError> {
        put_channels(recorder, result, grad_input, self.inputs())
    }
}

/// Group `at` of `groups` equal runs of a row.
pub(crate) fn group(
    recorder: &mut Recorder,
    row: BufferSlice,
    (at, groups): (u32, u32),
) -> Result<BufferSlice, GraphError> {
    let channels = u32::try_from(row.words).expect("a binding has fewer than 2^32 words");
    let count = channels / groups;
    share(recorder, row, Run { channels, first: at * count, count })
}

/// The run of a single row, as a slice or a copy.
fn share(recorder: &mut Recorder, row: BufferSlice, run: Run) -> Result<BufferSlice, GraphError> {
    if let Some(slice) = aligned(row, run) {
        return Ok(slice);
    }
    let copy = recorder.transient("share of a part", u64::from(run.count));
    recorder.dispatch(take(1, run), &[row, copy])?;
    Ok(copy)
}

/// The run of a single row as a slice, where it begins at a slice's alignment.
fn aligned(row: BufferSlice, run: Run) -> Option<BufferSlice> {
    let (first, words) = (u64::from(run.first), u64::from(run.count));
    first.is_multiple_of(SLICE_ALIGNMENT).then_some(BufferSlice { offset: row.offset + first, words, ..row })
}

fn take(rows: u32, Run { channels, first, count }: Run) -> CopyChannels {
    CopyChannels { rows, count, source: (channels, first), target: (count, 0) }
}

fn put(rows: u32, Run { channels, first, count }: Run) -> CopyChannels {
    CopyChannels { rows, count, source: (count, 0), target: (channels, first) }
}

fn slice(
    recorder: &mut Recorder,
    chunk: Chunk,
    (planes, bits): (BufferSlice, u32),
    rows: u32,
    run: Run,
) -> Result<BufferSlice, GraphError> {
    if run.is_whole() {
        return Ok(planes);
    }
    let Run { channels, first, count } = run;
    let words = u64::from(bits) * u64::from(rows) * u64::from(kernels::words_for(count));
    let result = recorder.per_sample("channels of a part", chunk, words);
    recorder.dispatch(BitSlice { rows, channels, first, count, bits }, &[planes, result])?;
    Ok(result)
}

fn channels(recorder: &mut Recorder, tensor: &Tensor, run: Run) -> Result<Tensor, GraphError> {
    if run.is_whole() {
        return Ok(tensor.clone());
    }
    let result = recorder.tensor("channels of a part", Shape { channels: run.count, ..tensor.shape });
    for chunk in recorder.chunks() {
        let rows = chunk.samples * tensor.shape.pixels();
        recorder.dispatch(take(rows, run), &[tensor.chunks[chunk.index], result.chunks[chunk.index]])?;
    }
    Ok(result)
}

fn put_channels(recorder: &mut Recorder, part: &Tensor, tensor: &Tensor, run: Run) -> Result<(), GraphError> {
    for chunk in recorder.chunks() {
        let rows = chunk.samples * tensor.shape.pixels();
        recorder.dispatch(put(rows, run), &[part.chunks[chunk.index], tensor.chunks[chunk.index]])?;
    }
    Ok(())
}

fn record_columns(
    recorder: &mut Recorder,
    chunk: Chunk,
    matrix: BufferSlice,
    (rows, run, adds): (u32, Run, bool),
    record: impl FnOnce(&mut Recorder, Columns) -> Result<(), GraphError>,
) -> Result<(), GraphError> {
    let first = u64::from(run.first);
    if first.is_multiple_of(SLICE_ALIGNMENT) {
        let slice = BufferSlice { offset: matrix.offset + first, words: matrix.words - first, ..matrix };
        return record(recorder, Columns { slice, stride: run.channels });
    }
    let words = u64::from(rows) * u64::from(run.count);
    let part = recorder.per_sample("result of a part", chunk, words);
    if adds {
        recorder.dispatch(take(rows, run), &[matrix, part])?;
    }
    record(recorder, Columns { slice: part, stride: run.count })?;
    recorder.dispatch(put(rows, run), &[part, matrix])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Padding};

    fn convolution(inputs: u32, outputs: u32, groups: u32) -> Convolution {
        let same = Geometry::square(3, 1, Padding::Same);
        let whole = Convolution::new("conv", same, Shape::new(5, 5, inputs), outputs).expect("fits");
        whole.grouped("conv", groups).expect("divides")
    }

    #[test]
    fn groups_and_parts_cover_all_channels() {
        for ((inputs, outputs, groups), most, runs, parts) in [
            ((6, 10, 1), u64::MAX, 1, vec![(0, 0, 0)]),
            ((6, 10, 2), u64::MAX, 1, vec![(0, 0, 0), (3, 5, 0)]),
            ((6, 10, 1), u64::MAX, 2, vec![(0, 0, 0), (0, 5, 1)]),
            ((6, 12, 2), u64::MAX, 4, vec![(0, 0, 0), (0, 3, 1), (3, 6, 0), (3, 9, 1)]),
            ((64, 128, 1), 64 * 9 * 64, 1, vec![(0, 0, 0), (0, 64, 1)]),
            ((64, 96, 1), 64 * 9 * 48, 3, vec![(0, 0, 0), (0, 32, 1), (0, 64, 2)]),
            ((64, 128, 2), 32 * 9 * 32, 1, vec![(0, 0, 0), (0, 32, 1), (32, 64, 0), (32, 96, 1)]),
        ] {
            let whole = convolution(inputs, outputs, groups);
            let cut = whole.parts(most, runs);
            assert!(cut.iter().all(|part| part.group_of(runs) * outputs / runs <= part.first_output));
            let at = |p: &ChannelPart| (p.first_input, p.first_output, p.of_group);
            assert_eq!(cut.iter().map(at).collect::<Vec<_>>(), parts);
            let weights: u32 = cut.iter().map(|p| p.convolution.weight_len()).sum();
            assert_eq!(weights, whole.weight_len());
            assert_eq!(cut.iter().map(|p| p.convolution.macs()).sum::<u64>(), whole.macs());
        }
    }

    #[test]
    fn groups_must_divide_the_channels() {
        for (inputs, outputs) in [(6, 9), (9, 6)] {
            let same = Geometry::square(3, 1, Padding::Same);
            let whole = Convolution::new("conv", same, Shape::new(5, 5, inputs), outputs).expect("fits");
            assert!(whole.grouped("conv", 2).is_err());
            assert!(whole.grouped("conv", 0).is_err());
        }
    }
}
