//! Pictures on the device: those of one batch, or a whole data set.

use recording::{BufferSlice, Executor};

use super::Session;
use crate::{
    GraphError,
    batch::{Input, pack},
};

/// Bytes of pictures that are written at once, whole words.
const LOAD_BYTES: usize = 1 << 20;

impl<E: Executor> Session<E> {
    /// Puts the pictures of `parts`, one part behind the other, on the device: bytes `[picture][row][column][channel]`, as
    /// many pictures as [`SessionOptions::resident`](crate::SessionOptions::resident) says.
    ///
    /// # Errors
    /// Another number of bytes, or a device failure.
    pub fn load_pictures(&mut self, parts: &[&[u8]]) -> Result<(), GraphError> {
        let size = self.options.input.source_len() as usize;
        let given: usize = parts.iter().map(|part| part.len()).sum();
        let needed = self.options.resident as usize * size;
        if given != needed {
            let message = format!("{given} bytes of pictures, the session holds {needed}");
            return Err(GraphError::Batch { message });
        }
        let mut rest = parts.iter().copied();
        let mut part: &[u8] = &[];
        let (mut piece, mut words) = (Vec::with_capacity(LOAD_BYTES), Vec::with_capacity(LOAD_BYTES / 4));
        for at in 0..self.schedule.ports.stores.len() {
            let store = self.schedule.ports.stores[at];
            let len = store.images as usize * size;
            for start in (0..len).step_by(LOAD_BYTES) {
                let end = (start + LOAD_BYTES).min(len);
                piece.clear();
                while piece.len() < end - start {
                    if part.is_empty() {
                        part = rest.next().expect("the parts have the bytes that they were counted to have");
                    }
                    let (taken, left) = part.split_at(part.len().min(end - start - piece.len()));
                    piece.extend_from_slice(taken);
                    part = left;
                }
                words.clear();
                pack(&piece, &mut words);
                let (offset, words_here) = (store.pixels.offset + start as u64 / 4, words.len() as u64);
                self.write(BufferSlice { offset, words: words_here, ..store.pixels }, &words)?;
            }
        }
        self.loaded = true;
        Ok(())
    }

    /// Pictures that the session holds; 0 where each batch brings its pixels.
    pub fn resident(&self) -> u32 {
        self.options.resident
    }

    /// Writes what `input` is about for all chunks: pixels where they are not on the device, views and labels.
    pub(super) fn upload(&mut self, input: &Input<'_>) -> Result<(), GraphError> {
        input.check(&self.options, self.classes)?;
        if !self.loaded {
            let message = "it comes before the first batch";
            return Err(GraphError::Order { call: "load_pictures", message });
        }
        let mut words = std::mem::take(&mut self.words);
        for at in 0..self.schedule.recorder.chunk_count() {
            let (chunk, ports) = (self.schedule.recorder.chunk(at), &self.schedule.ports);
            let (source, table, labels) = (ports.source.get(at).copied(), ports.table[at], ports.labels[at]);
            let changes = self.schedule.ports.changes.get(at).copied();
            if let Some(source) = source {
                input.pixel_words(chunk, &self.options.input, &mut words);
                self.write(source, &words)?;
            }
            input.view_words(chunk, &mut words);
            self.write(table, &words)?;
            if let Some(changes) = changes {
                input.change_words(chunk, self.options.change, &self.options.input, &mut words);
                self.write(changes, &words)?;
            }
            input.label_words(chunk, &mut words);
            self.write(labels, &words)?;
        }
        self.words = words;
        Ok(())
    }
}
