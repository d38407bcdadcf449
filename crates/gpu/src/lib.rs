//! Runs recordings on Vulkan, Metal and DX12 devices, or in a browser's WebGPU; the only crate that names wgpu.
//!
//! [`adapters`] lists what there is, [`select`] chooses one, [`Gpu::open`] makes a device of it, and [`Gpu`] is the
//! [`recording::Executor`] that the rest of the program drives. Only WebGPU's default limits are requested, so what runs
//! on one adapter fits every adapter.
//!
//! One boundary turns everything that can go wrong on a device (refused commands, lack of memory, time-outs, device
//! loss, and the panics that wgpu answers some of them with) into a [`recording::ExecutorError`].

mod adapter;
mod buffers;
mod clock;
mod device;
mod error;
mod executor;
mod fault;
mod fold;
mod pipeline;
mod prepared;
mod quiet;
mod readback;
mod select;
mod split;
mod submit;
mod timing;
mod wait;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

pub use adapter::{AdapterInfo, DeviceType, adapters};
pub use device::Created;
pub use error::GpuError;
pub use executor::{Gpu, Statistics};
pub use fold::{MAX_GROUPS, fold};
pub use prepared::Prepared;
pub use select::{Selected, select};
pub use timing::{KernelTime, Profile, TimeSource};
