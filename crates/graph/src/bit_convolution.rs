//! The three products of a convolution on bit planes.
//!
//! | product | contraction | left operand | right operand |
//! |---|---|---|---|
//! | forward | ky, kx, ci | unfolded activations, unit | weights by output channel, sign |
//! | grad_input | ky, kx, co | unfolded gradient with a mask of valid taps, sign | weights by input channel, sign |
//! | grad_weight | positions of one sample | unfolded activations by position, unit | gradient by position, sign |

use kernels::{BitTranspose, BitUnfold, BitUnfoldGrad, By, Kind, Output, PlaneGroup, ScaleIndex, words_for};
use recording::BufferSlice;

use crate::{
    Geometry, GraphError, Packed, Padding, Recorder, Shape, Tensor,
    convolution::Convolution,
    planes::{Destination, Group, Operand, ProductShape, record_product},
    quantizers::GradientPlanes,
    recorder::Chunk,
};

/// Unfolded activations of one chunk: rows are output positions, k = (ky, kx, ci).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfolded {
    planes: BufferSlice,
    bits: u32,
    factor: f32,
}

impl Unfolded {
    fn operand(&self, planes: BufferSlice) -> Operand {
        let group = PlaneGroup { first_plane: 0, planes: self.bits, mask: None };
        let groups = vec![Group { planes: group, factor: self.factor, scale: None }];
        Operand { buffer: planes, kind: Kind::Unit, groups }
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

    pub(crate) fn unfold(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        input: &Packed,
    ) -> Result<Unfolded, GraphError> {
        let (bits, factor, source) = (input.bits, input.factor, input.chunks[chunk.index]);
        if self.is_pointwise() {
            return Ok(Unfolded { planes: source, bits, factor });
        }
        let window = self.window(chunk.samples);
        let words = u64::from(bits) * u64::from(window.out_pixels()) * u64::from(words_for(self.fan_in()));
        let planes = recorder.per_sample("unfolded", chunk, words);
        recorder.dispatch(BitUnfold { window, channels: self.input.channels, bits }, &[source, planes])?;
        Ok(Unfolded { planes, bits, factor })
    }

    /// Records `output[position, co]` of one chunk as f32, or as the raw i32 accumulator.
    pub(crate) fn bit_forward(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        unfolded: Unfolded,
        weight: &Operand,
        dst: (BufferSlice, Output),
    ) -> Result<(), GraphError> {
        let (rows, k) = (chunk.samples * self.output.pixels(), self.fan_in());
        let shape = ProductShape {
            m: rows,
            n: self.output.channels,
            k,
            segments: 1,
            dst_row_stride: self.output.channels,
            dst_col_stride: 1,
        };
        let dst = Destination { buffer: dst.0, output: dst.1, accumulate: false };
        record_product(recorder, chunk, shape, (&unfolded.operand(unfolded.planes), weight), dst)
    }

    /// Records `grad_input[pixel, ci]` of one chunk from weights packed by input channel. Called on the
    /// [`Convolution::flattened`] form, for which the weights must be packed too.
    pub(crate) fn bit_grad_input(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        weight: &Operand,
        dst: &Tensor,
    ) -> Result<(), GraphError> {
        let window = self.window(chunk.samples);
        let (rows, k, bits) = (window.in_pixels(), self.taps() * self.output.channels, gradient.bits);
        let (planes, mask) = if self.is_pointwise() {
            (gradient.planes, None)
        } else {
            let words = u64::from(bits + 1) * u64::from(rows) * u64::from(words_for(k));
            let planes = recorder.per_sample("unfolded gradient", chunk, words);
            let kernel = BitUnfoldGrad { window, channels: self.output.channels, bits };
            recorder.dispatch(kernel, &[gradient.planes, planes])?;
            (planes, Some(bits))
        };
        let group = Group {
            planes: PlaneGroup { first_plane: 0, planes: bits, mask },
            factor: gradient.factor,
            scale: Some((gradient.scale, ScaleIndex { by: By::Row, div: self.input.pixels() })),
        };
        let lhs = Operand { buffer: planes, kind: Kind::Sign, groups: vec![group] };
        let channels = self.input.channels;
        let shape = ProductShape {
            m: rows,
            n: channels,
            k,
            segments: 1,
            dst_row_stride: channels,
            dst_col_stride: 1,
        };
        let dst = Destination { buffer: dst.chunks[chunk.index], output: Output::F32, accumulate: false };
        record_product(recorder, chunk, shape, (&lhs, weight), dst)
    }

    /// Records `grad_weight[co, ky, kx, ci]`, adding chunk after chunk; integer sums stay within one sample because each
    /// has its own scale.
    pub(crate) fn bit_grad_weight(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        gradient: &GradientPlanes,
        unfolded: Unfolded,
        dst: BufferSlice,
    ) -> Result<(), GraphError> {
        let (samples, positions, k) = (chunk.samples, self.output.pixels(), self.fan_in());
        let channels = self.output.channels;
        let lhs = self.by_position(recorder, chunk, unfolded.planes, (k, unfolded.bits))?;
        let rhs = self.by_position(recorder, chunk, gradient.planes, (channels, gradient.bits))?;
        let group = Group {
            planes: PlaneGroup { first_plane: 0, planes: gradient.bits, mask: None },
            factor: gradient.factor,
            scale: Some((gradient.scale, ScaleIndex { by: By::Segment, div: 1 })),
        };
        let rhs = Operand { buffer: rhs, kind: Kind::Sign, groups: vec![group] };
        let shape = ProductShape {
            m: k,
            n: channels,
            k: positions,
            segments: samples,
            dst_row_stride: 1,
            dst_col_stride: k,
        };
        let dst = Destination { buffer: dst, output: Output::F32, accumulate: chunk.index > 0 };
        record_product(recorder, chunk, shape, (&unfolded.operand(lhs), &rhs), dst)
    }

    /// Turns `[plane][position][k]` into `[plane][k][sample][word of positions]`.
    fn by_position(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        source: BufferSlice,
        (k, planes): (u32, u32),
    ) -> Result<BufferSlice, GraphError> {
        let positions = self.output.pixels();
        let words =
            u64::from(planes) * u64::from(k) * u64::from(chunk.samples) * u64::from(words_for(positions));
        let result = recorder.per_sample("by position", chunk, words);
        recorder
            .dispatch(BitTranspose { samples: chunk.samples, positions, k, planes }, &[source, result])?;
        Ok(result)
    }
}

/// True where `kernel` multiplies packed words.
pub fn is_bit_product(kernel: &str) -> bool {
    ["and_product", "xor_product", "subgroup_product", "tile_product"].contains(&kernel)
}
