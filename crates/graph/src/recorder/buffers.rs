//! Buffers of a recording, before memory is assigned.

use recording::{BufferId, BufferSlice, SLICE_ALIGNMENT};

use super::{Chunk, Recorder};
use crate::{Shape, Tensor};

/// Words that WebGPU's default limits let a kernel bind.
const MOST_WEIGHTS: u64 = 1 << 25;

/// Below this a parameter is not cut.
const LEAST_WEIGHTS: u64 = 1 << 12;

/// How long a buffer keeps what was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Always.
    Persistent,
    /// From the first to the last dispatch that uses it.
    Transient,
    /// From before a phase, when the host writes it, to the last dispatch of that phase that uses it, or to the end of an
    /// evaluation.
    Uploaded,
    /// From a freeze, of which it is a result, until the next training step.
    Frozen,
}

/// A buffer before memory is assigned.
#[derive(Clone, Debug)]
pub(crate) struct PlannedBuffer {
    pub label: String,
    pub words: u64,
    pub life: Life,
    pub samples: u32,
}

impl Recorder {
    /// Words of the largest slice that a kernel may bind.
    pub fn binding_words(&self) -> u64 {
        self.limit
    }

    /// Words of the largest parameter that kernels read or write as a whole. WebGPU guarantees as much, so that it is the
    /// same on every adapter; a smaller limit of the session's makes it smaller, down to where cutting is no use.
    pub(crate) fn most_weights(&self) -> u64 {
        let limit = self.limit.min(MOST_WEIGHTS);
        if limit < LEAST_WEIGHTS { u64::MAX } else { limit }
    }

    /// A parameter-sized slice in pieces that kernels may bind: the slice itself, or pieces of half of what they may.
    pub(crate) fn pieces(&self, slice: BufferSlice) -> Vec<BufferSlice> {
        let most = self.most_weights();
        if slice.words <= most {
            return vec![slice];
        }
        let piece = most / 2 / SLICE_ALIGNMENT * SLICE_ALIGNMENT;
        let starts = (0..slice.words).step_by(usize::try_from(piece).unwrap_or(usize::MAX));
        let cut = |first: u64| BufferSlice {
            offset: slice.offset + first,
            words: piece.min(slice.words - first),
            ..slice
        };
        starts.map(cut).collect()
    }

    /// A buffer that lives from its first write to its last use in a step.
    pub fn transient(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, self.life(), 0)
    }

    /// A transient that grows with the samples of `chunk`; the batch is cut finer where it passes the binding limit.
    pub fn per_sample(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, self.life(), chunk.samples)
    }

    /// What is computed once for all evaluations is kept for them.
    pub(super) fn life(&self) -> Life {
        if self.constant { Life::Frozen } else { Life::Transient }
    }

    /// A buffer that keeps its contents between steps.
    pub fn persistent(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Persistent, 0)
    }

    /// A buffer that the host fills after a freeze, for the evaluations up to the next training step.
    pub(crate) fn frozen(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Frozen, 0)
    }

    /// A buffer of `words` that the host writes once.
    pub(crate) fn constant(&mut self, label: &str, words: Vec<u32>) -> BufferSlice {
        let slice = self.persistent(label, words.len() as u64);
        self.constants.push((slice, words));
        slice
    }

    /// A buffer that keeps its contents between steps and grows with the samples of `chunk`.
    pub fn persistent_per_sample(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Persistent, chunk.samples)
    }

    /// A buffer that the host fills before each phase that reads it, and that grows with the samples of `chunk`.
    pub(crate) fn uploaded(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Uploaded, chunk.samples)
    }

    /// An f32 tensor over all chunks.
    pub fn tensor(&mut self, label: &str, shape: Shape) -> Tensor {
        let words = |chunk: &Chunk| u64::from(chunk.samples) * u64::from(shape.len());
        let chunks = self.chunks().iter().map(|c| self.per_sample(label, *c, words(c))).collect();
        Tensor { shape, chunks, maxima: None }
    }

    pub(super) fn buffer(&mut self, label: &str, words: u64, life: Life, samples: u32) -> BufferSlice {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        let label = if self.scope.layer.is_empty() {
            label.to_owned()
        } else {
            format!("{}.{label}", self.scope.layer)
        };
        self.buffers.push(PlannedBuffer { label, words: words.max(1), life, samples });
        BufferSlice::whole(id, words.max(1))
    }
}
