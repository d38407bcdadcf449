//! Values that flow between layers while a network is recorded.

use kernels::words_for;
use recording::BufferSlice;
use reference::quantize::levels;

use crate::{Shape, deploy::Deferred, planes::Group};

/// An f32 tensor `[samples, height, width, channels]`, cut into chunks of samples that each fit one binding.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Shape of one sample.
    pub shape: Shape,
    /// One slice per chunk.
    pub chunks: Vec<BufferSlice>,
    /// Where the tensor's producer left the largest magnitudes, so that a quantizer need not reduce the tensor itself.
    pub maxima: Option<Maxima>,
}

/// The largest magnitudes of parts of a tensor: a sample's maximum is that of its parts, infinite or NaN where an element
/// is.
#[derive(Clone, Debug)]
pub struct Maxima {
    /// Parts of a sample.
    pub parts: u32,
    /// `[samples][parts]` per chunk.
    pub chunks: Vec<BufferSlice>,
}

/// Quantized activations `[plane][pixel][words(channels)]`: the sum of the values of one or several plane groups.
///
/// A group's scale, where it has one, is a single number: channels are contracted by one product and pixels by another, so
/// that no product could apply one per channel or pixel.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Shape of one sample.
    pub shape: Shape,
    /// Unit bits {0, 1} or sign bits {-1, +1}, the same in all groups.
    pub kind: kernels::Kind,
    /// Groups in the order in which they are added.
    pub groups: Vec<Group>,
    /// One slice per chunk.
    pub chunks: Vec<BufferSlice>,
    /// Of which each convolution makes a factor per output position (XNOR-Net's K); such a tensor has a single group
    /// without a scale.
    pub magnitudes: Option<Magnitudes>,
}

/// The means over the channels of |x|.
#[derive(Clone, Debug)]
pub struct Magnitudes {
    /// Where x of the first chunk is.
    pub source: BufferSlice,
    /// `[pixel]` per chunk.
    pub chunks: Vec<BufferSlice>,
}

impl Packed {
    /// Codes of `bits` bits in one group, code 1 of which stands for `factor`.
    pub fn codes(
        shape: Shape,
        (kind, bits, factor): (kernels::Kind, u32, f32),
        chunks: Vec<BufferSlice>,
    ) -> Self {
        Self { shape, kind, groups: vec![Group::codes(bits, factor)], chunks, magnitudes: None }
    }

    /// Planes of a chunk, with those of the masks.
    pub fn planes(&self) -> u32 {
        self.groups.iter().map(|group| group.planes.end()).max().unwrap_or(0)
    }

    /// The only group, where its planes are all there is and no device computed a factor of it.
    pub fn single(&self) -> Option<&Group> {
        match self.groups.as_slice() {
            [group] if group.is_codes() && group.scale.is_none() => Some(group),
            _ => None,
        }
    }

    /// Largest integer that an element of any group stands for.
    pub fn largest(&self) -> u32 {
        self.groups.iter().map(|group| levels(group.planes.planes)).max().unwrap_or(0)
    }

    /// Words of a chunk of `samples` samples with `planes` planes.
    pub fn words(shape: Shape, planes: u32, samples: u32) -> u64 {
        u64::from(planes)
            * u64::from(samples)
            * u64::from(shape.pixels())
            * u64::from(words_for(shape.channels))
    }
}

/// The output of a layer.
#[derive(Clone, Debug)]
pub enum Value {
    /// Full precision.
    Dense(Tensor),
    /// Quantized activations.
    Packed(Packed),
    /// A quantized convolution whose epilogue is not chosen yet; occurs in deployed evaluation only.
    Deferred(Box<Deferred>),
}

/// What a layer's output looks like before anything is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Shape of one sample.
    pub shape: Shape,
    /// Bits of the codes, or `None` for f32.
    pub bits: Option<u32>,
}

impl Kind {
    /// An f32 output.
    pub fn dense(shape: Shape) -> Self {
        Self { shape, bits: None }
    }
}
