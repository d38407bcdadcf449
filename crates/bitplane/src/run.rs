//! The folder of a run: settings, metrics, checkpoints, and a lock that admits one writer.

mod logs;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use logs::read_if_there;
pub use logs::{Log, read_log, read_metrics};
use serde::Serialize;

use crate::config::Config;
use crate::lock::{LOCK, Lock};
use crate::manifest::is_file_name;
use crate::output::shown;
use crate::report::EpochRecord;
use crate::settings::Settings;
use crate::storage::{Disk, Storage, StorageError, replace, temporary_path};
use crate::store::{MANIFEST, Store};
use crate::tensorboard;
use crate::tuner::Choices;

/// The file of a run's settings.
pub const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const KERNELS: &str = "kernels.json";
const TENSORBOARD: &str = "tensorboard";
const CHECKPOINTS: &str = "checkpoints";
const CONFIG_LIMIT: u64 = 1 << 20;

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something is in the folder already.
    #[error("{} is not empty; go on with --resume, start anew with --overwrite, or choose another --output-dir", shown(.path))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Overwriting would mix a run with something else.
    #[error("{} holds something else than a run, and --overwrite replaces runs only; choose another --output-dir", shown(.path))]
    Strange {
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
    /// The run has not recorded what is asked for.
    #[error("{}: {message}", shown(.path))]
    Incomplete {
        /// The run folder.
        path: PathBuf,
        /// What is missing, and what to do.
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
    lock: Option<Lock>,
    /// Whether the folder is removed again if nothing is written to it.
    transient: bool,
}

impl RunFolder {
    /// Takes exactly `path`, which must be new or empty, or with `overwrite` hold a run.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, RunError> {
        let transient = !path.exists();
        // A refused folder gets no lock; where one lies already, the name of its holder is the better answer.
        if !transient && !path.join(LOCK).is_file() {
            check_free(path, overwrite)?;
        }
        fs::create_dir_all(path).map_err(StorageError::at("create", path))?;
        let lock = Lock::take(path)?;
        // Another process may have trained there before the lock was taken.
        check_free(path, overwrite)?;
        Self::signed(path, lock, transient)
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
                Ok(()) => return Self::signed(&path, Lock::take(&path)?, true),
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
        Self::signed(path, Lock::take(path)?, false)
    }

    fn signed(path: &Path, lock: Lock, transient: bool) -> Result<Self, RunError> {
        let mut folder = Self { path: path.to_owned(), lock: Some(lock), transient };
        folder.lock.iter_mut().try_for_each(Lock::sign)?;
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

    /// Writes the settings and, for a new training, removes the files of an overwritten one and no others.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn begin(&mut self, storage: &dyn Storage, config: &Config, anew: bool) -> Result<(), StorageError> {
        if anew {
            // The manifest goes first: without it the other files mean nothing.
            remove_if_there(storage, &self.checkpoints().join(MANIFEST))?;
            for file in checkpoint_files(&self.checkpoints()) {
                remove_if_there(storage, &file)?;
            }
            let metrics = self.path.join(METRICS);
            remove_if_there(storage, &temporary_path(&metrics))?;
            remove_if_there(storage, &metrics)?;
            remove_if_there(storage, &self.tensorboard("").join(tensorboard::FILE))?;
            for log in Log::ALL.map(|log| log.path(&self.path)) {
                remove_if_there(storage, &temporary_path(&log))?;
                remove_if_there(storage, &log)?;
            }
        }
        replace(storage, &self.path.join(CONFIG), config.to_toml().as_bytes())?;
        self.transient = false;
        Ok(())
    }

    /// Keeps the choice of kernels, so that the run goes on with the same.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn write_kernels(&self, storage: &dyn Storage, choices: &Choices) -> Result<(), StorageError> {
        replace(storage, &kernels(&self.path), choices.to_json().as_bytes())
    }

    /// Adds one epoch's line to the metrics.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn append_metrics(&self, storage: &dyn Storage, record: &EpochRecord) -> Result<(), StorageError> {
        let path = self.path.join(METRICS);
        storage.append_synced(&path, line(record).as_bytes()).map_err(StorageError::at("write", &path))
    }

    /// Where TensorBoard's file of the run goes: into the run, or into a folder of its name in `folder`.
    pub fn tensorboard(&self, folder: &str) -> PathBuf {
        match self.path.file_name() {
            Some(name) if !folder.is_empty() => Path::new(folder).join(name),
            _ => self.path.join(TENSORBOARD),
        }
    }

    /// The lines of the first `epochs` epochs; later ones, which training will write again, are removed from the file.
    ///
    /// # Errors
    /// [`RunError::Metrics`] where a line of these epochs is missing, [`RunError::Storage`].
    pub fn rewind_metrics(&self, storage: &dyn Storage, epochs: u32) -> Result<Vec<EpochRecord>, RunError> {
        let (records, bytes) = self.recorded(storage, epochs)?;
        let text: String = records.iter().map(line).collect();
        if text.as_bytes() != bytes {
            replace(storage, &self.path.join(METRICS), text.as_bytes())?;
        }
        Ok(records)
    }

    /// The metrics of the first `epochs` epochs, and the bytes of their file.
    ///
    /// # Errors
    /// As [`RunFolder::rewind_metrics`].
    pub fn recorded(
        &self,
        storage: &dyn Storage,
        epochs: u32,
    ) -> Result<(Vec<EpochRecord>, Vec<u8>), RunError> {
        let path = self.path.join(METRICS);
        let bytes = read_if_there(storage, &path)?;
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
        Ok((records, bytes))
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

/// The file of kernel choices of the run at `path`.
pub fn kernels(path: &Path) -> PathBuf {
    path.join(KERNELS)
}

/// The settings that the run at `path` was started with.
///
/// # Errors
/// [`RunError::NotARun`], or the settings' own.
pub fn read_settings(path: &Path) -> Result<Settings, crate::exit::Failure> {
    check_run(path)?;
    let mut settings = Settings::read(&path.join(CONFIG))?;
    // What was not written down was not done, whatever the model's recipe has by now.
    settings.preprocess.get_or_insert_default();
    Ok(settings)
}

/// The newest run of `base`, `base-2`, `base-3`, ...; a folder without settings is of one that never began.
pub fn newest(base: &Path) -> Option<PathBuf> {
    let taken = (1..).map(|number| numbered(base, number)).take_while(|path| path.exists());
    taken.filter(|path| check_run(path).is_ok()).last()
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

fn line(record: &impl Serialize) -> String {
    let mut text = serde_json::to_string(record).expect("a record is plain values");
    text.push('\n');
    text
}

/// Refuses a folder in which training anew would touch what it must not.
fn check_free(path: &Path, overwrite: bool) -> Result<(), RunError> {
    let owned = || path.to_owned();
    if is_empty(path)? {
        Ok(())
    } else if !overwrite {
        Err(RunError::Exists { path: owned() })
    } else if !is_run(path) {
        Err(RunError::Strange { path: owned() })
    } else {
        Ok(())
    }
}

/// True where a folder holds nothing but what a training leaves that was killed before it began.
fn is_empty(path: &Path) -> Result<bool, StorageError> {
    let unfinished = temporary_path(CONFIG.as_ref());
    let entries = fs::read_dir(path).map_err(StorageError::at("read", path))?;
    for entry in entries {
        let name = entry.map_err(StorageError::at("read", path))?.file_name();
        if name != LOCK && name != unfinished {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True where the settings or the manifest are of this program. One of them may be damaged, and other programs have
/// files of these names too.
fn is_run(path: &Path) -> bool {
    let config =
        Disk.read(&path.join(CONFIG), CONFIG_LIMIT).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    config.is_some_and(|text| Config::is_complete(&text))
        || Store::open(&Disk, &checkpoints(path)).is_ok_and(|store| store.manifest().is_some())
}

/// The files in the folder of checkpoints that have names this program gives.
fn checkpoint_files(folder: &Path) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".tmp").unwrap_or(name);
        name == MANIFEST || is_file_name(name)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(ours).collect()
}

fn remove_if_there(storage: &dyn Storage, path: &Path) -> Result<(), StorageError> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
