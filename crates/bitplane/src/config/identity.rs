//! What of the settings decides the numbers of a training.

use sha2::{Digest, Sha256};

use super::{Config, every};
use crate::{kernel_choice::KernelChoice, preprocess::Preprocess};

impl Config {
    /// SHA-256 over everything that decides what each training step computes, in hexadecimal.
    ///
    /// Where the data lies, the device and its kernels, what is printed, collected or saved and when are left out: they may change when a run goes
    /// on. So may the number of epochs, unless the learning rate of every epoch depends on it.
    pub fn hash(&self) -> String {
        let identity = Self {
            data: self.data_kind().to_owned(),
            epochs: if self.schedule().depends_on_epochs() { self.epochs } else { 0 },
            device: None,
            kernels: KernelChoice::Auto,
            limit_test_batches: None,
            print_freq: 0,
            checkpoint_interval: 0,
            histograms: Vec::new(),
            histogram_every: every(),
            tensorboard: None,
            // Runs from before there was a choice have none.
            preprocess: self.preprocess.filter(|chosen| *chosen != Preprocess::Plain),
            // The sum of its bytes says what a training started with, wherever the file lay.
            init_from: None,
            teacher: None,
            allow_nonfinite: false,
            ..self.clone()
        };
        let text = serde_json::to_string(&identity).expect("settings are plain values");
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// Differences to `other` in what [`Config::hash`] covers, and in the places of what a training starts with or learns from,
    /// as `key: this, not that`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields = |config: &Self| {
            let config = Self { data: config.data_kind().to_owned(), ..config.clone() };
            let table = toml::Table::try_from(&config).expect("settings are plain values");
            let mut free =
                vec!["device", "kernels", "limit-test-batches", "print-freq", "checkpoint-interval"];
            free.extend(["histograms", "histogram-every", "tensorboard", "allow-nonfinite"]);
            if !config.schedule().depends_on_epochs() {
                free.push("epochs");
            }
            table.into_iter().filter(|(key, _)| !free.contains(&key.as_str())).collect::<toml::Table>()
        };
        let (mine, theirs) = (fields(self), fields(other));
        let show = |value: Option<&toml::Value>| value.map_or("not set".to_owned(), ToString::to_string);
        let keys: std::collections::BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        keys.into_iter()
            .filter(|key| mine.get(*key) != theirs.get(*key))
            .map(|key| {
                let why = if key == "epochs" { ", and the cosine schedule spans all epochs" } else { "" };
                format!("{key}: {}, not {}{why}", show(mine.get(key)), show(theirs.get(key)))
            })
            .collect()
    }
}

/// Lower-case hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
