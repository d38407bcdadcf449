//! Batches of pictures on their way to the device.

use crate::{GraphError, recorder::Chunk, session::InputSpec};

/// What happens to one picture after the resize: mirrored, then cut at an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transform {
    /// Mirrors left and right.
    pub flip: bool,
    /// First row of the crop; rows outside the picture are 0.
    pub dy: i32,
    /// First column of the crop.
    pub dx: i32,
}

/// Pictures with labels.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[sample][row][column][channel]`.
    pub pixels: &'a [u8],
    /// One class per sample.
    pub labels: &'a [u32],
    /// One per sample, or empty for none.
    pub transforms: &'a [Transform],
}

/// The words of one chunk.
pub(crate) struct ChunkWords {
    pub source: Vec<u32>,
    pub table: Vec<u32>,
    pub labels: Vec<u32>,
}

impl Batch<'_> {
    pub(crate) fn check(&self, input: &InputSpec, batch_size: u32, classes: u32) -> Result<(), GraphError> {
        let samples = self.labels.len();
        let fail = |message: String| Err(GraphError::Batch { message });
        if samples == 0 || samples > batch_size as usize {
            return fail(format!("{samples} samples, the session takes 1 to {batch_size}"));
        }
        let bytes = samples * input.source_len() as usize;
        if self.pixels.len() != bytes {
            return fail(format!("{} bytes of pixels, {samples} samples need {bytes}", self.pixels.len()));
        }
        if !self.transforms.is_empty() && self.transforms.len() != samples {
            return fail(format!("{} transforms for {samples} samples", self.transforms.len()));
        }
        match self.labels.iter().position(|&label| label >= classes) {
            Some(at) => {
                fail(format!("label {} of sample {at}, there are {classes} classes", self.labels[at]))
            }
            None => Ok(()),
        }
    }

    /// The part of the batch that falls into `chunk`; samples past the end of a short batch keep label 0.
    pub(crate) fn chunk(&self, chunk: Chunk, input: &InputSpec) -> ChunkWords {
        let total = self.labels.len();
        let first = (chunk.first_sample as usize).min(total);
        let end = (first + chunk.samples as usize).min(total);
        let size = input.source_len() as usize;
        let source = self.pixels[first * size..end * size].chunks(4).map(pack_bytes).collect();
        let mut labels = self.labels[first..end].to_vec();
        labels.resize(chunk.samples as usize, 0);
        let table = (0..chunk.samples as usize)
            .flat_map(|sample| {
                let transform = self.transforms.get(first + sample).copied().unwrap_or_default();
                let index = u32::try_from(sample).expect("a chunk has fewer than 2^32 samples");
                [index, u32::from(transform.flip), transform.dy.cast_unsigned(), transform.dx.cast_unsigned()]
            })
            .collect();
        ChunkWords { source, table, labels }
    }
}

fn pack_bytes(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
