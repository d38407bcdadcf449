//! The folder of a sweep: `runs/NAME/` is the run folder of point NAME, `points/NAME.toml` its settings, `points/NAME.log` what its
//! training said, `points/NAME.json` how an attempt failed; the results lie beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::point::Point;
use crate::average_bits::AverageBits;
use crate::commands::resolve;
use crate::exit::Exit;
use crate::output::shown;
use crate::report::SCHEMA;
use crate::run;
use crate::settings::Settings;
use crate::storage::{Disk, Storage, StorageError, replace};
use crate::store::Store;

const ATTEMPT_LIMIT: u64 = 1 << 20;

/// A sweep's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A training of a point that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    schema: u32,
    /// The process's exit code; none where something killed it.
    pub exit_code: Option<i32>,
    /// What it said last.
    pub message: String,
    /// Whose training it was: other settings make another attempt.
    config_hash: String,
    epochs: u32,
}

/// What a finished training measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Highest test accuracy.
    pub best_accuracy: f64,
    /// Its epoch, the first one of equals.
    pub best_epoch: u32,
    /// Training loss of the last epoch.
    pub final_loss: f64,
    /// Mean over the epochs.
    pub images_per_second: f64,
    /// Seconds of all epochs with their evaluations.
    pub seconds: f64,
    /// Highest test accuracy at each width of a FlexNet.
    pub widths: BTreeMap<u32, f64>,
    /// Bits on average; none where a run has not written its learned lengths.
    pub bits: Option<AverageBits>,
}

/// How far a point is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Trained to its last epoch, by whomever.
    Finished(Measured),
    /// The last attempt ended early.
    Failed(Attempt),
    /// Not trained, or not to the end.
    Open,
}

/// The run folder of the point called `name` in the sweep at `place`.
pub fn run_folder(place: &Path, name: &str) -> PathBuf {
    place.join("runs").join(name)
}

impl State {
    /// Whether another attempt would only repeat this one: the training is done, or it diverged, which it would do again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Finished(_) => true,
            Self::Failed(attempt) => attempt.exit_code == Some(Exit::Diverged.code()),
            Self::Open => false,
        }
    }
}

impl Attempt {
    /// A training of `point` that ended with `exit_code`.
    pub fn new(point: &Point, exit_code: Option<i32>, message: String) -> Self {
        let (config_hash, epochs) = (point.config.hash(), point.config.epochs);
        Self { schema: SCHEMA, exit_code, message, config_hash, epochs }
    }
}

impl Folder {
    /// The sweep's folder at `path`, made where it does not exist.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        for part in ["points", "runs"] {
            let part = path.join(part);
            Disk.create_dir_all(&part).map_err(StorageError::at("create", &part))?;
        }
        Ok(Self::at(path))
    }

    /// The sweep's folder at `path`, whether it exists or not.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run folder of a point.
    pub fn run(&self, point: &Point) -> PathBuf {
        run_folder(&self.path, &point.name)
    }

    /// What the point's training says goes here.
    pub fn log(&self, point: &Point) -> PathBuf {
        self.file(point, "log")
    }

    fn file(&self, point: &Point, extension: &str) -> PathBuf {
        self.path.join("points").join(format!("{}.{extension}", point.name))
    }

    /// Writes the settings that train the point, and forgets an attempt that failed.
    ///
    /// # Errors
    /// The file system's.
    pub fn begin(&self, point: &Point) -> Result<PathBuf, StorageError> {
        let settings = self.file(point, "toml");
        replace(&Disk, &settings, point.config.to_toml().as_bytes())?;
        let attempt = self.file(point, "json");
        match Disk.remove(&attempt) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::at("remove", &attempt)(error))
            }
            _ => Ok(settings),
        }
    }

    /// Keeps how an attempt failed.
    ///
    /// # Errors
    /// The file system's.
    pub fn fail(&self, point: &Point, attempt: &Attempt) -> Result<(), StorageError> {
        let text = serde_json::to_string_pretty(attempt).expect("an attempt is plain values");
        replace(&Disk, &self.file(point, "json"), format!("{text}\n").as_bytes())
    }

    /// How far a point is, from what lies on the disk.
    pub fn state(&self, point: &Point) -> State {
        if let Some(measured) = self.measured(point) {
            return State::Finished(measured);
        }
        let attempt = Disk.read(&self.file(point, "json"), ATTEMPT_LIMIT).ok();
        let attempt = attempt.and_then(|bytes| serde_json::from_slice::<Attempt>(&bytes).ok());
        let this = Attempt::new(point, None, String::new());
        let same = |attempt: &Attempt| {
            (attempt.schema, &attempt.config_hash, attempt.epochs) == (SCHEMA, &this.config_hash, this.epochs)
        };
        attempt.filter(same).map_or(State::Open, State::Failed)
    }

    /// What the run in the point's folder measured, if it is the point's training and reached the last epoch.
    fn measured(&self, point: &Point) -> Option<Measured> {
        let (run, epochs) = (self.run(point), point.config.epochs);
        if !self.has_run(point) || self.conflict(point).is_some() {
            return None;
        }
        let store = Store::open(&Disk, &run::checkpoints(&run)).ok()?;
        store.manifest()?.checkpoints.iter().find(|entry| entry.epoch >= epochs)?;
        let records = run::read_metrics(&run).unwrap_or_default();
        let records = records.get(..epochs as usize)?;
        // What is learned is measured once it is whole.
        let frozen = point.config.trained_lengths().map_or(0, |learned| learned.bits_freeze_epoch);
        let counted = records.iter().filter(|record| record.epoch >= frozen || frozen > epochs);
        let best = counted.rev().max_by(|a, b| a.test_accuracy.total_cmp(&b.test_accuracy))?;
        let mut widths: BTreeMap<u32, f64> = BTreeMap::new();
        for width in records.iter().flat_map(|record| &record.widths) {
            let best = widths.entry(width.bits).or_insert(width.test_accuracy);
            *best = best.max(width.test_accuracy);
        }
        Some(Measured {
            widths,
            bits: AverageBits::of(&point.config, best.bits.as_ref()),
            best_accuracy: best.test_accuracy,
            best_epoch: best.epoch,
            final_loss: records.last()?.train_loss,
            images_per_second: records.iter().map(|record| record.images_per_second).sum::<f64>()
                / records.len() as f64,
            seconds: records.iter().map(|record| record.seconds).sum(),
        })
    }

    /// Why the run in the point's folder is not the point's training, where it is not. What cannot be read is left to the
    /// training to refuse.
    pub fn conflict(&self, point: &Point) -> Option<String> {
        let run = self.run(point);
        let stored = resolve(Settings::default(), run::read_settings(&run).ok()?).ok()?;
        let mut differences = point.config.differences(&stored);
        // A run keeps the sums of the weights it started with and of its teacher's; a plan names their place only, and that of
        // the sweep's own points moves with the sweep.
        let own = point.after.is_some();
        differences.retain(|difference| {
            let is_sum = difference.contains("-sha256: not set");
            let is_moved = own && difference.starts_with("init-from: ");
            !(is_sum || is_moved)
        });
        if point.config.limit_test_batches != stored.limit_test_batches {
            differences.push("limit-test-batches".to_owned());
        }
        (!differences.is_empty()).then(|| {
            format!(
                "the run in {} was started with other settings ({}); remove it, or choose another --output-dir",
                shown(&run),
                data::printable(&differences.join("; "))
            )
        })
    }

    /// Whether a run was begun in the point's folder.
    pub fn has_run(&self, point: &Point) -> bool {
        self.run(point).join(run::CONFIG).is_file()
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
pub(crate) mod tests;
