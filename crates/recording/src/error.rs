//! What can go wrong while a recording runs.

/// A failure of an [`Executor`](crate::Executor), typed so that the caller can decide whether to retry.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExecutorError {
    /// A shader does not compose, parse or validate.
    #[error("shader `{kernel}` does not compile: {message}")]
    Shader {
        /// Kernel name.
        kernel: String,
        /// The compiler's words.
        message: String,
    },
    /// The graphics API refused a command; a bug in the program, not in the input.
    #[error("the device refused `{kernel}`: {message}")]
    Validation {
        /// Kernel name, or the operation.
        kernel: String,
        /// The API's words.
        message: String,
    },
    /// A buffer is larger than the adapter's limit.
    #[error("{what} needs {needed} bytes, the adapter's limit is {limit}; use a smaller --batch-size")]
    Limit {
        /// What is too large.
        what: String,
        /// Bytes asked for.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("the device ran out of memory while {during}; use a smaller --batch-size")]
    OutOfMemory {
        /// The operation under way.
        during: String,
    },
    /// The device did not finish in time.
    #[error("the device did not finish `{kernel}` within {seconds} s")]
    Timeout {
        /// Last kernel of the submission.
        kernel: String,
        /// The waiting limit.
        seconds: u64,
    },
    /// The device is gone (driver reset, suspend, removal).
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// The driver's reason.
        reason: String,
    },
    /// A submission ended without having written what it should have.
    #[error("a submission ended without doing its work (step token {found}, expected {expected})")]
    StepToken {
        /// Token read back.
        found: u32,
        /// Token of the step just run.
        expected: u32,
    },
    /// A dispatch does not fit its kernel: wrong number or size of buffers, or too many loop iterations.
    #[error("dispatch of `{kernel}` is malformed: {message}")]
    Dispatch {
        /// Kernel name.
        kernel: String,
        /// What is wrong.
        message: String,
    },
}

impl ExecutorError {
    /// True where a new device and the last checkpoint may help: device loss, time-out, or a step that did nothing.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::DeviceLost { .. } | Self::Timeout { .. } | Self::StepToken { .. })
    }
}
