//! The folder of a run: settings, metrics, checkpoints, and a lock that admits one writer.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::output::shown;
use crate::report::EpochRecord;
use crate::settings::Settings;
use crate::storage::{Storage, StorageError, replace};

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const LOCK: &str = "lock";
const METRICS_LIMIT: u64 = 1 << 30;

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something is in the folder already.
    #[error("{} is not empty; go on with --resume, start anew with --overwrite, or choose another --output-dir", shown(.path))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains there.
    #[error("{} is in use by {holder}; wait for it or choose another --output-dir", shown(.path))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// There is no run.
    #[error("{} is not a run folder: {message}", shown(.path))]
    NotARun {
        /// The path.
        path: PathBuf,
        /// What is missing.
        message: String,
    },
    /// The metrics cannot be read back.
    #[error("{} is not usable: {message}", shown(.path))]
    Metrics {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file system failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A run folder that this process may write to.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: Option<File>,
    /// Whether the folder is removed again if nothing is written to it.
    transient: bool,
}

impl RunFolder {
    /// Takes exactly `path`, which must be new or empty unless `overwrite`.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, RunError> {
        let transient = !path.exists();
        fs::create_dir_all(path).map_err(StorageError::at("create", path))?;
        let folder = Self::locked(path, transient)?;
        if !overwrite && !is_empty(path)? {
            return Err(RunError::Exists { path: path.to_owned() });
        }
        Ok(folder)
    }

    /// Takes `base`, or the first of `base-2`, `base-3`, ... that does not exist.
    ///
    /// # Errors
    /// [`RunError::Storage`].
    pub fn create_numbered(base: &Path) -> Result<Self, RunError> {
        if let Some(parent) = base.parent() {
            fs::create_dir_all(parent).map_err(StorageError::at("create", parent))?;
        }
        for number in 1.. {
            let path = numbered(base, number);
            match fs::create_dir(&path) {
                Ok(()) => return Self::locked(&path, true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StorageError::at("create", &path)(error).into()),
            }
        }
        unreachable!("some number is free")
    }

    /// Takes an existing run to go on with it.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn reopen(path: &Path) -> Result<Self, RunError> {
        check_run(path)?;
        Self::locked(path, false)
    }

    fn locked(path: &Path, transient: bool) -> Result<Self, RunError> {
        let file = path.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = open.map_err(StorageError::at("open", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RunError::Locked { path: path.to_owned(), holder: holder(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(StorageError::at("lock", &file)(error).into()),
        }
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        let folder = Self { path: path.to_owned(), lock: Some(lock), transient };
        written.map_err(StorageError::at("write", &file))?;
        Ok(folder)
    }

    /// Where the run lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.path)
    }

    /// Writes the settings and, for a new training, removes what an overwritten one left.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn begin(&mut self, storage: &dyn Storage, config: &Config, anew: bool) -> Result<(), StorageError> {
        if anew {
            // The manifest goes first: without it the other files mean nothing.
            remove_if_there(storage, &self.checkpoints().join("manifest.json"))?;
            for file in checkpoint_files(&self.checkpoints()) {
                remove_if_there(storage, &file)?;
            }
            remove_if_there(storage, &self.path.join(METRICS))?;
        }
        replace(storage, &self.path.join(CONFIG), config.to_toml().as_bytes())?;
        self.transient = false;
        Ok(())
    }

    /// Adds one epoch's line to the metrics.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn append_metrics(&self, storage: &dyn Storage, record: &EpochRecord) -> Result<(), StorageError> {
        let path = self.path.join(METRICS);
        storage.append_synced(&path, line(record).as_bytes()).map_err(StorageError::at("write", &path))
    }

    /// The lines of the first `epochs` epochs; later ones, which training will write again, are removed from the file.
    ///
    /// # Errors
    /// [`RunError::Metrics`] where a line of these epochs is missing, [`RunError::Storage`].
    pub fn rewind_metrics(&self, storage: &dyn Storage, epochs: u32) -> Result<Vec<EpochRecord>, RunError> {
        let path = self.path.join(METRICS);
        let bytes = match storage.read(&path, METRICS_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StorageError::at("read", &path)(error).into()),
        };
        // A crash can leave the last line cut; its epoch had no checkpoint then.
        let mut records: Vec<EpochRecord> = String::from_utf8_lossy(&bytes)
            .lines()
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        records.truncate(epochs as usize);
        if records.len() < epochs as usize
            || records.iter().zip(1..).any(|(record, epoch)| record.epoch != epoch)
        {
            let message = format!("it does not hold one line for each of the first {epochs} epochs");
            return Err(RunError::Metrics { path, message });
        }
        let text: String = records.iter().map(line).collect();
        if text.as_bytes() != bytes {
            replace(storage, &path, text.as_bytes())?;
        }
        Ok(records)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        self.lock = None;
        if self.transient {
            // Nothing was trained; a folder that cannot be removed does no harm.
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// The folder of checkpoints of the run at `path`.
pub fn checkpoints(path: &Path) -> PathBuf {
    path.join(CHECKPOINTS)
}

/// The settings that the run at `path` was started with.
///
/// # Errors
/// [`RunError::NotARun`], or the settings' own.
pub fn read_settings(path: &Path) -> Result<Settings, crate::exit::Failure> {
    check_run(path)?;
    Ok(Settings::read(&path.join(CONFIG))?)
}

/// The newest of `base`, `base-2`, `base-3`, ... that exists.
pub fn newest(base: &Path) -> Option<PathBuf> {
    let taken = (1..).map(|number| numbered(base, number)).take_while(|path| path.exists());
    taken.last()
}

fn check_run(path: &Path) -> Result<(), RunError> {
    let not_a_run = |message: &str| RunError::NotARun { path: path.to_owned(), message: message.to_owned() };
    if !path.exists() {
        return Err(not_a_run("it does not exist"));
    }
    if !path.join(CONFIG).is_file() {
        return Err(not_a_run("config.toml is missing"));
    }
    Ok(())
}

fn numbered(base: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return base.to_owned();
    }
    let mut name = base.file_name().expect("a run has a name").to_owned();
    name.push(format!("-{number}"));
    base.with_file_name(name)
}

