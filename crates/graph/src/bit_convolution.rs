//! The three products of a convolution on bit planes.
//!
//! | product | contraction | left operand | right operand |
//! |---|---|---|---|
//! | forward | ky, kx, ci | unfolded activations, unit | weights by output channel, sign |
//! | grad_input | ky, kx, co | unfolded gradient with a mask of valid taps, sign | weights by input channel, sign |
//! | grad_weight | positions of one sample | unfolded activations by position, unit | gradient by position, sign |
//!
//! Unfolded rows and weights are dense across taps: a tap begins at the bit behind the last one, not at the next word, so
//! that 3x3 taps of 16 channels take 144 bits in 5 words where a word for every tap would be 9.

use kernels::{
    BitTranspose, BitUnfold, BitUnfoldGrad, By, CopyChannels, Kind, Output, PlaneGroup, ScaleIndex, words_for,
};
use recording::{BufferSlice, SLICE_ALIGNMENT};
use reference::quantize::levels;

use crate::{
    Geometry, GraphError, Packed, Padding, Recorder, Shape,
    channel_parts::Columns,
    convolution::Convolution,
    planes::{Destination, Group, Operand, ProductShape, record_product},
    quantizers::GradientPlanes,
    recorder::{Chunk, SAMPLE_BLOCK},
};

/// Packed rows of activations of one chunk: by pixel with k = ci, or unfolded, by output position with k = (ky, kx, ci).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub planes: BufferSlice,
    pub of: &'a Packed,
    /// A factor of each output position, for the forward product.
    pub factors: Option<BufferSlice>,
}

impl Packed {
    /// The rows by pixel of one chunk.
    pub(crate) fn rows(&self, chunk: Chunk) -> Rows<'_> {
        Rows { planes: self.chunks[chunk.index], of: self, factors: None }
    }

    fn operand(&self, buffer: BufferSlice) -> Operand {
        Operand { buffer, kind: self.kind, groups: self.groups.clone() }
    }
}

impl Rows<'_> {
    /// The left operand of the forward product.
    fn operand(&self) -> Operand {
        let mut operand = self.of.operand(self.planes);
        if let Some(factors) = self.factors {
            let scale = Some((factors, ScaleIndex { by: By::Row, div: 1 }));
            operand.groups.iter_mut().for_each(|group| group.scale = scale);
        }
        operand
    }
}

impl Convolution {
    /// The same products where the kernel covers the whole image once: a 1x1 convolution of one pixel whose channels are
    /// (ky, kx, ci). Buffers of both forms hold the same words in the same order, and no tap lies outside the image.
    pub(crate) fn flattened(self) -> Self {
        let Shape { height, width, channels } = self.input;
        if self.output.pixels() != 1 || self.geometry.kernel != (height, width) || self.window(1).pad_top != 0
        {
            return self;
        }
        let input = Shape::new(1, 1, height * width * channels);
        Self { geometry: Geometry::square(1, 1, Padding::Valid), input, ..self }
    }

