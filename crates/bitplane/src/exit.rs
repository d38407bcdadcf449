//! The one place that says which failure ends the program with which code.

use std::path::PathBuf;

use data::DataError;
use gpu::GpuError;
use graph::GraphError;
use recording::ExecutorError;

use crate::fetch::FetchError;
use crate::models::ModelError;
use crate::output::shown;
use crate::run::RunError;
use crate::settings::SettingsError;
use crate::storage::StorageError;
use crate::store::StoreError;
use crate::sweep::plan::PlanError;

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// A bug in the program.
    Internal = 1,
    /// Wrong flags or settings.
    Usage = 2,
    /// A data or model file was refused.
    Rejected = 3,
    /// No usable adapter, or a limit of it.
    Adapter = 4,
    /// The GPU failed, also after retries.
    Device = 5,
    /// Training diverged.
    Diverged = 6,
    /// The file system failed.
    Io = 7,
    /// Some points of a sweep failed; the others are done.
    Points = 8,
    /// Interrupted by the user, with a checkpoint saved.
    Interrupted = 130,
}

impl Exit {
    /// As the process's status.
    pub fn code(self) -> i32 {
        i32::from(self as u8)
    }
}

/// Everything that ends the program before its work is done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Flags that do not go together.
    #[error("{message}")]
    Usage {
        /// What is wrong and what to do.
        message: String,
    },
    /// Settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Data sets and images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Fetching of data sets.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Networks and sessions.
    #[error("{}{}", .0, advice(.0))]
    Graph(#[from] GraphError),
    /// Adapters.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Checkpoints.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Packed networks.
    #[error(transparent)]
    Packed(#[from] packed::Error),
    /// Run folders.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Standard output.
    #[error("cannot write to standard output: {source}")]
    Output {
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that the user named.
    #[error("cannot write {}: {source}", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Sizes that the adapter does not allow.
    #[error("{message}")]
    Limit {
        /// What is too large, and what to do.
        message: String,
    },
    /// A kernel computed something else than the reference.
    #[error(
        "wrong result of {what}: {how}; this is a fault of the kernel or of the driver, please report it"
    )]
    Mismatch {
        /// The kernel and its sizes.
        what: String,
        /// The first difference.
        how: String,
    },
    /// The user asked for the end of a measurement.
    #[error("interrupted; the rows measured so far are printed")]
    Stopped,
    /// A plan of trainings.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Some trainings of a sweep ended early.
    #[error("{failed} of {total} points failed ({names}); their messages are in {}, the same command tries them again", shown(.folder))]
    Points {
        /// Points that failed.
        failed: usize,
        /// Points of the plan, or of the shard.
        total: usize,
        /// The names of those that failed.
        names: String,
        /// The sweep's folder.
        folder: PathBuf,
    },
    /// The user asked for the end of a sweep.
    #[error("interrupted; what was trained is saved in {}, the same command goes on", shown(.folder))]
    SweepStopped {
        /// The sweep's folder.
        folder: PathBuf,
    },
    /// Training went out of bounds.
    #[error("training diverged at step {step}: {what}; try a smaller --lr or --lr-warmup-epochs{}", kept(.checkpoint))]
    Diverged {
        /// Global step, from 0.
        step: u32,
        /// The layer and value, or the loss.
        what: String,
        /// The last good checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// An evaluation went out of bounds.
    #[error("the mean loss over the test set is {loss}")]
    TestLoss {
        /// NaN or infinite.
        loss: f64,
    },
    /// The device failed again after all tries.
    #[error("the GPU failed {tries} times in a row: {cause}{}", kept(.checkpoint))]
    DeviceGone {
        /// Failures without progress between them.
        tries: u32,
        /// The last failure.
        cause: Box<Failure>,
        /// The last good checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// The user asked for the end; everything is saved.
    #[error("interrupted in epoch {epoch}; saved as {}, go on with: bitplane train --resume {}", shown(.checkpoint), shown(.run))]
    Interrupted {
        /// The running epoch, from 1.
        epoch: u32,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The run folder.
        run: PathBuf,
    },
}

/// What helps against a size that the adapter does not allow; other messages say it themselves.
fn advice(error: &GraphError) -> &'static str {
    match error {
        GraphError::TooLarge { samples: 0, .. } => "; use a smaller --model or smaller images",
        GraphError::TooLarge { .. } => "; use a smaller --batch-size or smaller images",
        _ => "",
    }
}

fn kept(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("; the last good checkpoint is {}", shown(path)),
        None => "; no checkpoint had been saved yet".to_owned(),
    }
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Settings(SettingsError::Storage(_)) | Self::Storage(_) => Exit::Io,
            Self::Output { .. } | Self::Write { .. } => Exit::Io,
            Self::Packed(error) if error.is_io() => Exit::Io,
            Self::Packed(_) => Exit::Rejected,
            Self::Settings(_) => Exit::Usage,
            Self::Data(error) if error.is_usage() => Exit::Usage,
            Self::Data(error) if error.is_io() => Exit::Io,
            Self::Data(_) => Exit::Rejected,
            Self::Fetch(error) if error.is_usage() => Exit::Usage,
            Self::Fetch(error) if error.is_io() => Exit::Io,
            Self::Fetch(_) => Exit::Rejected,
            Self::Model(ModelError::Graph(error)) | Self::Graph(error) => graph_exit(error),
            Self::Model(_) => Exit::Usage,
            Self::Gpu(_) => Exit::Adapter,
            Self::Store(StoreError::Storage(_)) | Self::Run(RunError::Storage(_)) => Exit::Io,
            Self::Store(_)
            | Self::Run(RunError::NotARun { .. } | RunError::Metrics { .. } | RunError::Incomplete { .. }) => {
                Exit::Rejected
            }
            Self::Run(_) => Exit::Usage,
            Self::Diverged { .. } | Self::TestLoss { .. } => Exit::Diverged,
            Self::Limit { .. } => Exit::Adapter,
            Self::DeviceGone { .. } | Self::Mismatch { .. } => Exit::Device,
            Self::Plan(PlanError::Storage(_)) => Exit::Io,
            Self::Plan(_) => Exit::Usage,
            Self::Points { .. } => Exit::Points,
            Self::Interrupted { .. } | Self::Stopped | Self::SweepStopped { .. } => Exit::Interrupted,
        }
    }

    /// True where a new device and the last checkpoint may help.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::Graph(GraphError::Executor(error)) if error.is_recoverable())
    }
}

