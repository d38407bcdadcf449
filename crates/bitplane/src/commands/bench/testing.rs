//! What tests of measurements share.

use std::sync::Arc;

use gpu::Gpu;
use kernels::Mutant;
use recording::{BufferId, BufferSlice, Executor, ExecutorError, Limits, Recording, Ticket};

use super::context::Bench;
use crate::cli::bench::{Format, MeasureArgs};
use crate::exit::Failure;

/// The adapter; `None` where there is none and `BITPLANE_GPU_TESTS=skip` is set.
pub fn bench() -> Option<Bench> {
    let args = MeasureArgs { repetitions: 1, output: Format::Json, device: None };
    match Bench::open(&args) {
        Ok(bench) => Some(bench),
        Err(error @ Failure::Gpu(_)) if std::env::var("BITPLANE_GPU_TESTS").is_ok_and(|v| v == "skip") => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}; set BITPLANE_GPU_TESTS=skip to do without"),
    }
}

/// The device with a fault in the shader of one kernel.
pub struct Broken {
    /// The device.
    pub gpu: Gpu,
    /// The kernel.
    pub kernel: &'static str,
    /// Text of its shader.
    pub from: &'static str,
    /// What stands there instead.
    pub to: &'static str,
}

impl Executor for Broken {
    type Prepared = gpu::Prepared;

    fn prepare(&mut self, recording: &Recording) -> Result<gpu::Prepared, ExecutorError> {
        let mut recording = recording.clone();
        for dispatch in &mut recording.dispatches {
            if dispatch.kernel.name() == self.kernel {
                let source = dispatch.kernel.shader().source.clone();
                let text = source.replace(self.from, self.to);
                assert_ne!(text, source);
                dispatch.kernel = Arc::new(Mutant::new(dispatch.kernel.clone(), text));
            }
        }
        self.gpu.prepare(&recording)
    }
    fn limits(&self) -> Limits {
        self.gpu.limits()
    }
    fn allocate(&mut self, label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        self.gpu.allocate(label, words)
    }
    fn allocated_bytes(&self) -> u64 {
        self.gpu.allocated_bytes()
    }
    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError> {
        self.gpu.write(buffer, offset, words)
    }
    fn join(&self, parts: &[&gpu::Prepared]) -> gpu::Prepared {
        self.gpu.join(parts)
    }
    async fn run(&mut self, prepared: &gpu::Prepared) -> Result<(), ExecutorError> {
        self.gpu.run(prepared).await
    }
    async fn run_and_read(
        &mut self,
        prepared: &gpu::Prepared,
        slice: BufferSlice,
    ) -> Result<Ticket, ExecutorError> {
        self.gpu.run_and_read(prepared, slice).await
    }
    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        self.gpu.is_done(ticket)
    }
    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError> {
        self.gpu.take(ticket, words).await
    }
    async fn read(&mut self, buffer: BufferId, at: u64, words: u64) -> Result<Vec<u32>, ExecutorError> {
        self.gpu.read(buffer, at, words).await
    }
}
