//! Words on their way from the device to the host.

use recording::{ExecutorError, Ticket};

use crate::{Gpu, fault::During, wait::Signal};

/// Staging buffers, each of which carries one read at a time; used again from read to read.
#[derive(Debug, Default)]
pub(crate) struct Readbacks {
    slots: Vec<Slot>,
    tickets: u64,
}

#[derive(Debug)]
struct Slot {
    staging: wgpu::Buffer,
    pending: Option<Pending>,
}

/// A copy that was submitted and not yet taken.
#[derive(Clone, Debug)]
struct Pending {
    ticket: u64,
    bytes: u64,
    index: wgpu::SubmissionIndex,
    /// Submissions of recordings up to the copy.
    submitted: u64,
    mapped: Signal,
}

/// A copy into a free slot, to be encoded.
#[derive(Debug)]
pub(crate) struct Copy {
    source: wgpu::Buffer,
    offset: u64,
    bytes: u64,
    slot: usize,
    staging: wgpu::Buffer,
}

impl Copy {
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.copy_buffer_to_buffer(&self.source, self.offset, &self.staging, 0, self.bytes);
    }
}

impl Gpu {
    /// A copy of `words` words, from word `offset` of `source` on, into a staging buffer that is free.
    pub(crate) fn plan_copy(
        &mut self,
        source: &wgpu::Buffer,
        offset: u64,
        words: u64,
    ) -> Result<Copy, ExecutorError> {
        self.device.fault.check()?;
        if words == 0 {
            return Err(refused("no words to read".to_owned()));
        }
        let (source, offset, bytes) = (source.clone(), 4 * offset, 4 * words);
        let slot = self.free_slot(bytes)?;
        let staging = self.readbacks.slots[slot].staging.clone();
        Ok(Copy { source, offset, bytes, slot, staging })
    }

    /// The smallest free slot that is large enough; where none is, the largest free one grows, or there is a new one.
    fn free_slot(&mut self, bytes: u64) -> Result<usize, ExecutorError> {
        let slots = &self.readbacks.slots;
        let free = || (0..slots.len()).filter(|&slot| slots[slot].pending.is_none());
        let size = |slot: &usize| slots[*slot].staging.size();
        if let Some(slot) = free().filter(|slot| size(slot) >= bytes).min_by_key(size) {
            return Ok(slot);
        }
        let grown = free().max_by_key(size);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes.next_power_of_two().min(4 * self.device.limits().buffer_words),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let staging = self.device.create_buffer("allocating `readback`", &descriptor)?;
        let slot = Slot { staging, pending: None };
        match grown {
            Some(at) => self.readbacks.slots[at] = slot,
            None => self.readbacks.slots.push(slot),
        }
        Ok(grown.unwrap_or(self.readbacks.slots.len() - 1))
    }

    /// Asks for the copy that submission `index` ends with.
    pub(crate) fn map(&mut self, copy: Copy, index: wgpu::SubmissionIndex) -> Result<Ticket, ExecutorError> {
        let mapped = Signal::default();
        let set = mapped.clone();
        self.device.guard(During::Other("read".to_owned()), || {
            copy.staging
                .slice(..copy.bytes)
                .map_async(wgpu::MapMode::Read, move |result| set.set(result.is_ok()));
        })?;
        self.readbacks.tickets += 1;
        let (ticket, submitted) = (self.readbacks.tickets, self.submitted);
        let pending = Pending { ticket, bytes: copy.bytes, index, submitted, mapped };
        self.readbacks.slots[copy.slot].pending = Some(pending);
        Ok(Ticket(ticket))
    }

    /// Whether the words have arrived.
    pub(crate) fn is_mapped(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        let (_, pending) = self.pending(ticket)?;
        // The guard polls the device, and that makes the outcome known.
        self.device.guard(During::Other("read".to_owned()), || ())?;
        Ok(pending.mapped.outcome().is_some())
    }

    /// Waits for the words and frees their slot.
    pub(crate) async fn collect(
        &mut self,
        ticket: &Ticket,
        words: &mut Vec<u32>,
    ) -> Result<(), ExecutorError> {
        let (slot, pending) = self.pending(ticket)?;
        self.retire_up_to(pending.submitted).await?;
        self.wait_for(pending.index, &pending.mapped, "read").await?;
        let staging = &self.readbacks.slots[slot].staging;
        let copied = self.device.guard(During::Other("read".to_owned()), || {
            let view =
                staging.slice(..pending.bytes).get_mapped_range().map_err(|error| error.to_string())?;
            words.clear();
            words.extend(view.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])));
            drop(view);
            staging.unmap();
            Ok(())
        })?;
        self.readbacks.slots[slot].pending = None;
        copied.map_err(refused)
    }

    /// Copies words to the host; nothing is in flight.
    pub(crate) async fn read_back(
        &mut self,
        source: &wgpu::Buffer,
        offset: u64,
        words: u64,
    ) -> Result<Vec<u32>, ExecutorError> {
        self.device.fault.check()?;
        let mut result = Vec::new();
        if words > 0 {
            let copy = self.plan_copy(source, offset, words)?;
            let (index, _) = self.enqueue("read", |encoder| copy.encode(encoder))?;
            let ticket = self.map(copy, index)?;
            self.collect(&ticket, &mut result).await?;
        }
        Ok(result)
    }

    fn pending(&self, ticket: &Ticket) -> Result<(usize, Pending), ExecutorError> {
        let holds = |slot: &Slot| slot.pending.as_ref().filter(|p| p.ticket == ticket.0).cloned();
        let found = self.readbacks.slots.iter().enumerate().find_map(|(at, slot)| Some((at, holds(slot)?)));
        found.ok_or_else(|| refused(format!("nothing is on its way for ticket {}", ticket.0)))
    }
}

fn refused(message: String) -> ExecutorError {
    ExecutorError::Validation { kernel: "read".to_owned(), message }
}
