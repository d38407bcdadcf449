//! Tests on the best adapter of this machine.

mod faults;
mod kernels;
mod results;

use pollster::block_on;
use recording::{BufferSlice, Dispatch, Executor, Kernel, Recording, Scope, shader::Library};

use crate::{Gpu, select};

const LIBRARY: Library = &[("increment", "fn increment(x: u32) -> u32 { return x * 3u + 1u; }")];

/// A device; none only where the tests that need one were switched off.
fn gpu() -> Option<Gpu> {
    match block_on(select(None)) {
        Ok(selected) => Some(block_on(Gpu::open(selected, LIBRARY)).expect("the adapter opens")),
        Err(error) if std::env::var("BITPLANE_GPU_TESTS").is_ok_and(|v| v == "skip") => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}; set BITPLANE_GPU_TESTS=skip to do without"),
    }
}

fn dispatch(kernel: impl Kernel + 'static, buffers: Vec<BufferSlice>) -> Dispatch {
    Dispatch { kernel: std::sync::Arc::new(kernel), buffers, scope: Scope::default() }
}

/// `dispatches` without the checks of [`Recording::push`].
fn unchecked(dispatches: Vec<Dispatch>) -> Recording {
    Recording { dispatches }
}

/// A buffer that holds `words`.
fn filled(gpu: &mut Gpu, words: &[u32]) -> BufferSlice {
    let buffer = gpu.allocate("test", words.len() as u64).expect("fits");
    gpu.write(buffer, 0, words).expect("lies inside");
    BufferSlice::whole(buffer, words.len() as u64)
}

fn contents(gpu: &mut Gpu, slice: BufferSlice) -> Vec<u32> {
    block_on(gpu.read(slice.buffer, slice.offset, slice.words)).expect("the device answers")
}