fn line(record: &EpochRecord) -> String {
    let mut text = serde_json::to_string(record).expect("a record is plain values");
    text.push('\n');
    text
}

/// True where a folder holds nothing but the lock.
fn is_empty(path: &Path) -> Result<bool, StorageError> {
    let entries = fs::read_dir(path).map_err(StorageError::at("read", path))?;
    for entry in entries {
        if entry.map_err(StorageError::at("read", path))?.file_name() != LOCK {
            return Ok(false);
        }
    }
    Ok(true)
}

fn checkpoint_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect()
}

fn remove_if_there(storage: &dyn Storage, path: &Path) -> Result<(), StorageError> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    // Some systems let nobody read a locked file.
    let _ = lock.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    fn record(epoch: u32) -> EpochRecord {
        EpochRecord { epoch, train_loss: 0.5 / f64::from(epoch), ..EpochRecord::default() }
    }

    #[test]
    fn a_second_writer_is_told_the_first_ones_pid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let first = RunFolder::create(&path, false).unwrap();
        for overwrite in [false, true] {
            let error = RunFolder::create(&path, overwrite).unwrap_err().to_string();
            assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        }
        drop(first);
        assert!(!path.exists(), "a folder without a run is removed");
        RunFolder::create(&path, false).unwrap();
    }

    #[test]
    fn folders_with_content_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "x").unwrap();
        assert!(matches!(RunFolder::create(folder.path(), false), Err(RunError::Exists { .. })));
        drop(RunFolder::create(folder.path(), true).unwrap());
        assert!(folder.path().join("thesis.txt").exists());
        assert!(matches!(RunFolder::reopen(folder.path()), Err(RunError::NotARun { .. })));
    }

    #[test]
    fn numbered_folders_count_up() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("runs/a.b");
        assert_eq!(newest(&base), None);
        let names: Vec<RunFolder> = (0..3).map(|_| RunFolder::create_numbered(&base).unwrap()).collect();
        assert_eq!(names[2].path(), folder.path().join("runs/a.b-3"));
        assert_eq!(newest(&base).as_deref(), Some(names[2].path()));
    }

    #[test]
    fn metrics_are_cut_back_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), false).unwrap();
        for epoch in 1..=3 {
            run.append_metrics(&Disk, &record(epoch)).unwrap();
        }
        let path = folder.path().join(METRICS);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"epoch\": 4, \"tra");
        fs::write(&path, text).unwrap();
        assert_eq!(run.rewind_metrics(&Disk, 2).unwrap(), [record(1), record(2)]);
        assert_eq!(run.rewind_metrics(&Disk, 2).unwrap().len(), 2);
        assert!(matches!(run.rewind_metrics(&Disk, 3), Err(RunError::Metrics { .. })));
        assert!(run.rewind_metrics(&Disk, 0).unwrap().is_empty());
    }
}
