//! Handles to buffers of 32-bit words.

/// Offsets of a [`BufferSlice`] are multiples of this many words (256 bytes, the default WebGPU alignment).
pub const SLICE_ALIGNMENT: u64 = 64;

/// A handle to one buffer of an executor, or to a planned buffer before memory is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A window of `words` 32-bit words that starts `offset` words into `buffer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferSlice {
    /// The buffer.
    pub buffer: BufferId,
    /// First word, a multiple of [`SLICE_ALIGNMENT`].
    pub offset: u64,
    /// Length in words.
    pub words: u64,
}

impl BufferSlice {
    /// The first `words` words of `buffer`.
    pub fn whole(buffer: BufferId, words: u64) -> Self {
        Self { buffer, offset: 0, words }
    }

    /// Whether the two have words in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.words
            && other.offset < self.offset + self.words
    }
}
