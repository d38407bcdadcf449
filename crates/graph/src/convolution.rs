//! The three products of a convolution on f32 operands, without groups: those are parts, see [`crate::channel_parts`].

use std::sync::Arc;

use kernels::{
    ColumnSum, Conv2dForward, Conv2dForwardSubgroup, Conv2dGradInput, Conv2dGradInputSubgroup,
    Conv2dGradWeight, Conv2dGradWeightSubgroup, UnfoldLines, Window, convolution_lanes,
};
use recording::{BufferSlice, Kernel};

use crate::{
    Geometry, GraphError, Recorder, Shape, Tensor,
    recorder::{Chunk, SAMPLE_BLOCK},
    reduction::{rows_per_partial, samples_per_partial, sum_partials},
};

/// Rows of one partial sum of a weight gradient, about.
const PARTIAL_ROWS: u32 = 2048;

/// Sizes of a convolution; weights are OHWI, I within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Input of one sample.
    pub input: Shape,
    /// Output of one sample.
    pub output: Shape,
    /// Groups of channels; each output reads the input channels of its own group.
    pub groups: u32,
}

impl Convolution {
    /// A convolution of `input` to `out_channels` channels.
    ///
    /// # Errors
    /// A window that does not fit.
    pub fn new(layer: &str, geometry: Geometry, input: Shape, out_channels: u32) -> Result<Self, GraphError> {
        let window = geometry
            .window(1, input)
            .filter(|_| out_channels > 0 && input.channels > 0)
            .ok_or_else(|| {
                let (kernel_h, kernel_w) = geometry.kernel;
                let Geometry { stride, padding, .. } = geometry;
                let sizes = format!("kernel {kernel_h}x{kernel_w}, stride {stride}, padding {padding:?}");
                GraphError::layer(
                    layer,
                    format!("{sizes} does not fit input {input} with {out_channels} outputs"),
                )
            })?;
        let output = Shape::new(window.out_height, window.out_width, out_channels);
        let weights = Shape::new(geometry.kernel.0, geometry.kernel.1, input.channels).words();
        if weights.checked_mul(u64::from(out_channels)).is_none_or(|weights| u32::try_from(weights).is_err())
        {
            return Err(GraphError::layer(
                layer,
                format!("{weights} weights for each of {out_channels} outputs"),
            ));
        }
        Ok(Self { geometry, input, output, groups: 1 })
    }

