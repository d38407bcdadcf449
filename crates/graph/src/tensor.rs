//! Values that flow between layers while a network is recorded.

use kernels::words_for;
use recording::BufferSlice;

use crate::{Shape, deploy::Deferred};

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

/// Quantized activations in unit planes `[plane][pixel][words(channels)]`; a code q stands for `factor * q`.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Shape of one sample.
    pub shape: Shape,
    /// Planes.
    pub bits: u32,
    /// Value of code 1.
    pub factor: f32,
    /// One slice per chunk.
    pub chunks: Vec<BufferSlice>,
}

impl Packed {
    /// Words of a chunk of `samples` samples.
    pub fn words(shape: Shape, bits: u32, samples: u32) -> u64 {
        u64::from(bits)
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
