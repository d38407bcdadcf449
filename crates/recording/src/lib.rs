//! Kernels as data.
//!
//! A [`Kernel`] says what one compute shader needs and computes: bindings, parameters, sizes, work and, on the host,
//! the result the reference gives. A [`Dispatch`] binds a kernel to buffers; a [`Recording`] is a list of dispatches
//! that can be printed, planned for memory, split into submissions and run by any [`Executor`]: a device, or
//! [`HostExecutor`], which answers with the reference.
//!
//! This crate knows no graphics API, no layer and no file. Everything on a device is an array of 32-bit words.

mod buffer;
mod error;
mod executor;
mod expected;
mod host;
mod kernel;
mod list;
pub mod shader;

pub use buffer::{BufferId, BufferSlice, SLICE_ALIGNMENT};
pub use error::ExecutorError;
pub use executor::{Executor, Limits, Ticket};
pub use expected::{Bound, Comparison, Expected, Mismatch};
pub use host::HostExecutor;
pub use kernel::{Access, Binding, Constant, Kernel, MAX_LOOP_TRIPS, Param, Shader, Work, read, write};
pub use list::{Dispatch, Recording, Scope};
