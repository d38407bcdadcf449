//! Event files as TensorBoard's own reader sees them.

use std::{fs, path::Path};

use bitplane::{
    report::EpochRecord,
    statistics::{CodeCounts, DiagnosticRecord, Histogram, HistogramRecord, Of, Statistics},
    storage::Disk,
    tensorboard::EventFile,
};
use tests::python;

/// What [`python`] reads in `folder`.
fn read(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&python("read_events.py", &[folder])).expect("JSON")
}

fn record(epoch: u32) -> EpochRecord {
    EpochRecord {
        epoch,
        step: 30 * epoch,
        learning_rate: 0.5,
        train_loss: 1.0 / f64::from(epoch),
        test_accuracy: 0.25 * f64::from(epoch),
        ..EpochRecord::default()
    }
}

fn statistics(epoch: u32) -> Statistics {
    let values = Histogram::of(&[-1.0, -0.5, -0.5, 0.25, 1.0]);
    let codes = CodeCounts { bits: 2, signed: false, scale: 1.0, counts: vec![5, 0, 2, u64::from(epoch)] };
    let (layer, step) = ("conv1".to_owned(), 30 * epoch);
    let record = |of, values, codes| HistogramRecord { epoch, step, layer: layer.clone(), of, values, codes };
    let histograms =
        vec![record(Of::Weights, Some(values), None), record(Of::Activations, None, Some(codes))];
    let figures = DiagnosticRecord { epoch, step, layer, sign_flips: Some(0.125), ..Default::default() };
    Statistics { histograms, diagnostics: vec![figures] }
}

/// Counts of the buckets that are not empty, with the middle of each.
fn filled(histogram: &serde_json::Value) -> Vec<(f64, f64)> {
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let rows = histogram.as_array().expect("buckets").iter();
    let middles = rows.map(|row| ((number(&row[0]) + number(&row[1])) / 2.0, number(&row[2])));
    middles.filter(|(_, count)| *count > 0.0).collect()
}

#[test]
fn tensorboard_reads_what_was_written_also_behind_a_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = EventFile::create(&Disk, folder.path()).expect("a file");
    for epoch in 1..=3 {
        file.append(&Disk, &record(epoch), Some(&statistics(epoch))).expect("written");
    }
    let found = read(folder.path());
    let scalar = |found: &serde_json::Value, tag: &str| found["scalars"][tag].clone();
    assert_eq!(scalar(&found, "accuracy/test"), serde_json::json!([[30, 0.25], [60, 0.5], [90, 0.75]]));
    assert_eq!(scalar(&found, "loss/train")[1], serde_json::json!([60, 0.5]));
    assert_eq!(scalar(&found, "learning_rate")[2], serde_json::json!([90, 0.5]));
    assert_eq!(scalar(&found, "conv1/sign_flips")[0], serde_json::json!([30, 0.125]));
    let weights = &found["histograms"]["conv1/weights"];
    assert_eq!(weights.as_array().map(Vec::len), Some(3));
    let buckets = filled(&weights[0][1]);
    for ((middle, count), (wanted, times)) in
        buckets.iter().zip([(-1.0, 1.0), (-0.5, 2.0), (0.25, 1.0), (1.0, 1.0)])
    {
        assert!((middle - wanted).abs() < 0.011 && *count == times, "{buckets:?}");
    }
    let codes = filled(&found["histograms"]["conv1/activations_codes"][2][1]);
    assert_eq!(codes.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [5.0, 2.0, 3.0]);
    assert!((codes[0].0).abs() < 1e-9 && (codes[2].0 - 1.0).abs() < 1e-9, "{codes:?}");

    // Cut in the middle of a record, the file still shows all records before it.
    let whole = fs::read(file.path()).expect("a file");
    let events = found["events"].as_u64().expect("a count");
    let per_epoch = (events - 1) / 3;
    fs::write(file.path(), &whole[..whole.len() - 40]).expect("written");
    assert_eq!(read(folder.path())["events"].as_u64(), Some(events - 1));
    // Without a repair, what is appended behind the cut would be lost; going on repairs the file first.
    let file = EventFile::resume(&Disk, folder.path(), 60).expect("a file");
    file.append(&Disk, &record(3), Some(&statistics(3))).expect("written");
    file.append(&Disk, &record(4), None).expect("written");
    let found = read(folder.path());
    let tail = serde_json::json!([[30, 0.25], [60, 0.5], [90, 0.75], [120, 1.0]]);
    assert_eq!(scalar(&found, "accuracy/test"), tail);
    assert!(found["events"].as_u64() > Some(1 + 3 * per_epoch));
}
