//! An open device.

use std::{cell::Cell, sync::Arc};

use recording::{ExecutorError, Limits};

use crate::{
    AdapterInfo, DeviceType, GpuError, Selected,
    fault::{During, Fault},
    quiet::{self, Quietly},
};

/// Objects made on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Buffers, those for reading back and for parameters among them.
    pub buffers: u64,
    /// Bind groups, one a prepared dispatch.
    pub bind_groups: u64,
    /// Pipelines.
    pub pipelines: u64,
}

/// Device, queue and the watch over their faults.
#[derive(Debug)]
pub(crate) struct Device {
    pub info: AdapterInfo,
    pub queue: Quietly<wgpu::Queue>,
    pub device: Quietly<wgpu::Device>,
    pub fault: Arc<Fault>,
    pub created: Cell<Created>,
}

impl Device {
    /// Requests WebGPU's default limits and, where offered, timestamps and subgroups of one fixed size.
    pub async fn open(selected: Selected) -> Result<Self, GpuError> {
        // Later may be too late: a device can be dropped while its thread unwinds.
        quiet::install();
        let Selected { info, adapter, .. } = selected;
        let mut optional = wgpu::Features::TIMESTAMP_QUERY;
        if info.subgroup.is_some() {
            optional |= wgpu::Features::SUBGROUP;
        }
        let request = wgpu::DeviceDescriptor {
            label: Some("bitplane"),
            required_features: adapter.features() & optional,
            required_limits: wgpu::Limits::default(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter
            .request_device(&request)
            .await
            .map_err(|error| GpuError::Device { adapter: info.name.clone(), message: error.to_string() })?;
        let fault = Fault::watch(&device);
        let (queue, device) = (Quietly::new(queue), Quietly::new(device));
        Ok(Self { info, queue, device, fault, created: Cell::default() })
    }

    /// Makes a buffer; `during` says what for.
    pub fn create_buffer(
        &self,
        during: &str,
        descriptor: &wgpu::BufferDescriptor<'_>,
    ) -> Result<wgpu::Buffer, ExecutorError> {
        self.count(|created| created.buffers += 1);
        self.guard(During::Other(during.to_owned()), || self.device.create_buffer(descriptor))
    }

    /// Makes a bind group for `kernel`.
    pub fn create_bind_group(
        &self,
        kernel: &str,
        descriptor: &wgpu::BindGroupDescriptor<'_>,
    ) -> Result<wgpu::BindGroup, ExecutorError> {
        self.count(|created| created.bind_groups += 1);
        self.guard(During::Other(kernel.to_owned()), || self.device.create_bind_group(descriptor))
    }

    /// Compiles a pipeline of `kernel`.
    pub fn create_pipeline(
        &self,
        kernel: &str,
        descriptor: &wgpu::ComputePipelineDescriptor<'_>,
    ) -> Result<wgpu::ComputePipeline, ExecutorError> {
        self.count(|created| created.pipelines += 1);
        self.guard(During::Compile(kernel.to_owned()), || self.device.create_compute_pipeline(descriptor))
    }

    fn count(&self, change: impl FnOnce(&mut Created)) {
        let mut created = self.created.get();
        change(&mut created);
        self.created.set(created);
    }

    /// See [`Fault::guard`].
    pub fn guard<T>(&self, during: During, calls: impl FnOnce() -> T) -> Result<T, ExecutorError> {
        self.fault.guard(&self.device, during, calls)
    }

    /// See [`Fault::guard_async`].
    pub async fn guard_async<T>(
        &self,
        during: During,
        future: impl Future<Output = T>,
    ) -> Result<T, ExecutorError> {
        self.fault.guard_async(&self.device, during, future).await
    }

    /// Passes of a command buffer can be timed by the device.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Sizes that buffers and bindings must respect.
    pub fn limits(&self) -> Limits {
        let limits = self.device.limits();
        Limits {
            binding_words: limits.max_storage_buffer_binding_size / 4,
            buffer_words: limits.max_buffer_size / 4,
            subgroup: self.info.subgroup,
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // A queue waits for its work before it goes, and a hanging GPU would keep the program from opening another device.
        let hangs = matches!(self.fault.check(), Err(ExecutorError::Timeout { .. }));
        if hangs && self.info.device_type != DeviceType::Software {
            self.queue.abandon();
        }
    }
}
