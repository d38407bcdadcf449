//! Getting public data sets: pinned sizes and sums, files that are whole or not there, downloads that go on where they
//! stopped.

mod published;
mod transfer;

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

pub use published::{Pinned, Published, find, manifest, names};

use crate::config::hex;
use crate::output::{note, shown};
use crate::report::bytes;
use crate::storage::{Disk, Storage, StorageError};
use transfer::{Trouble, agent, transfer};

/// Names the folder of fetched sets in place of the system's cache folder.
const VARIABLE: &str = "BITPLANE_DATA_DIR";
/// The file whose lock one process holds while it fetches into a folder.
const LOCK: &str = ".fetch-lock";
/// The wait before the second try; it doubles from try to try.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No such set.
    #[error("`{}` is no set that can be fetched; known are {}", data::printable(.name), names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The list of files is not what is wanted.
    #[error("{file}: {reason}")]
    Manifest {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no folder to put it into.
    #[error("this system has no cache folder; choose one with --to DIR or {VARIABLE}")]
    NoFolder,
    /// A file is wanted and may not be fetched.
    #[error("{} {found}, and --offline forbids to fetch it; run `bitplane data fetch {set}` while online", shown(.path))]
    Offline {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: String,
        /// The set.
        set: String,
    },
    /// What servers have is not the published file.
    #[error("{file} could not be fetched: {}", data::printable(.reasons))]
    Refused {
        /// The file's name.
        file: String,
        /// Every address with what it answered.
        reasons: String,
    },
    /// No server could be reached, or the connection broke again and again.
    #[error("{file} could not be fetched: {}; what has arrived is kept, run the command again", data::printable(.reasons))]
    Network {
        /// The file's name.
        file: String,
        /// Every address with what went wrong.
        reasons: String,
    },
    /// Files.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FetchError {
    /// True where the request itself is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Manifest { .. } | Self::NoFolder)
    }

    /// True where the network or the file system failed.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Storage(_))
    }
}

/// How to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Take what is there, or fail.
    pub offline: bool,
    /// Tries in a row without a byte before an address is given up.
    pub tries: u32,
}

/// The folder that holds fetched sets: `BITPLANE_DATA_DIR`, or `bitplane/data` in the system's cache folder.
pub fn data_folder() -> Option<PathBuf> {
    let named = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(dirs::cache_dir()?.join("bitplane/data")))
}

/// `spec` with the path of the fetched set, where it names a set that can be fetched and no path; else `spec` itself.
pub fn located(spec: &str) -> String {
    let found = published::entry(spec).zip(data_folder());
    let Some(((name, entry), folder)) = found else { return spec.to_owned() };
    format!("{spec}:{}", place(&folder.join(name), entry).display())
}

/// What a reader takes of the set in `folder`.
pub fn place(folder: &Path, entry: Option<&str>) -> PathBuf {
    entry.map_or_else(|| folder.to_owned(), |entry| folder.join(entry))
}

/// Brings every file of `set` into `folder`. One process at a time works in a folder; others wait for it.
///
/// # Errors
/// [`FetchError`]; files that were verified before stay, and a part of a file is kept as `NAME.part`.
pub fn fetch(set: &Published, folder: &Path, options: Options) -> Result<(), FetchError> {
    if options.offline {
        return set.files.iter().try_for_each(|file| check_offline(set, file, folder));
    }
    Disk.create_dir_all(folder).map_err(StorageError::at("create", folder))?;
    let _lock = lock(folder)?;
    for file in &set.files {
        let path = folder.join(&file.name);
        match state(file, &path)? {
            State::Good => {
                note(&format!("{} is there", shown(&path)));
                continue;
            }
            State::Missing => {}
            State::Other(found) => note(&format!("{} {found}; fetching it anew", shown(&path))),
        }
        fetch_file(set, file, folder, options)?;
        note(&format!("{} is complete", shown(&path)));
    }
    Ok(())
}

fn check_offline(set: &Published, file: &Pinned, folder: &Path) -> Result<(), FetchError> {
    let path = folder.join(&file.name);
    let found = match state(file, &path)? {
        State::Good => return Ok(()),
        State::Missing => "does not exist".to_owned(),
        State::Other(found) => found,
    };
    Err(FetchError::Offline { path, found, set: set.name.to_owned() })
}

