//! The checkpoints of a run, which the manifest names and vouches for.
//!
//! `checkpoints/manifest.json` lists the files with size and SHA-256 and says which is `last` and which `best`. A new
//! checkpoint is complete on the medium before the manifest names it, and an old one is deleted only after the manifest
//! has stopped naming it; so whatever moment the power fails, the manifest names whole files.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, CheckpointError, FORMAT};
use crate::config::{Config, hex};
use crate::identity::Identity;
use crate::manifest::{Entry, Manifest, file_name};
use crate::output::shown;
use crate::position::{Best, Position};
use crate::storage::{Storage, StorageError, replace};

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";
const MANIFEST_LIMIT: u64 = 1 << 20;
/// Checkpoints kept beside the best one: the last, and one to fall back to.
const KEPT: usize = 2;

/// Which checkpoint of a run is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Last,
    /// The one with the best evaluation.
    Best,
    /// The file of this name.
    File(String),
}

/// Why no checkpoint could be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The manifest cannot be understood.
    #[error("{} is not a usable manifest: {message}", shown(.path))]
    Manifest {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Nothing was saved there yet.
    #[error("{} holds no checkpoint; train first", shown(.path))]
    Empty {
        /// The run's folder of checkpoints.
        path: PathBuf,
    },
    /// The manifest does not list what is asked for.
    #[error("{} lists no checkpoint `{wanted}`; it lists {listed}", shown(.path))]
    Unlisted {
        /// The manifest.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The files it does list.
        listed: String,
    },
    /// All candidates are damaged.
    #[error("no checkpoint in {} is intact of those asked for: {problems}{other}", shown(.path))]
    NoneValid {
        /// The run's folder of checkpoints.
        path: PathBuf,
        /// One clause per file.
        problems: String,
        /// What else there is.
        other: &'static str,
    },
    /// An intact file that must not be used.
    #[error("{} {source}", shown(.path))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CheckpointError,
    },
    /// An intact file of another training.
    #[error("{} does not belong to this run: {differences}", shown(.path))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The differences in words.
        differences: String,
    },
    /// An intact file that does not fit the training which is to start with it.
    #[error("{} cannot initialize this training: {differences}", shown(.path))]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The differences in words.
        differences: String,
    },
    /// An intact file that cannot teach the training which is to learn from it.
    #[error("{} cannot teach this training: {differences}", shown(.path))]
    Teacher {
        /// The file.
        path: PathBuf,
        /// The differences in words.
        differences: String,
    },
    /// The file system failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The folder of a run's checkpoints.
pub struct Store<'a> {
    storage: &'a dyn Storage,
    folder: PathBuf,
    manifest: Option<Manifest>,
}

/// A checkpoint that was read and found intact.
pub struct Loaded {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its file name.
    pub file: String,
    /// One line for each damaged file that was passed over.
    pub warnings: Vec<String>,
}

/// The bytes of a file as they were saved.
pub struct Intact {
    /// The file.
    pub path: PathBuf,
    /// Its name.
    pub file: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// One line for each damaged file that was passed over.
    pub warnings: Vec<String>,
}

impl<'a> Store<'a> {
    /// Opens the checkpoints in `folder`; neither it nor a manifest need exist.
    ///
    /// # Errors
    /// [`StoreError::Manifest`] or [`StoreError::Storage`].
    pub fn open(storage: &'a dyn Storage, folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(MANIFEST);
        let manifest = match storage.read(&path, MANIFEST_LIMIT) {
            Ok(bytes) => {
                Some(Manifest::parse(&bytes).map_err(|message| StoreError::Manifest { path, message })?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(StorageError::at("read", &path)(error).into()),
        };
        Ok(Self { storage, folder: folder.to_owned(), manifest })
    }

    /// The manifest, once something was saved.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Path of the newest checkpoint.
    pub fn last_path(&self) -> Option<PathBuf> {
        self.manifest.as_ref().map(|manifest| self.folder.join(&manifest.last))
    }

    /// Saves a checkpoint as the last one, and as the best one if `best`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a non-finite state, [`StoreError::Storage`] where writing failed; what was saved
    /// before is intact then.
    pub fn save(&mut self, checkpoint: &Checkpoint, best: bool) -> Result<PathBuf, StoreError> {
        let file = file_name(&checkpoint.position);
        let path = self.folder.join(&file);
        let bytes =
            checkpoint.encode().map_err(|source| StoreError::Refused { path: path.clone(), source })?;
        self.storage.create_dir_all(&self.folder).map_err(StorageError::at("create", &self.folder))?;
        replace(self.storage, &path, &bytes)?;
        let entry = Entry {
            file: file.clone(),
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(&bytes)),
            step: checkpoint.position.step,
            epoch: checkpoint.position.epoch,
            config_hash: checkpoint.identity.config_hash.clone(),
        };
        let (mut entries, mut best_file) = self
            .manifest
            .as_ref()
            .map_or((Vec::new(), None), |old| (old.checkpoints.clone(), old.best.clone()));
        entries.retain(|old| old.file != file);
        entries.push(entry);
        if best {
            best_file = Some(file.clone());
        }
        self.commit(Manifest { format: FORMAT, last: file, best: best_file, checkpoints: entries })?;
        Ok(path)
    }

    /// Makes `file`, which stands at `position`, the last checkpoint, dropping those saved after it, which training will save
    /// again. Where the best one by then is gone, `position` forgets it, and the next evaluation is the best.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    pub fn rewind(&mut self, file: &str, position: &mut Position) -> Result<(), StoreError> {
        let Some(old) = &self.manifest else { return Ok(()) };
        let Some(index) = old.checkpoints.iter().position(|entry| entry.file == file) else { return Ok(()) };
        let checkpoints = old.checkpoints[..=index].to_vec();
        let listed = |name: &String| checkpoints.iter().any(|entry| entry.file == *name);
        let of_epoch = |best: Best| file_name(&Position { epoch: best.epoch, ..Position::default() });
        let own = position.best.map(of_epoch).filter(listed);
        if own.is_none() {
            position.best = None;
        }
        if old.last == file {
            return Ok(());
        }
        let best = old.best.clone().filter(listed).or(own);
        self.commit(Manifest { format: FORMAT, last: file.to_owned(), best, checkpoints })
    }

