//! The lock that admits one writer to a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::run::RunError;
use crate::storage::StorageError;

/// The lock's file name.
pub const LOCK: &str = "lock";

/// A lock that this process holds until it drops it.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `folder`. Its file is created where there is none; what it holds stays until [`Lock::sign`].
    ///
    /// # Errors
    /// [`RunError::Locked`] names the process that holds it, [`RunError::Storage`].
    pub fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(StorageError::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => {
                Err(RunError::Locked { path: folder.to_owned(), holder: holder(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(StorageError::at("lock", &path)(error).into()),
        }
    }

    /// Takes the lock of `folder` once nobody else holds it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn wait(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(StorageError::at("open", &path))?;
        file.lock().map_err(StorageError::at("lock", &path))?;
        Ok(Self { file, path })
    }

    /// Writes this process's number for others to see.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn sign(&mut self) -> Result<(), StorageError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        let written = emptied.and_then(|()| writeln!(self.file, "{}", std::process::id()));
        written.map_err(StorageError::at("write", &self.path))
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