    /// The same in `groups`.
    ///
    /// # Errors
    /// Groups that do not divide the channels of both sides.
    pub fn grouped(self, layer: &str, groups: u32) -> Result<Self, GraphError> {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let message =
                format!("{groups} groups do not divide {inputs} input and {outputs} output channels");
            return Err(GraphError::layer(layer, message));
        }
        Ok(Self { groups, ..self })
    }

    /// The window over `samples` images.
    pub fn window(&self, samples: u32) -> Window {
        self.geometry
            .window(samples, self.input)
            .expect("the window was checked when the convolution was made")
    }

    /// Kernel positions.
    pub fn taps(&self) -> u32 {
        self.geometry.kernel.0 * self.geometry.kernel.1
    }

    /// Elements that one output sums over.
    pub fn fan_in(&self) -> u32 {
        self.taps() * self.input.channels / self.groups
    }

    /// Weights, OHWI; I counts the channels of one group.
    pub fn weight_shape(&self) -> Vec<usize> {
        let (kernel_h, kernel_w) = self.geometry.kernel;
        let inputs = self.input.channels / self.groups;
        [self.output.channels, kernel_h, kernel_w, inputs].map(|size| size as usize).to_vec()
    }

    /// Number of weights.
    pub fn weight_len(&self) -> u32 {
        self.output.channels * self.fan_in()
    }

    /// Multiply-accumulates of one sample.
    pub fn macs(&self) -> u64 {
        u64::from(self.output.pixels()) * u64::from(self.weight_len())
    }

    pub(crate) fn forward(
        &self,
        recorder: &mut Recorder,
        input: &Tensor,
        weight: BufferSlice,
        bias: Option<BufferSlice>,
    ) -> Result<Tensor, GraphError> {
        let output = recorder.tensor("output", self.output);
        let lanes = convolution_lanes(recorder.subgroup());
        let lines = lanes.and_then(|_| self.lines(1));
        let weight = match lines {
            Some(lines) => recorder.once(|recorder| self.padded_weight(recorder, &lines, weight))?,
            None => weight,
        };
        for part in parts(recorder, lines.is_some()) {
            let plain = Conv2dForward {
                window: self.window(part.samples),
                in_channels: self.input.channels,
                out_channels: self.output.channels,
                bias: bias.is_some(),
            };
            let (conv, input) = match lines {
                Some(_) => {
                    let (window, in_channels, input) = self.unfolded(recorder, part, input)?;
                    (Conv2dForward { window, in_channels, ..plain }, input)
                }
                None => (plain, part.of(input)),
            };
            let kernel: Arc<dyn Kernel> = match lanes {
                Some(lanes) => Arc::new(Conv2dForwardSubgroup { conv, lanes }),
                None => Arc::new(conv),
            };
            note(recorder, part, &*kernel, None);
            let bias = bias.unwrap_or(recorder.one());
            recorder.dispatch_shared(kernel, &[input, weight, bias, part.of(&output)])?;
        }
        Ok(output)
    }

    pub(crate) fn grad_input(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        weight: BufferSlice,
    ) -> Result<Tensor, GraphError> {
        let result = recorder.tensor("grad_input", self.input);
        for chunk in recorder.chunks() {
            let conv = Conv2dGradInput {
                window: self.window(chunk.samples),
                in_channels: self.input.channels,
                out_channels: self.output.channels,
            };
            let kernel: Arc<dyn Kernel> = match convolution_lanes(recorder.subgroup()) {
                Some(lanes) => Arc::new(Conv2dGradInputSubgroup { conv, lanes }),
                None => Arc::new(conv),
            };
            note(recorder, Part::whole(chunk), &*kernel, None);
            let buffers = [grad.chunks[chunk.index], weight, result.chunks[chunk.index]];
            recorder.dispatch_shared(kernel, &buffers)?;
        }
        Ok(result)
    }

    pub(crate) fn grad_weight(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        input: &Tensor,
        dst: BufferSlice,
        reason: Option<String>,
    ) -> Result<(), GraphError> {
        // Few positions are summed one after another, chunk after chunk; partial sums would be as large as the weight.
        let whole = recorder.batch() * self.output.pixels() <= PARTIAL_ROWS;
        let samples_per_partial = match whole {
            true => recorder.batch(),
            false => samples_per_partial(self.output.pixels(), PARTIAL_ROWS),
        };
        let (lanes, lines) = (convolution_lanes(recorder.subgroup()), self.lines(1));
        let mut partials = Vec::new();
        for part in parts(recorder, !whole && lanes.is_some() && lines.is_some()) {
            let plain = Conv2dGradWeight {
                window: self.window(part.samples),
                in_channels: self.input.channels,
                out_channels: self.output.channels,
                samples_per_partial,
                accumulate: whole && part.chunk.index > 0,
            };
            let mut source = part.of(input);
            let kernel: Arc<dyn Kernel> = match (lanes, lines) {
                (None, _) => Arc::new(plain),
                (Some(lanes), None) => Arc::new(Conv2dGradWeightSubgroup::new(plain, lanes)),
                (Some(lanes), Some(lines)) => {
                    let (window, in_channels, unfolded) = self.unfolded(recorder, part, input)?;
                    source = unfolded;
                    let conv = Conv2dGradWeight { window, in_channels, ..plain };
                    let kept_channels = lines.kernel_w * lines.channels;
                    Arc::new(Conv2dGradWeightSubgroup { conv, kept_channels, lanes })
                }
            };
            note(recorder, part, &*kernel, reason.clone());
            if whole {
                recorder.dispatch_shared(kernel, &[part.of(grad), source, dst])?;
                continue;
            }
            let rows = part.samples.div_ceil(samples_per_partial);
            let words = u64::from(rows) * u64::from(self.weight_len());
            let partial = recorder.per_sample("grad_weight partials", part.chunk, words);
            recorder.dispatch_shared(kernel, &[part.of(grad), source, partial])?;
            partials.push((partial, rows));
        }
        sum_partials(recorder, &partials, self.weight_len(), 1.0, dst)
    }

    /// How the lines of `samples` inputs are unfolded for kernels that load four channels at a time, or `None` where
    /// the channels come in fours.
    ///
    /// Lines of taps that move by one pixel become pixels of a convolution with a kernel of one column; with a longer
    /// stride most of them would not be used, and each pixel is padded instead.
    fn lines(&self, samples: u32) -> Option<UnfoldLines> {
        let Window { height, width, kernel_w, stride, pad_left, out_width, .. } = self.window(samples);
        let whole = self.output.pixels() == 1 && (height, width) == self.geometry.kernel;
        if self.input.channels.is_multiple_of(4) || whole && self.fan_in().is_multiple_of(4) {
            return None;
        }
        let pixels = UnfoldLines {
            lines: samples * height,
            width,
            channels: self.input.channels,
            kernel_w: 1,
            pad_left: 0,
            out_width: width,
        };
        Some(if stride == 1 { UnfoldLines { kernel_w, pad_left, out_width, ..pixels } } else { pixels })
    }

    /// The input of some samples with unfolded lines, and the window and the channels of the convolution over it.
    fn unfolded(
        &self,
        recorder: &mut Recorder,
        part: Part,
        input: &Tensor,
    ) -> Result<(Window, u32, BufferSlice), GraphError> {
        let kernel = self.lines(part.samples).expect("the channels do not come in fours");
        let unfolded = recorder.per_sample("unfolded lines", part.chunk, kernel.lens()[1]);
        recorder.dispatch(kernel, &[part.of(input), unfolded])?;
        let window = self.window(part.samples);
        let window = Window {
            width: kernel.out_width,
            kernel_w: window.kernel_w / kernel.kernel_w,
            pad_left: window.pad_left - kernel.pad_left,
            ..window
        };
        Ok((window, kernel.row(), unfolded))
    }

    /// The weight with rows as long as those of the unfolded `lines`.
    fn padded_weight(
        &self,
        recorder: &mut Recorder,
        lines: &UnfoldLines,
        weight: BufferSlice,
    ) -> Result<BufferSlice, GraphError> {
        let channels = lines.kernel_w * lines.channels;
        let rows = self.weight_len() / channels;
        let kernel = UnfoldLines { lines: rows, width: 1, channels, kernel_w: 1, pad_left: 0, out_width: 1 };
        let padded = recorder.transient("padded weight", kernel.lens()[1]);
        recorder.dispatch(kernel, &[weight, padded])?;
        Ok(padded)
    }

    pub(crate) fn grad_bias(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        dst: BufferSlice,
    ) -> Result<(), GraphError> {
        let (pixels, columns) = (self.output.pixels(), self.output.channels);
        let group = rows_per_partial(pixels, PARTIAL_ROWS);
        let mut partials = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * pixels;
            let groups = rows.div_ceil(group);
            let partial =
                recorder.per_sample("grad_bias partials", chunk, u64::from(groups) * u64::from(columns));
            let kernel = ColumnSum::new(rows, columns, group);
            recorder.dispatch(kernel, &[grad.chunks[chunk.index], partial])?;
            partials.push((partial, groups));
        }
        sum_partials(recorder, &partials, columns, 1.0, dst)
    }
}

