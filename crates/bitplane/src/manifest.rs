//! The manifest: which checkpoints a run has, and what each of them must be.

use serde::{Deserialize, Serialize};

use crate::checkpoint::FORMAT;
use crate::position::Position;

/// The manifest's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of manifest and checkpoints.
    pub format: u32,
    /// File of the newest checkpoint.
    pub last: String,
    /// File of the checkpoint with the best evaluation, once there was one.
    pub best: Option<String>,
    /// All checkpoints, oldest first.
    pub checkpoints: Vec<Entry>,
}

/// One checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// File name in the folder of the manifest.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Steps done.
    pub step: u32,
    /// Complete epochs.
    pub epoch: u32,
    /// [`crate::config::Config::hash`] of the run.
    pub config_hash: String,
}

impl Manifest {
    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if value["format"].as_u64() != Some(u64::from(FORMAT)) {
            return Err(format!("format {}, this program reads {FORMAT}", value["format"]));
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        // A name with a separator would lead out of the folder.
        if let Some(entry) = manifest.checkpoints.iter().find(|entry| !is_file_name(&entry.file)) {
            return Err(format!("`{}` is not the name of a checkpoint", data::printable(&entry.file)));
        }
        if manifest.checkpoints.is_empty() {
            return Err("it lists no checkpoint".to_owned());
        }
        Ok(manifest)
    }
}

/// `epoch-0003.safetensors` after an epoch, `step-00000123.safetensors` within one.
pub fn file_name(position: &Position) -> String {
    if position.step_in_epoch == 0 {
        format!("epoch-{:04}.safetensors", position.epoch)
    } else {
        format!("step-{:08}.safetensors", position.step)
    }
}

/// True for the names that [`file_name`] gives.
pub fn is_file_name(name: &str) -> bool {
    let Some(name) = name.strip_suffix(".safetensors") else { return false };
    [("epoch-", 4), ("step-", 8)].iter().any(|&(prefix, digits)| {
        name.strip_prefix(prefix)
            .is_some_and(|number| number.len() >= digits && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_written() {
        for (epoch, step_in_epoch, step) in [(0, 3, 3), (12_345, 0, 7), (2, 1, u32::MAX), (1, 0, 1)] {
            let position = Position { epoch, step_in_epoch, step, ..Position::default() };
            assert!(is_file_name(&file_name(&position)), "{}", file_name(&position));
        }
        for other in [
            "model.safetensors",
            "epoch-1.safetensors",
            "epoch-00x1.safetensors",
            "epoch-0001",
            "../epoch-0001.safetensors",
        ] {
            assert!(!is_file_name(other), "{other}");
        }
    }
}
