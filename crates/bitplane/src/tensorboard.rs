//! TensorBoard's event files: scalars and histograms of a run, appended epoch by epoch.
//!
//! A file is a chain of records ([`mod@records`]), each one an event ([`mod@event`]); the first names the
//! format. A record that was cut by a crash is removed before the next is appended, since readers stop at the
//! first that is not whole.

pub mod event;
pub mod records;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::report::EpochRecord;
use crate::statistics::{HistogramRecord, Of, Statistics};
use crate::storage::{Storage, StorageError, replace};
use event::{Event, Summary};

/// Name of the file; TensorBoard looks for `tfevents` in it.
pub const FILE: &str = "events.out.tfevents.bitplane";
const LIMIT: u64 = 1 << 31;

/// The event file of a run.
#[derive(Clone, Debug)]
pub struct EventFile {
    path: PathBuf,
}

impl EventFile {
    /// Begins the file in `folder` anew.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create(storage: &dyn Storage, folder: &Path) -> Result<Self, StorageError> {
        let file = Self::at(storage, folder)?;
        replace(storage, &file.path, &records::frame(&Event::version(now()).encode()))?;
        Ok(file)
    }

    /// Goes on with the file in `folder` behind step `step`: later events and everything behind the first
    /// record that is not whole are removed. A file that is missing or has another beginning is begun anew.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn resume(storage: &dyn Storage, folder: &Path, step: u32) -> Result<Self, StorageError> {
        let file = Self::at(storage, folder)?;
        let bytes = match storage.read(&file.path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StorageError::at("read", &file.path)(error)),
        };
        let mut kept = Vec::new();
        for (index, record) in records::whole(&bytes).enumerate() {
            if index == 0 && !event::is_version(record) {
                break;
            }
            if event::step(record).is_some_and(|found| found <= i64::from(step)) {
                kept.extend(records::frame(record));
            }
        }
        if kept.is_empty() {
            return Self::create(storage, folder);
        }
        if kept != bytes {
            replace(storage, &file.path, &kept)?;
        }
        Ok(file)
    }

    fn at(storage: &dyn Storage, folder: &Path) -> Result<Self, StorageError> {
        storage.create_dir_all(folder).map_err(StorageError::at("create", folder))?;
        Ok(Self { path: folder.join(FILE) })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an epoch's scalars, and its histograms where they were collected.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn append(
        &self,
        storage: &dyn Storage,
        record: &EpochRecord,
        statistics: Option<&Statistics>,
    ) -> Result<(), StorageError> {
        let wall_time = now();
        let mut summaries = scalars(record);
        summaries.extend(statistics.iter().flat_map(|statistics| collected(statistics)));
        let frame = |summary: Summary| {
            let event =
                Event { wall_time, step: i64::from(record.step), summary: Some(summary), version: None };
            records::frame(&event.encode())
        };
        let bytes: Vec<u8> = summaries.into_iter().flat_map(frame).collect();
        storage.append_synced(&self.path, &bytes).map_err(StorageError::at("write", &self.path))
    }
}

fn scalars(record: &EpochRecord) -> Vec<Summary> {
    let EpochRecord { train_loss, test_loss, train_accuracy, test_accuracy, .. } = *record;
    let named = [
        ("loss/train", train_loss),
        ("loss/test", test_loss),
        ("accuracy/train", train_accuracy),
        ("accuracy/test", test_accuracy),
        ("accuracy/test_top5", record.test_top5_accuracy),
        ("learning_rate", record.learning_rate),
        ("images_per_second", record.images_per_second),
        ("epoch", f64::from(record.epoch)),
    ];
    let mut summaries: Vec<Summary> =
        named.into_iter().map(|(tag, value)| Summary::scalar(tag, value)).collect();
    if let Some(bits) = &record.bits {
        let averages = [
            ("bits/average", bits.average),
            ("bits/average_by_memory", bits.memory_average),
            ("bits/average_by_ops", bits.ops_average),
        ];
        summaries.extend(averages.map(|(tag, value)| Summary::scalar(tag, value)));
        let lengths = bits.lengths.iter();
        summaries.extend(lengths.map(|(name, value)| Summary::scalar(&format!("bits/{name}"), *value)));
    }
    summaries
}

fn collected(statistics: &Statistics) -> Vec<Summary> {
    let mut summaries = Vec::new();
    for HistogramRecord { layer, of, values, codes, .. } in &statistics.histograms {
        let of = match of {
            Of::Weights => "weights",
            Of::Activations => "activations",
            Of::Gradients => "gradients",
        };
        if let Some(values) = values {
            summaries.push(Summary::values(&format!("{layer}/{of}"), values));
        }
        if let Some(codes) = codes {
            summaries.push(Summary::codes(&format!("{layer}/{of}_codes"), codes));
        }
    }
    for figures in &statistics.diagnostics {
        let named = [
            ("saturated_low", figures.saturated_low),
            ("saturated_high", figures.saturated_high),
            ("sign_flips", figures.sign_flips),
            ("gradient_scale", figures.gradient_scale),
        ];
        let known = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        summaries
            .extend(known.map(|(name, value)| Summary::scalar(&format!("{}/{name}", figures.layer), value)));
    }
    summaries
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::storage::Disk;

    fn record(epoch: u32) -> EpochRecord {
        EpochRecord { epoch, step: 10 * epoch, ..EpochRecord::default() }
    }

    fn steps(path: &Path) -> Vec<i64> {
        let bytes = fs::read(path).unwrap();
        assert_eq!(
            records::whole(&bytes).map(|record| record.len() + 16).sum::<usize>(),
            bytes.len(),
            "whole records only"
        );
        let mut steps: Vec<i64> = records::whole(&bytes).filter_map(event::step).collect();
        steps.dedup();
        steps
    }

    #[test]
    fn going_on_keeps_whole_records_up_to_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let file = EventFile::create(&Disk, folder.path()).unwrap();
        for epoch in 1..=3 {
            file.append(&Disk, &record(epoch), None).unwrap();
        }
        let whole = fs::read(file.path()).unwrap();
        assert_eq!(steps(file.path()), [0, 10, 20, 30]);
        EventFile::resume(&Disk, folder.path(), 30).unwrap();
        assert!(fs::read(file.path()).unwrap() == whole, "nothing to remove");
        for cut in [whole.len() - 1, whole.len() - 5, whole.len() * 2 / 3, 60, 30, 7, 0] {
            fs::write(file.path(), &whole[..cut]).unwrap();
            let file = EventFile::resume(&Disk, folder.path(), 20).unwrap();
            let kept = steps(file.path());
            assert!([0, 10, 20].starts_with(&kept) && !kept.is_empty(), "cut at {cut}: {kept:?}");
            file.append(&Disk, &record(4), None).unwrap();
            assert_eq!(steps(file.path()), [&kept[..], &[40]].concat());
        }
        fs::write(file.path(), b"something else that is no event file").unwrap();
        EventFile::resume(&Disk, folder.path(), 20).unwrap();
        assert_eq!(steps(file.path()), [0]);
    }
}
