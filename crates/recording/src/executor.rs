//! Whoever runs recordings.

use crate::{BufferId, ExecutorError, Recording};

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

    /// Submits a prepared recording; its results are complete once a later [`Executor::read`] returns.
    ///
    /// # Errors
    /// Device failure.
    async fn run(&mut self, prepared: &Self::Prepared) -> Result<(), ExecutorError>;

    /// Waits for everything submitted and reads `words` words from word `offset` on.
    ///
    /// # Errors
    /// Device failure or time-out.
    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError>;
}