/// Waits until no other process fetches into `folder`.
fn lock(folder: &Path) -> Result<File, FetchError> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(StorageError::at("open", &path))?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            note(&format!("waiting for another process that fetches into {}", shown(folder)));
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    locked.map_err(StorageError::at("lock", &path))?;
    Ok(file)
}

enum State {
    Good,
    Missing,
    /// What is there instead, as a clause.
    Other(String),
}

fn state(file: &Pinned, path: &Path) -> Result<State, FetchError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(State::Missing);
        }
        Err(error) => return Err(StorageError::at("read", path)(error).into()),
    };
    if metadata.len() != file.bytes {
        return Ok(State::Other(format!("has {} bytes, wanted {}", metadata.len(), file.bytes)));
    }
    let sum = digest(path)?;
    if sum != file.sha256 {
        return Ok(State::Other(format!("has the SHA-256 {sum}, wanted {}", file.sha256)));
    }
    Ok(State::Good)
}

fn digest(path: &Path) -> Result<String, StorageError> {
    let mut hash = Sha256::new();
    feed(path, &mut hash).map_err(StorageError::at("read", path))?;
    Ok(hex(&hash.finalize()))
}

fn feed(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tries every address; a whole file of the right sum takes its place by a rename.
fn fetch_file(set: &Published, file: &Pinned, folder: &Path, options: Options) -> Result<(), FetchError> {
    let path = folder.join(&file.name);
    let part = folder.join(format!("{}.part", file.name));
    let agent = agent();
    let (mut reasons, mut is_network) = (Vec::new(), true);
    // What an earlier run left may be wrong; then the first address is asked once more.
    let mut leftover = fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
    let again = set.bases.first().filter(|_| leftover);
    for base in again.into_iter().chain(&set.bases) {
        let url = format!("{}/{}", base.trim_end_matches('/'), file.name);
        note(&format!("fetching {url} ({})", bytes(file.bytes)));
        let bar = ProgressBar::new(file.bytes);
        let style =
            ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
        bar.set_style(style.expect("the template is valid"));
        let result = persist(&part, options.tries, || transfer(&agent, &url, file, &part, &bar));
        bar.finish_and_clear();
        match result {
            Ok(()) => match state(file, &part)? {
                State::Good => return finish(&part, &path, folder),
                State::Missing => reasons.push(format!("{} was removed by somebody else", shown(&part))),
                State::Other(found) => {
                    fs::remove_file(&part).map_err(StorageError::at("remove", &part))?;
                    let why = format!("what {url} gives {found}");
                    if std::mem::take(&mut leftover) {
                        note(&format!("  {why}; fetching it once more from its start"));
                        continue;
                    }
                    reasons.push(why);
                    is_network = false;
                }
            },
            Err(Trouble::Disk(error)) => return Err(error.into()),
            Err(Trouble::Passing(why)) => reasons.push(format!("{url}: {why}")),
            Err(Trouble::Lasting(why)) => {
                reasons.push(format!("{url}: {why}"));
                is_network = false;
            }
        }
    }
    let (file, reasons) = (file.name.clone(), reasons.join("; "));
    Err(if is_network {
        FetchError::Network { file, reasons }
    } else {
        FetchError::Refused { file, reasons }
    })
}

/// Runs `attempt` until it succeeds, fails for good, or failed `tries` times in a row without a byte more in `part` than before.
fn persist(part: &Path, tries: u32, mut attempt: impl FnMut() -> Result<(), Trouble>) -> Result<(), Trouble> {
    let size = || fs::metadata(part).map_or(0, |metadata| metadata.len());
    let (mut failures, mut wait, mut before) = (0, FIRST_WAIT, size());
    loop {
        let why = match attempt() {
            Err(Trouble::Passing(why)) => why,
            other => return other,
        };
        let now = size();
        if now > before {
            (failures, wait, before) = (0, FIRST_WAIT, now);
        } else {
            failures += 1;
        }
        if failures >= tries {
            return Err(Trouble::Passing(why));
        }
        note(&format!("  {}; trying again", data::printable(&why)));
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn finish(part: &Path, path: &Path, folder: &Path) -> Result<(), FetchError> {
    Disk.rename(part, path).map_err(StorageError::at("rename", path))?;
    Ok(Disk.sync_dir(folder).map_err(StorageError::at("sync", folder))?)
}
