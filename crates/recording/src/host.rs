//! The executor that answers with the reference.

use std::collections::BTreeMap;

use crate::{BufferId, BufferSlice, Executor, ExecutorError, Limits, Recording, Ticket};

/// Runs recordings on the host by [`Kernel::expected`](crate::Kernel::expected): slow, exact, and in need of no device.
#[derive(Debug, Default)]
pub struct HostExecutor {
    buffers: Vec<Vec<u32>>,
    subgroup: Option<u32>,
    reads: BTreeMap<u64, Vec<u32>>,
    tickets: u64,
}

impl HostExecutor {
    /// An executor without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// An executor that says it has subgroups of this size, so that it records what an adapter with such would.
    pub fn with_subgroup(lanes: Option<u32>) -> Self {
        Self { subgroup: lanes, ..Self::default() }
    }

    fn slice(&self, slice: BufferSlice) -> &[u32] {
        let start = slice.offset as usize;
        &self.buffers[slice.buffer.0 as usize][start..start + slice.words as usize]
    }

    fn check_range(&self, buffer: BufferId, offset: u64, words: u64) -> Result<(), ExecutorError> {
        let len = self.buffers.get(buffer.0 as usize).map_or(0, Vec::len) as u64;
        if offset.checked_add(words).is_some_and(|end| end <= len) {
            return Ok(());
        }
        let message = format!("words {offset}+{words} of buffer {} with {len}", buffer.0);
        Err(ExecutorError::Validation { kernel: "copy".to_owned(), message })
    }
}

impl Executor for HostExecutor {
    type Prepared = Recording;

    fn limits(&self) -> Limits {
        Limits { binding_words: 1 << 25, buffer_words: 1 << 26, subgroup: self.subgroup }
    }

    fn allocate(&mut self, _label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        self.buffers.push(vec![0; words as usize]);
        Ok(id)
    }

    fn allocated_bytes(&self) -> u64 {
        self.buffers.iter().map(|b| 4 * b.len() as u64).sum()
    }

    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError> {
        self.check_range(buffer, offset, words.len() as u64)?;
        self.buffers[buffer.0 as usize][offset as usize..][..words.len()].copy_from_slice(words);
        Ok(())
    }

    fn prepare(&mut self, recording: &Recording) -> Result<Recording, ExecutorError> {
        for dispatch in &recording.dispatches {
            dispatch.check()?;
            for slice in &dispatch.buffers {
                self.check_range(slice.buffer, slice.offset, slice.words)?;
            }
        }
        Ok(recording.clone())
    }

    fn join(&self, parts: &[&Recording]) -> Recording {
        Recording { dispatches: parts.iter().flat_map(|part| part.dispatches.iter().cloned()).collect() }
    }

    async fn run(&mut self, prepared: &Recording) -> Result<(), ExecutorError> {
        for dispatch in &prepared.dispatches {
            let inputs: Vec<&[u32]> = dispatch.buffers.iter().map(|s| self.slice(*s)).collect();
            let results = dispatch.kernel.expected(&inputs);
            for (slice, result) in dispatch.outputs().zip(results) {
                self.write(slice.buffer, slice.offset, &result.words)?;
            }
        }
        Ok(())
    }

    async fn run_and_read(
        &mut self,
        prepared: &Recording,
        slice: BufferSlice,
    ) -> Result<Ticket, ExecutorError> {
        self.run(prepared).await?;
        let words = self.read(slice.buffer, slice.offset, slice.words).await?;
        self.tickets += 1;
        self.reads.insert(self.tickets, words);
        Ok(Ticket(self.tickets))
    }

    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        if self.reads.contains_key(&ticket.0) { Ok(true) } else { Err(taken(ticket)) }
    }

    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError> {
        *words = self.reads.remove(&ticket.0).ok_or_else(|| taken(&ticket))?;
        Ok(())
    }

    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError> {
        self.check_range(buffer, offset, words)?;
        Ok(self.buffers[buffer.0 as usize][offset as usize..][..words as usize].to_vec())
    }
}

fn taken(ticket: &Ticket) -> ExecutorError {
    let message = format!("nothing is on its way for ticket {}", ticket.0);
    ExecutorError::Validation { kernel: "read".to_owned(), message }
}
