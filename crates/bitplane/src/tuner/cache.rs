//! Where choices lie: one file an adapter in the user's cache folder.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{AdapterKey, Choices};
use crate::output::{note, shown};
use crate::storage::{Disk, Storage, StorageError, replace};

/// Names the folder in place of the system's cache folder.
const VARIABLE: &str = "BITPLANE_CACHE_DIR";
/// Largest file of choices in bytes.
const LIMIT: u64 = 16 << 20;

/// A folder of measured choices. It can be removed at any time: what it holds decides about time alone.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's: `BITPLANE_CACHE_DIR`, or `bitplane` in the system's cache folder.
    pub fn of_user() -> Self {
        let named = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { folder: named.or_else(|| Some(dirs::cache_dir()?.join("bitplane"))) }
    }

    /// A folder of one's own.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// The file of an adapter, where the system has a cache folder.
    pub fn file(&self, adapter: &AdapterKey) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("kernels-{}.json", adapter.digest())))
    }

    /// The choices for `adapter`; none, with a warning, where the file is of no use.
    pub fn load(&self, adapter: &AdapterKey) -> Choices {
        let choices = self.file(adapter).and_then(|path| adapter_choices(&path, adapter));
        choices.unwrap_or_else(|| Choices::new(adapter.clone()))
    }

    /// Keeps `choices` for later sessions on `adapter`.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn save(&self, adapter: &AdapterKey, choices: &Choices) -> Result<(), StorageError> {
        let Some(path) = self.file(adapter) else { return Ok(()) };
        let folder = path.parent().expect("the file lies in the folder");
        Disk.create_dir_all(folder).map_err(StorageError::at("create", folder))?;
        replace(&Disk, &path, choices.to_json().as_bytes())
    }
}

/// The choices in the file at `path` if it is there and they are for `adapter`; a warning says why it is not used.
pub fn adapter_choices(path: &Path, adapter: &AdapterKey) -> Option<Choices> {
    let unusable = |why: &str| {
        let why = data::printable(why);
        note(&format!("warning: the kernel choices in {} are not used: {why}", shown(path)));
    };
    let bytes = match Disk.read(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                unusable(&error.to_string());
            }
            return None;
        }
    };
    Choices::parse(&bytes, adapter).map_err(|why| unusable(&why)).ok()
}