fn graph_exit(error: &GraphError) -> Exit {
    match error {
        GraphError::Bits { .. } | GraphError::BitsText { .. } => Exit::Usage,
        GraphError::Structure { .. } | GraphError::StructureText { .. } => Exit::Usage,
        // A model that does not fit the images: both were chosen by the user.
        GraphError::Layer { .. } | GraphError::TooDeep { .. } => Exit::Usage,
        GraphError::TooLarge { .. } | GraphError::Memory { .. } => Exit::Adapter,
        GraphError::State { .. } => Exit::Rejected,
        GraphError::NonFinite { .. } => Exit::Diverged,
        GraphError::Executor(error) => match error {
            ExecutorError::Limit { .. } | ExecutorError::OutOfMemory { .. } => Exit::Adapter,
            ExecutorError::Dispatch { .. } => Exit::Internal,
            _ => Exit::Device,
        },
        _ => Exit::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_scripts_know() {
        let executor = |error: ExecutorError| Failure::Graph(GraphError::Executor(error));
        let lost = executor(ExecutorError::DeviceLost { reason: "test".into() });
        let limit = executor(ExecutorError::Limit { what: "x".into(), needed: 2, limit: 1 });
        let storage = StorageError::at("write", "x".as_ref())(std::io::ErrorKind::StorageFull.into());
        let missing = SettingsError::Missing { file: "x".into() };
        let foreign = StoreError::Foreign { path: "x".into(), differences: "y".into() };
        assert!(lost.is_recoverable() && !limit.is_recoverable());
        let large = |samples| {
            let tensor = "conv".to_owned();
            Failure::Graph(GraphError::TooLarge { tensor, samples, needed: 2, limit: 1 })
        };
        assert!(limit.to_string().contains("smaller --batch-size"), "{limit}");
        assert!(large(8).to_string().contains("smaller --batch-size"), "{}", large(8));
        assert!(!large(0).to_string().contains("--batch-size"), "{}", large(0));
        let gone = Failure::DeviceGone {
            tries: 4,
            cause: Box::new(executor(ExecutorError::DeviceLost { reason: String::new() })),
            checkpoint: None,
        };
        let cases = [
            (Failure::Usage { message: String::new() }, 2),
            (Failure::Settings(missing), 2),
            (Failure::Graph(GraphError::Bits { what: "weights", bits: 0 }), 2),
            (Failure::Store(foreign), 3),
            (limit, 4),
            (Failure::Limit { message: String::new() }, 4),
            (Failure::Mismatch { what: String::new(), how: String::new() }, 5),
            (Failure::Stopped, 130),
            (Failure::Write { path: PathBuf::new(), source: std::io::ErrorKind::NotFound.into() }, 7),
            (large(8), 4),
            (executor(ExecutorError::Dispatch { kernel: "k".into(), message: String::new() }), 1),
            (Failure::TestLoss { loss: f64::NAN }, 6),
            (lost, 5),
            (Failure::Points { failed: 1, total: 2, names: String::new(), folder: PathBuf::new() }, 8),
            (Failure::SweepStopped { folder: PathBuf::new() }, 130),
            (Failure::Plan(PlanError::Missing { path: PathBuf::new() }), 2),
            (gone, 5),
            (Failure::Diverged { step: 1, what: String::new(), checkpoint: None }, 6),
            (Failure::Storage(storage), 7),
            (Failure::Interrupted { epoch: 1, checkpoint: "c".into(), run: "r".into() }, 130),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.exit().code(), code, "{failure}");
        }
    }
}
