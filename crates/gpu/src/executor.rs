//! The device as an executor.

use std::{cell::Cell, collections::VecDeque, time::Duration};

use recording::{BufferId, BufferSlice, Executor, ExecutorError, Limits, Recording, Ticket, shader};

use crate::{
    AdapterInfo, GpuError, Prepared, Selected,
    buffers::Buffers,
    clock::Clock,
    device::{Created, Device},
    fault::During,
    pipeline::Pipelines,
    readback::Readbacks,
    split::Budget,
    submit::{End, InFlight},
};

// A data set would take its memory twice if its pieces waited for the first run.
const WAITING_BYTES: u64 = 16 << 20;

/// A device that runs recordings.
///
/// Each call returns a typed error instead of panicking. Refused shaders, bindings, ranges and sizes leave the device
/// usable. Once it is lost, a wait timed out or a submission was refused, every later call fails at once with the same
/// error; open a new device then.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) device: Device,
    pub(crate) buffers: Buffers,
    pub(crate) pipelines: Pipelines,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) readbacks: Readbacks,
    pub(crate) submitted: u64,
    /// Bytes written since the last submission; they wait in memory of the host.
    pub(crate) written: Cell<u64>,
    pub(crate) last_end: End,
    pub(crate) statistics: Statistics,
    pub(crate) budget: Budget,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

/// What has been submitted and made so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Buffers, bind groups and pipelines made; a training step makes none.
    pub created: Created,
    /// Submissions of recordings.
    pub submissions: u64,
    /// Longest measured submission in seconds.
    pub slowest_seconds: f64,
    /// Last kernel of that submission.
    pub slowest_kernel: String,
    /// Submissions that took longer than the cap, five times the budget.
    pub over_cap: u64,
}

impl Gpu {
    /// Opens a device; shaders import their texts from `library`.
    ///
    /// # Errors
    /// The adapter offers no device with WebGPU's default limits.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn open(selected: Selected, library: shader::Library) -> Result<Self, GpuError> {
        Self::open_with_clock(selected, library, crate::clock::monotonic).await
    }

    /// Opens a device that measures submissions with `clock`, in seconds since any fixed moment.
    ///
    /// # Errors
    /// The adapter offers no device with WebGPU's default limits.
    pub async fn open_with_clock(
        selected: Selected,
        library: shader::Library,
        clock: fn() -> f64,
    ) -> Result<Self, GpuError> {
        Ok(Self {
            device: Device::open(selected).await?,
            buffers: Buffers::default(),
            pipelines: Pipelines::new(library),
            in_flight: VecDeque::new(),
            readbacks: Readbacks::default(),
            submitted: 0,
            written: Cell::new(0),
            last_end: End::default(),
            statistics: Statistics::default(),
            budget: Budget::default(),
            timeout: Duration::from_secs(30),
            clock,
        })
    }

    /// The adapter that is used.
    pub fn info(&self) -> &AdapterInfo {
        &self.device.info
    }

    /// Number of buffers allocated so far.
    pub fn buffer_count(&self) -> usize {
        self.buffers.count()
    }

    /// Submissions and objects so far.
    pub fn statistics(&self) -> Statistics {
        Statistics { created: self.device.created.get(), ..self.statistics.clone() }
    }

    /// The time that one submission should take, 50 ms unless set; recordings are split to stay below.
    ///
    /// A first run goes by estimates, later ones by what was measured. One dispatch is never split.
    pub fn set_budget(&mut self, target: Duration) {
        let target = target.as_secs_f64();
        self.budget = Budget { target, cap: 5.0 * target };
    }

    /// The longest wait for one submission, 30 s unless set. A browser keeps its own limit.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Destroys the device as a driver reset would, to test recovery. While submissions run, calls that wait for nothing
    /// may not notice yet.
    pub fn destroy_device(&self) {
        self.device.device.destroy();
    }
}

impl Executor for Gpu {
    type Prepared = Prepared;

    fn limits(&self) -> Limits {
        self.device.limits()
    }

    fn allocate(&mut self, label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        self.buffers.allocate(&self.device, label, words)
    }

    fn allocated_bytes(&self) -> u64 {
        self.buffers.bytes()
    }

    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError> {
        let handle = self.buffers.range("write", buffer, offset, words.len() as u64)?;
        self.written.set(self.written.get() + 4 * words.len() as u64);
        self.device.guard(During::Other("write".to_owned()), || {
            self.device.queue.write_buffer(handle, 4 * offset, bytemuck::cast_slice(words));
            if self.written.get() > WAITING_BYTES {
                self.written.set(0);
                self.device.queue.submit([]);
            }
        })
    }

    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutorError> {
        self.device.fault.check()?;
        Prepared::new(&self.device, &self.buffers, &mut self.pipelines, recording)
    }

    async fn run(&mut self, prepared: &Prepared) -> Result<(), ExecutorError> {
        self.submit(prepared, None).await?;
        Ok(())
    }

    fn join(&self, parts: &[&Prepared]) -> Prepared {
        Prepared::joined(parts)
    }

    async fn run_and_read(
        &mut self,
        prepared: &Prepared,
        slice: BufferSlice,
    ) -> Result<Ticket, ExecutorError> {
        let BufferSlice { buffer, offset, words } = slice;
        let source = self.buffers.range("read", buffer, offset, words)?.clone();
        let copy = self.plan_copy(&source, offset, words)?;
        let index = self.submit(prepared, Some(&copy)).await?.expect("a copy is in a submission");
        self.map(copy, index)
    }

    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        self.is_mapped(ticket)
    }

    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError> {
        self.collect(&ticket, words).await
    }

    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError> {
        let source = self.buffers.range("read", buffer, offset, words)?.clone();
        self.finish().await?;
        self.read_back(&source, offset, words).await
    }
}
