//! Whoever runs recordings.

use crate::{BufferId, BufferSlice, ExecutorError, Recording};

/// Sizes that an executor allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest binding in words.
    pub binding_words: u64,
    /// Largest buffer in words.
    pub buffer_words: u64,
    /// Lanes of a subgroup, where subgroup operations are offered and every subgroup has the same size.
    pub subgroup: Option<u32>,
}

/// Words on their way to the host; handed back once, to the executor that gave it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the executor keeps the words until they are taken"]
pub struct Ticket(pub u64);

/// Runs recordings over buffers that it owns: a device, or the reference.
///
/// Waiting calls are async so that a browser can drive them; a program blocks on them.
#[allow(async_fn_in_trait, reason = "executors live on one thread and their futures need no Send bound")]
pub trait Executor {
    /// A recording made ready to run many times.
    type Prepared;

    /// Sizes that buffers and bindings must respect.
    fn limits(&self) -> Limits;

    /// Makes a zeroed buffer of `words` words.
    ///
    /// # Errors
    /// Limits passed, or out of memory.
    fn allocate(&mut self, label: &str, words: u64) -> Result<BufferId, ExecutorError>;

    /// Bytes allocated so far.
    fn allocated_bytes(&self) -> u64;

    /// Writes `words` from word `offset` on; later runs see them.
    ///
    /// # Errors
    /// The range lies outside the buffer, or the device failed.
    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError>;

    /// Compiles and binds a recording.
    ///
    /// # Errors
    /// A shader that does not compile, or a dispatch that does not fit.
    fn prepare(&mut self, recording: &Recording) -> Result<Self::Prepared, ExecutorError>;

    /// The recordings of `parts` one after another, as one that may be submitted across their borders.
    fn join(&self, parts: &[&Self::Prepared]) -> Self::Prepared;

    /// Submits a prepared recording; its results are complete once a later [`Executor::read`] returns.
    ///
    /// Waits only while more is queued than keeps the device busy.
    ///
    /// # Errors
    /// Device failure.
    async fn run(&mut self, prepared: &Self::Prepared) -> Result<(), ExecutorError>;

    /// Submits like [`Executor::run`], and behind it a copy of `slice`, at least one word, to the host. Later runs and
    /// writes do not change what the ticket stands for.
    ///
    /// # Errors
    /// The slice lies outside its buffer, or the device failed.
    async fn run_and_read(
        &mut self,
        prepared: &Self::Prepared,
        slice: BufferSlice,
    ) -> Result<Ticket, ExecutorError>;

    /// Whether [`Executor::take`] would return without a wait.
    ///
    /// # Errors
    /// A ticket that was taken already, or a device failure.
    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError>;

    /// Waits for the words of `ticket` and puts them in place of `words`, whose memory is used again.
    ///
    /// # Errors
    /// A ticket that was taken already, device failure or time-out.
    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError>;

    /// Waits for everything submitted and reads `words` words from word `offset` on.
    ///
    /// # Errors
    /// Device failure or time-out.
    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError>;
}