    /// Reads a checkpoint. A damaged last one is passed over for the newest intact one, with a warning.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with which file.
    pub fn load(&self, which: &Which, wanted: &Identity) -> Result<Loaded, StoreError> {
        self.load_checked(which, false, |found| found.differences(wanted))
    }

    /// As [`Store::load`], where only the run's settings are known and the checkpoint says what the images are. Values
    /// that are not finite pass where the settings admit them.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub fn load_for(&self, which: &Which, config: &Config) -> Result<Loaded, StoreError> {
        self.load_checked(which, config.allow_nonfinite, |found| {
            found.differences(&Identity::new(config, found.image, found.classes.clone()))
        })
    }

    fn load_checked(
        &self,
        which: &Which,
        allow_nonfinite: bool,
        differences: impl Fn(&Identity) -> Vec<String>,
    ) -> Result<Loaded, StoreError> {
        let Intact { path, file, bytes, warnings } = self.intact(which)?;
        let decoded =
            if allow_nonfinite { Checkpoint::decode_any(&bytes) } else { Checkpoint::decode(&bytes) };
        let checkpoint = decoded.map_err(|source| StoreError::Refused { path: path.clone(), source })?;
        let differences = differences(&checkpoint.identity).join("; ");
        if !differences.is_empty() {
            return Err(StoreError::Foreign { path, differences });
        }
        Ok(Loaded { checkpoint, file, warnings })
    }

    /// The bytes of a checkpoint that the manifest vouches for. A damaged last one is passed over for the newest intact
    /// one, with a warning.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with which file.
    pub fn intact(&self, which: &Which) -> Result<Intact, StoreError> {
        let manifest =
            self.manifest.as_ref().ok_or_else(|| StoreError::Empty { path: self.folder.clone() })?;
        let unlisted = |wanted: &str| StoreError::Unlisted {
            path: self.folder.join(MANIFEST),
            wanted: data::printable(wanted),
            listed: manifest
                .checkpoints
                .iter()
                .map(|entry| entry.file.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        };
        let named = |file: &str| {
            let found = manifest.checkpoints.iter().find(|entry| entry.file == file);
            found.map(|entry| vec![entry]).ok_or_else(|| unlisted(file))
        };
        let candidates: Vec<&Entry> = match which {
            Which::Last => manifest.checkpoints.iter().rev().collect(),
            Which::Best => named(manifest.best.as_deref().ok_or_else(|| unlisted("best"))?)?,
            Which::File(file) => named(file)?,
        };
        let mut warnings = Vec::new();
        for entry in candidates {
            match self.read(entry)? {
                Ok(bytes) => {
                    let file = entry.file.clone();
                    return Ok(Intact { path: self.folder.join(&file), file, bytes, warnings });
                }
                Err(problem) => warnings.push(format!("{} {problem}", entry.file)),
            }
        }
        let other = match which {
            Which::Last => "; nothing to go on from",
            _ => "; the last checkpoint may be: `--checkpoint last`, or `--resume RUN`",
        };
        Err(StoreError::NoneValid { path: self.folder.clone(), problems: warnings.join("; "), other })
    }

    /// The bytes of a file if they are what the manifest vouches for, else what is wrong with them.
    fn read(&self, entry: &Entry) -> Result<Result<Vec<u8>, String>, StoreError> {
        let path = self.folder.join(&entry.file);
        match self.storage.read(&path, entry.bytes) {
            Ok(bytes) if bytes.len() as u64 != entry.bytes => {
                Ok(Err(format!("has {} bytes instead of {}", bytes.len(), entry.bytes)))
            }
            Ok(bytes) if hex(&Sha256::digest(&bytes)) != entry.sha256 => {
                Ok(Err("is damaged (its SHA-256 is not the manifest's)".to_owned()))
            }
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Err("is missing".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                Ok(Err(format!("has more than {} bytes", entry.bytes)))
            }
            Err(error) => Err(StorageError::at("read", &path)(error).into()),
        }
    }

    /// Puts a manifest in place, keeping only what is worth it, then deletes the files it no longer names.
    fn commit(&mut self, mut manifest: Manifest) -> Result<(), StoreError> {
        let count = manifest.checkpoints.len();
        let best = manifest.best.clone();
        let mut index = 0;
        manifest.checkpoints.retain(|entry| {
            index += 1;
            index + KEPT > count || best.as_deref() == Some(&entry.file)
        });
        let mut text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain values");
        text.push('\n');
        replace(self.storage, &self.folder.join(MANIFEST), text.as_bytes())?;
        let dropped: Vec<Entry> = self.manifest.take().map_or(Vec::new(), |old| old.checkpoints);
        let stays = |file: &str| manifest.checkpoints.iter().any(|entry| entry.file == file);
        for entry in dropped.iter().filter(|entry| !stays(&entry.file)) {
            // A file that cannot be deleted costs room only.
            let _ = self.storage.remove(&self.folder.join(&entry.file));
        }
        self.manifest = Some(manifest);
        Ok(())
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