    /// A 1x1 kernel with stride 1 reads each pixel once, so the packed tensor is its own unfolding.
    fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.geometry.stride == 1 && self.input.pixels() == self.output.pixels()
    }

    pub(crate) fn unfold<'a>(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        input: Rows<'a>,
    ) -> Result<Rows<'a>, GraphError> {
        if self.is_pointwise() {
            return Ok(input);
        }
        let (source, bits) = (input.planes, input.of.planes());
        let window = self.window(chunk.samples);
        let words = u64::from(bits) * u64::from(window.out_pixels()) * u64::from(words_for(self.fan_in()));
        // Signs have no 0, so that their border is +1.
        let ones = input.of.kind == Kind::Sign;
        let kernel = BitUnfold { window, channels: self.input.channels, bits, ones };
        let planes = recorder.form("unfolded", (chunk, words), kernel, source)?;
        Ok(Rows { planes, ..input })
    }

    /// Records `output[position, co]` of one chunk as f32, or as the raw i32 accumulator.
    pub(crate) fn bit_forward(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        unfolded: Rows<'_>,
        weight: &Operand,
        (dst, output): (Columns, Output),
    ) -> Result<(), GraphError> {
        let (rows, k) = (chunk.samples * self.output.pixels(), self.fan_in());
        let shape = ProductShape {
            m: rows,
            n: self.output.channels,
            k,
            segments: 1,
            dst_row_stride: dst.stride,
            dst_col_stride: 1,
        };
        let dst = Destination { buffer: dst.slice, output, accumulate: false };
        record_product(recorder, chunk, shape, (&unfolded.operand(), weight), dst)
    }

    /// Records `grad_input[pixel, ci]` of one chunk from weights packed by input channel, or adds it to `dst`. Called on the
    /// [`Convolution::flattened`] form, for which the weights must be packed too.
    pub(crate) fn bit_grad_input(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        weight: &Operand,
        (dst, accumulate): (Columns, bool),
    ) -> Result<(), GraphError> {
        let (pixels, channels) = (self.input.pixels(), self.input.channels);
        let (k, bits) = (self.taps() * self.output.channels, gradient.bits);
        // Rows are independent, so that a part of the samples at a time gives the same bits.
        let samples = self.samples_at_once(recorder, chunk, gradient, dst);
        for first in (0..chunk.samples).step_by(samples as usize) {
            let samples = samples.min(chunk.samples - first);
            let rows = samples * pixels;
            let (planes, mask) = if self.is_pointwise() {
                (gradient.planes, None)
            } else {
                let words = self.unfolded_words(samples, bits);
                let planes = recorder.per_sample("unfolded gradient", chunk, words);
                let part = (first, chunk.samples);
                let (window, channels) = (self.window(samples), self.output.channels);
                recorder
                    .dispatch(BitUnfoldGrad { window, channels, bits, part }, &[gradient.planes, planes])?;
                (planes, Some(bits))
            };
            let scale = scale_from(recorder, chunk, gradient, (first, samples))?;
            let group = Group {
                planes: PlaneGroup { first_plane: 0, planes: bits, mask },
                factor: gradient.factor,
                scale: Some((scale, gradient.index(By::Row, pixels))),
            };
            let lhs = Operand { buffer: planes, kind: Kind::Sign, groups: vec![group] };
            let shape = ProductShape {
                m: rows,
                n: channels,
                k,
                segments: 1,
                dst_row_stride: dst.stride,
                dst_col_stride: 1,
            };
            let skipped = u64::from(first) * u64::from(pixels) * u64::from(dst.stride);
            let slice = dst.slice;
            let buffer =
                BufferSlice { offset: slice.offset + skipped, words: slice.words - skipped, ..slice };
            let dst = Destination { buffer, output: Output::F32, accumulate };
            record_product(recorder, chunk, shape, (&lhs, weight), dst)?;
        }
        Ok(())
    }

    /// Words of the unfolded gradient and its mask.
    fn unfolded_words(&self, samples: u32, bits: u32) -> u64 {
        let k = self.taps() * self.output.channels;
        let rows = u64::from(samples) * u64::from(self.input.pixels());
        u64::from(bits + 1) * rows * u64::from(words_for(k))
    }

    /// Samples whose gradient is unfolded at once: all of the chunk, or as many as a binding takes and as let the next ones
    /// begin where a slice of `dst` may.
    fn samples_at_once(
        &self,
        recorder: &Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        dst: Columns,
    ) -> u32 {
        let limit = recorder.binding_words();
        if self.is_pointwise() || self.unfolded_words(chunk.samples, gradient.bits) <= limit {
            return chunk.samples;
        }
        let most = limit / self.unfolded_words(1, gradient.bits);
        let sample_words = u64::from(self.input.pixels()) * u64::from(dst.stride);
        let step = SLICE_ALIGNMENT >> sample_words.trailing_zeros().min(SLICE_ALIGNMENT.trailing_zeros());
        let samples = (most / step * step).max(step).min(u64::from(chunk.samples));
        u32::try_from(samples).expect("no more than the chunk's")
    }

    /// Records `grad_weight[co, ky, kx, ci]`, adding chunk after chunk; integer sums stay within one sample because each
    /// has its own scale, or where all share one within the samples of a segment.
    pub(crate) fn bit_grad_weight(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        unfolded: Rows<'_>,
        dst: BufferSlice,
    ) -> Result<(), GraphError> {
        let (channels, k) = (self.output.channels, self.fan_in());
        let samples = self.segment_samples(recorder, gradient, unfolded.of);
        let lhs = self.by_position(recorder, chunk, unfolded.planes, (k, unfolded.of.planes(), samples))?;
        let rhs = self.by_position(recorder, chunk, gradient.planes, (channels, gradient.bits, samples))?;
        let group = Group {
            planes: PlaneGroup::first(gradient.bits),
            factor: gradient.factor,
            scale: Some((gradient.scale, gradient.index(By::Segment, 1))),
        };
        let rhs = Operand { buffer: rhs, kind: Kind::Sign, groups: vec![group] };
        let shape = ProductShape {
            m: k,
            n: channels,
            k: samples * self.output.pixels(),
            segments: chunk.samples.div_ceil(samples),
            dst_row_stride: 1,
            dst_col_stride: k,
        };
        let dst = Destination { buffer: dst, output: Output::F32, accumulate: chunk.index > 0 };
        record_product(recorder, chunk, shape, (&unfolded.of.operand(lhs), &rhs), dst)
    }

    /// Samples whose positions make up one segment of a weight gradient: one, or where all have the same scale as many as
    /// keep integer sums within 32 bits, up to the block at which batches are cut.
    pub(crate) fn segment_samples(
        &self,
        recorder: &Recorder,
        gradient: &GradientPlanes,
        input: &Packed,
    ) -> u32 {
        if !gradient.shared {
            return 1;
        }
        let largest = u64::from(input.largest()) * u64::from(levels(gradient.bits));
        let fits = |samples: &u32| {
            u64::from(*samples) * u64::from(self.output.pixels()) * largest <= i32::MAX as u64
        };
        // A product of signs counts all of its k elements, so that every segment must be full.
        let whole = match input.kind {
            Kind::Unit => recorder.batch().next_power_of_two().min(SAMPLE_BLOCK),
            Kind::Sign => 1 << recorder.batch().trailing_zeros().min(SAMPLE_BLOCK.trailing_zeros()),
        };
        std::iter::successors(Some(whole), |samples| (*samples > 1).then_some(samples / 2))
            .find(fits)
            .unwrap_or(1)
    }

    /// Turns `[plane][position][k]` into `[plane][k][segment][word of positions]` with `samples` samples a segment.
    fn by_position(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        source: BufferSlice,
        (k, planes, samples): (u32, u32, u32),
    ) -> Result<BufferSlice, GraphError> {
        let (positions, rows) = (samples * self.output.pixels(), chunk.samples * self.output.pixels());
        let segments = chunk.samples.div_ceil(samples);
        let words = u64::from(planes) * u64::from(k) * u64::from(segments) * u64::from(words_for(positions));
        let kernel = BitTranspose { samples: segments, positions, rows, k, planes };
        recorder.form("by position", (chunk, words), kernel, source)
    }
}

/// The scales of `samples` samples of a chunk from sample `first` on, where a slice may begin.
fn scale_from(
    recorder: &mut Recorder,
    chunk: Chunk,
    gradient: &GradientPlanes,
    (first, samples): (u32, u32),
) -> Result<BufferSlice, GraphError> {
    if first == 0 || gradient.shared {
        return Ok(gradient.scale);
    }
    let scale = recorder.per_sample("scales of a part", chunk, u64::from(samples));
    let kernel =
        CopyChannels { rows: 1, count: samples, source: (chunk.samples, first), target: (samples, 0) };
    recorder.dispatch(kernel, &[gradient.scale, scale])?;
    Ok(scale)
}

/// True where `kernel` multiplies packed words.
pub fn is_bit_product(kernel: &str) -> bool {
    ["and_product", "xor_product", "subgroup_product", "tile_product"].contains(&kernel)
}
