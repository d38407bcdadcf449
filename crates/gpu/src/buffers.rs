//! Buffers behind handles.

use recording::{BufferId, BufferSlice, ExecutorError, SLICE_ALIGNMENT};

use crate::device::Device;

/// Every buffer that a recording can name.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    list: Vec<(wgpu::Buffer, u64)>,
    bytes: u64,
}

impl Buffers {
    /// Makes a zeroed buffer of `words` words.
    pub fn allocate(&mut self, device: &Device, label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        device.fault.check()?;
        let limit = 4 * device.limits().buffer_words;
        let bytes = words.saturating_mul(4);
        if bytes > limit {
            return Err(ExecutorError::Limit { what: format!("buffer `{label}`"), needed: bytes, limit });
        }
        let id = BufferId(u32::try_from(self.list.len()).expect("fewer than 2^32 buffers"));
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            // An empty buffer cannot be bound.
            size: bytes.max(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let buffer = device.create_buffer(&format!("allocating `{label}`"), &descriptor)?;
        self.list.push((buffer, words));
        self.bytes += bytes;
        Ok(id)
    }

    /// Number of buffers.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Sum of all sizes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The buffer, if words `offset..offset + words` lie inside.
    pub fn range(
        &self,
        operation: &str,
        buffer: BufferId,
        offset: u64,
        words: u64,
    ) -> Result<&wgpu::Buffer, ExecutorError> {
        let refused = |message| ExecutorError::Validation { kernel: operation.to_owned(), message };
        let (handle, len) = self
            .list
            .get(buffer.0 as usize)
            .ok_or_else(|| refused(format!("there is no buffer {}", buffer.0)))?;
        if offset.checked_add(words).is_none_or(|end| end > *len) {
            return Err(refused(format!("words {offset}+{words} of buffer {} with {len}", buffer.0)));
        }
        Ok(handle)
    }

    /// The binding of `slice` for `kernel`, checked against alignment and limits.
    pub fn bind(
        &self,
        device: &Device,
        kernel: &str,
        name: &str,
        slice: BufferSlice,
    ) -> Result<wgpu::BufferBinding<'_>, ExecutorError> {
        let buffer = self.range(kernel, slice.buffer, slice.offset, slice.words)?;
        let malformed = |message| ExecutorError::Dispatch { kernel: kernel.to_owned(), message };
        if !slice.offset.is_multiple_of(SLICE_ALIGNMENT) {
            return Err(malformed(format!("`{name}` starts at word {}", slice.offset)));
        }
        let size = wgpu::BufferSize::new(4 * slice.words)
            .ok_or_else(|| malformed(format!("`{name}` is bound to an empty slice")))?;
        let limit = 4 * device.limits().binding_words;
        if size.get() > limit {
            let what = format!("binding `{name}` of `{kernel}`");
            return Err(ExecutorError::Limit { what, needed: size.get(), limit });
        }
        Ok(wgpu::BufferBinding { buffer, offset: 4 * slice.offset, size: Some(size) })
    }
}
