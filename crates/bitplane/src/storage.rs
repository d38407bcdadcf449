//! Files that are either the old one or the new one, never half of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::output::shown;

/// The file operations that a run needs; one implementation is the disk, others fail on purpose.
pub trait Storage {
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// The file system's.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates or empties a file, writes `bytes` and waits until they are on the medium.
    ///
    /// # Errors
    /// The file system's.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Adds `bytes` to the end of a file, created where missing, and waits until they are on the medium.
    ///
    /// # Errors
    /// The file system's.
    fn append_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Puts `from` in the place of `to`.
    ///
    /// # Errors
    /// The file system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are on the medium.
    ///
    /// # Errors
    /// The file system's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    /// The file system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// The file system's, or [`io::ErrorKind::FileTooLarge`].
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn append_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Folders cannot be opened as files here; the file system orders renames itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    }
}

/// A failed access to a file of a run.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}{}", shown(.path), hint(.action, .source))]
pub struct StorageError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl StorageError {
    /// Wraps the system's error with what was tried on which path.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

fn hint(action: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::FileTooLarge if action == "read" => {
            "; no file of this kind is that large, name another"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room or choose another --output-dir, what was saved before is intact"
        }
        io::ErrorKind::FileTooLarge => "; the file system or a limit of the shell allows no larger file",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another --output-dir that you may write to"
        }
        io::ErrorKind::NotADirectory => {
            "; a file stands where a folder is needed, choose another --output-dir"
        }
        _ => "",
    }
}

/// Replaces the file at `path` by `bytes`: temporary file in the same folder, sync, rename, sync of the folder.
///
/// At every moment `path` holds the old content or the new. A failed attempt leaves no temporary file where the
/// file system still allows deleting it.
///
/// # Errors
/// [`StorageError`] names the step that failed.
pub fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let folder = path.parent().expect("a file of a run lies in a folder");
    let temporary = temporary_path(path);
    let written = storage
        .write_synced(&temporary, bytes)
        .map_err(StorageError::at("write", path))
        .and_then(|()| storage.rename(&temporary, path).map_err(StorageError::at("rename", path)));
    if written.is_err() {
        // The first error is the one to report; a leftover is overwritten by the next attempt.
        let _ = storage.remove(&temporary);
        return written;
    }
    storage.sync_dir(folder).map_err(StorageError::at("sync", folder))
}

/// Where [`replace`] writes before it renames.
pub fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().expect("a file of a run has a name").to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

#[cfg(test)]
pub(crate) mod faulty {
    use super::*;
    use std::cell::Cell;

    /// A disk whose power fails at one call: that call does nothing, or writes a part; all later ones fail.
    pub struct FaultyDisk {
        calls: Cell<usize>,
        fail_at: usize,
        partial: Option<usize>,
    }

    impl FaultyDisk {
        /// Fails from call number `fail_at` on; a write at that call first leaves `partial` bytes.
        pub fn new(fail_at: usize, partial: Option<usize>) -> Self {
            Self { calls: Cell::new(0), fail_at, partial }
        }

        /// Calls that were made.
        pub fn calls(&self) -> usize {
            self.calls.get()
        }

        fn next(&self) -> io::Result<()> {
            let call = self.calls.get();
            self.calls.set(call + 1);
            if call >= self.fail_at { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        }

        fn cut<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
            let now = self.calls.get() == self.fail_at + 1;
            self.partial.filter(|_| now).map(|length| &bytes[..length.min(bytes.len())])
        }
    }

    impl Storage for FaultyDisk {
        fn create_dir_all(&self, path: &Path) -> io::Result<()> {
            self.next().and_then(|()| Disk.create_dir_all(path))
        }
        fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.next().or_else(|error| {
                self.cut(bytes).map_or(Ok(()), |part| Disk.write_synced(path, part)).and(Err(error))
            })?;
            Disk.write_synced(path, bytes)
        }
        fn append_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.next().or_else(|error| {
                self.cut(bytes).map_or(Ok(()), |part| Disk.append_synced(path, part)).and(Err(error))
            })?;
            Disk.append_synced(path, bytes)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.next().and_then(|()| Disk.rename(from, to))
        }
        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.next().and_then(|()| Disk.sync_dir(path))
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.next().and_then(|()| Disk.remove(path))
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
            self.next().and_then(|()| Disk.read(path, limit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_the_old_or_the_new_at_every_crash() {
        for partial in [None, Some(0), Some(2)] {
            for fail_at in 0..5 {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                replace(&Disk, &path, b"old").unwrap();
                let storage = faulty::FaultyDisk::new(fail_at, partial);
                let result = replace(&storage, &path, b"newer");
                let found = fs::read(&path).unwrap();
                assert!(found == b"old" || found == b"newer", "call {fail_at}: {found:?}");
                assert_eq!(result.is_ok(), fail_at >= 3, "call {fail_at}");
                if result.is_ok() {
                    assert_eq!((found.as_slice(), storage.calls()), (b"newer".as_slice(), 3));
                }
            }
        }
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&Disk, &path, b"12345").unwrap();
        assert_eq!(Disk.read(&path, 5).unwrap(), b"12345");
        let error = Disk.read(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let message = StorageError::at("read", &path)(error).to_string();
        assert!(message.contains("no file of this kind is that large"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }
}