/// Samples whose lines are unfolded at once: of more, the copy would be among the largest tensors of a step. Whole blocks
/// of samples, and as many as any tensor can be cut at.
const UNFOLDED_SAMPLES: u32 = 2 * SAMPLE_BLOCK;

/// Some samples of a chunk.
#[derive(Clone, Copy, Debug)]
struct Part {
    chunk: Chunk,
    first: u32,
    samples: u32,
}

impl Part {
    fn whole(chunk: Chunk) -> Self {
        Self { chunk, first: 0, samples: chunk.samples }
    }

    /// The samples' share of `tensor`.
    fn of(self, tensor: &Tensor) -> BufferSlice {
        let (slice, words) = (tensor.chunks[self.chunk.index], tensor.shape.words());
        let offset = slice.offset + u64::from(self.first) * words;
        BufferSlice { offset, words: u64::from(self.samples) * words, ..slice }
    }
}

/// The batch chunk by chunk, `cut` finer where a chunk is larger than [`UNFOLDED_SAMPLES`].
fn parts(recorder: &Recorder, cut: bool) -> Vec<Part> {
    let parts = recorder.chunks().into_iter().flat_map(|chunk| {
        let size = if cut { UNFOLDED_SAMPLES } else { chunk.samples };
        let starts = (0..chunk.samples).step_by(size as usize);
        starts.map(move |first| Part { chunk, first, samples: size.min(chunk.samples - first) })
    });
    parts.collect()
}

/// Notes an f32 product once per batch.
fn note(recorder: &mut Recorder, part: Part, kernel: &dyn Kernel, reason: Option<String>) {
    if part.chunk.index == 0 && part.first == 0 {
        recorder.note_product(kernel.name(), 0, reason);
    }
}
