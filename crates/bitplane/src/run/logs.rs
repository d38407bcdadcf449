//! What a run records line by line, read and written.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{METRICS, RunError, RunFolder, line};
use crate::report::EpochRecord;
use crate::storage::{Disk, Storage, StorageError, replace};

const LIMIT: u64 = 1 << 30;

/// What a run collects epoch by epoch beside its metrics, as JSON lines with an `epoch` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// [`HistogramRecord`](crate::statistics::HistogramRecord)s.
    Histograms,
    /// [`DiagnosticRecord`](crate::statistics::DiagnosticRecord)s.
    Diagnostics,
}

impl Log {
    pub(super) const ALL: [Self; 2] = [Self::Histograms, Self::Diagnostics];

    pub(super) fn path(self, run: &Path) -> PathBuf {
        run.join(match self {
            Self::Histograms => "histograms.jsonl",
            Self::Diagnostics => "diagnostics.jsonl",
        })
    }
}

impl RunFolder {
    /// Adds lines to a log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn append_log(
        &self,
        storage: &dyn Storage,
        log: Log,
        records: &[impl Serialize],
    ) -> Result<(), StorageError> {
        let path = log.path(&self.path);
        let text: String = records.iter().map(line).collect();
        storage.append_synced(&path, text.as_bytes()).map_err(StorageError::at("write", &path))
    }

    /// Removes from the logs what is behind the first `epochs` epochs, or cut by a crash.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn rewind_logs(&self, storage: &dyn Storage, epochs: u32) -> Result<(), StorageError> {
        #[derive(serde::Deserialize)]
        struct Line {
            epoch: u32,
        }
        for path in Log::ALL.map(|log| log.path(&self.path)) {
            let bytes = read_if_there(storage, &path)?;
            let text = String::from_utf8_lossy(&bytes);
            let is_kept =
                |line: &&str| serde_json::from_str(line).is_ok_and(|Line { epoch }| epoch <= epochs);
            let kept: String = text.split_inclusive('\n').take_while(is_kept).collect();
            if kept.as_bytes() != bytes {
                replace(storage, &path, kept.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The finished epochs of the run at `path`, which may still be training.
///
/// # Errors
/// [`RunError::Metrics`] where the lines are not those of epochs 1, 2, and so on; [`RunError::Storage`].
pub fn read_metrics(path: &Path) -> Result<Vec<EpochRecord>, RunError> {
    let path = path.join(METRICS);
    let bytes = read_if_there(&Disk, &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut records = Vec::new();
    // A line that is being written has no end yet.
    for (line, epoch) in text.split_inclusive('\n').filter(|line| line.ends_with('\n')).zip(1..) {
        match serde_json::from_str::<EpochRecord>(line) {
            Ok(record) if record.epoch == epoch => records.push(record),
            _ => {
                let message = format!("line {epoch} is not that of epoch {epoch}");
                return Err(RunError::Metrics { path, message });
            }
        }
    }
    Ok(records)
}

/// The lines of a log of the run at `path`, which may still be training; none where there is no such file.
///
/// # Errors
/// [`RunError::Metrics`] where a line is damaged; [`RunError::Storage`].
pub fn read_log<T: DeserializeOwned>(path: &Path, log: Log) -> Result<Vec<T>, RunError> {
    let path = log.path(path);
    let bytes = read_if_there(&Disk, &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let parsed = whole.zip(1..).map(|(line, number): (&str, usize)| {
        let damaged = |error: serde_json::Error| RunError::Metrics {
            path: path.clone(),
            message: format!("line {number}: {error}"),
        };
        serde_json::from_str(line).map_err(damaged)
    });
    parsed.collect()
}

/// A file of metrics or of a log, empty where there is none.
pub(super) fn read_if_there(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>, StorageError> {
    match storage.read(path, LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(StorageError::at("read", path)),
    }
}
