//! Why settings were refused.

use crate::storage::StorageError;

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is outside its range.
    #[error("{}{key} = {value} is out of range; allowed is {allowed}", place(.file, .line))]
    Range {
        /// Key, equal to the flag's name.
        key: &'static str,
        /// The value given.
        value: String,
        /// The range in words.
        allowed: String,
        /// The file, or empty for a flag.
        file: String,
        /// Line of the file, from 1.
        line: usize,
    },
    /// The file is not the TOML that is wanted.
    #[error("{file}: {message}")]
    Parse {
        /// The file.
        file: String,
        /// The parser's words, with line and column.
        message: String,
    },
    /// The file is not there.
    #[error("settings file {file} does not exist")]
    Missing {
        /// The file.
        file: String,
    },
    /// A folder stands where the file should be.
    #[error("{file} is a folder; name a TOML file of settings")]
    Folder {
        /// The folder.
        file: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn place(file: &str, line: &usize) -> String {
    if file.is_empty() { "--".to_owned() } else { format!("{file}, line {line}: ") }
}
