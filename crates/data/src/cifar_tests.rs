use std::fs;
use std::path::Path;

use tar::EntryType;
use tempfile::TempDir;

use super::*;
use crate::gzip::compress;
use crate::{archive, cifar10, cifar100};

/// A record whose planes tell channel, row and column apart.
fn record(labels: &[u8], seed: usize) -> Vec<u8> {
    let pixel = |i: usize| (i * 7 + i / PLANE * 50 + seed) as u8;
    labels.iter().copied().chain((0..3 * PLANE).map(pixel)).collect()
}

/// Two records a file; labels 0..=9 over the training files, then 3 and 4.
fn cifar10_files() -> Vec<(&'static str, Vec<u8>)> {
    let file = |i: u8| [record(&[2 * i % 10], i.into()), record(&[2 * i % 10 + 1], 100)].concat();
    let mut files: Vec<_> = cifar10::LAYOUT.train.iter().copied().zip((0..5).map(file)).collect();
    files.push(("test_batch.bin", [record(&[3], 5), record(&[4], 6)].concat()));
    files
}

fn write(dir: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &cifar10_files());
    dir
}

fn tar_gz(prefix: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<String> = files.iter().map(|(name, _)| format!("{prefix}{name}")).collect();
    let entries: Vec<(_, &str, &[u8])> = names
        .iter()
        .zip(files)
        .map(|(name, (_, bytes))| (EntryType::Regular, name.as_str(), bytes.as_slice()))
        .collect();
    compress(&archive::build(&entries))
}

#[test]
fn golden_pixels_and_labels() {
    let dir = folder();
    let set = cifar10::open(dir.path()).unwrap();
    assert_eq!((set.height, set.width, set.channels), (32, 32, 3));
    assert_eq!(set.train.labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(set.test.labels, [3, 4]);
    assert_eq!(set.classes[9], "truck");
    // File 3, first record, row 5, column 9: plane offset 5 * 32 + 9 = 169, at [(5 * 32 + 9) * 3 + c] in NHWC.
    let value = |channel: usize| ((channel * 1024 + 169) * 7 + channel * 50 + 2) as u8;
    assert_eq!(&set.train.image(4)[169 * 3..][..3], &[value(0), value(1), value(2)]);
    assert_ne!(value(0), value(1));
    assert_eq!(set.train.pixels.len(), 10 * 3072);
}

#[test]
fn folder_around_and_archive_agree() {
    let dir = folder();
    let set = cifar10::open(dir.path()).unwrap();
    let around = tempfile::tempdir().unwrap();
    let inner = around.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    write(&inner, &cifar10_files());
    assert_eq!(cifar10::open(around.path()).unwrap(), set);
    // The order of the entries does not matter.
    let mut files = cifar10_files();
    files.reverse();
    let path = around.path().join("set.tar.gz");
    fs::write(&path, tar_gz("cifar-10-batches-bin/", &files)).unwrap();
    assert_eq!(cifar10::open(&path).unwrap(), set);
}

#[test]
fn class_names_come_from_the_file() {
    let dir = folder();
    let names = dir.path().join("batches.meta.txt");
    fs::write(&names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj k\n\n").unwrap();
    assert_eq!(cifar10::open(dir.path()).unwrap().classes[9], "j k");
    for bad in [&b"a\nb\n"[..], b"\xff\xfe"] {
        fs::write(&names, bad).unwrap();
        assert!(matches!(cifar10::open(dir.path()).unwrap_err(), DataError::BadNames { .. }));
    }
    fs::write(&names, vec![b'a'; 1 << 17]).unwrap();
    assert!(matches!(cifar10::open(dir.path()).unwrap_err(), DataError::TooLarge { .. }));
}

#[test]
fn sizes_must_be_whole_records() {
    let dir = folder();
    let path = dir.path().join("data_batch_2.bin");
    let good = fs::read(&path).unwrap();
    for bytes in [&good[..good.len() - 1], &[&good[..], &[0]].concat(), &[]] {
        fs::write(&path, bytes).unwrap();
        let text = cifar10::open(dir.path()).unwrap_err().to_string();
        let found = format!("data_batch_2.bin holds {} bytes, wanted 30730000", bytes.len());
        assert!(text.contains(&found), "{text}");
    }
    fs::write(&path, &good[..3073]).unwrap();
    let text = cifar10::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("has 1 records") && text.contains("data_batch_5.bin has 2 records"), "{text}");
    // One record more than the published file: refused by its length, without reading it.
    fs::File::create(&path).unwrap().set_len(10_001 * 3073).unwrap();
    let text = cifar10::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("data_batch_2.bin holds 30733073 bytes, wanted 30730000"), "{text}");
}

#[test]
fn labels_must_be_in_range() {
    let dir = folder();
    let path = dir.path().join("test_batch.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3073] = 10;
    fs::write(&path, &bytes).unwrap();
    let text = cifar10::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("test_batch.bin, record 1: label 10 is out of range, largest is 9"), "{text}");
}

#[test]
fn cifar100_uses_the_fine_label() {
    let dir = tempfile::tempdir().unwrap();
    let train = [record(&[19, 99], 0), record(&[0, 42], 1), record(&[3, 0], 2)].concat();
    write(dir.path(), &[("train.bin", train.clone()), ("test.bin", record(&[7, 5], 3))]);
    let set = cifar100::open(dir.path()).unwrap();
    assert_eq!((set.train.labels, set.test.labels), (vec![99, 42, 0], vec![5]));
    assert_eq!(
        (set.classes.len(), set.classes[99].as_str(), set.classes[42].as_str()),
        (100, "worm", "leopard")
    );
    assert!(set.classes.is_sorted());
    for (at, value, what) in [(0, 20, "coarse label 20"), (1, 100, "fine label 100")] {
        let mut bytes = train.clone();
        bytes[3074 + at] = value;
        fs::write(dir.path().join("train.bin"), bytes).unwrap();
        let text = cifar100::open(dir.path()).unwrap_err().to_string();
        assert!(text.contains("record 1") && text.contains(what), "{text}");
    }
    fs::write(dir.path().join("train.bin"), &train[..3 * 3073]).unwrap();
    assert!(matches!(cifar100::open(dir.path()).unwrap_err(), DataError::WrongSize { .. }));
}

#[test]
fn missing_files_are_named() {
    let dir = folder();
    let text = cifar10::open(&dir.path().join("none")).unwrap_err().to_string();
    assert!(text.contains("none does not exist") && text.contains("cs.toronto.edu"), "{text}");
    fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
    let text = cifar10::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("data_batch_4.bin does not exist"), "{text}");
    let mut files = cifar10_files();
    files.remove(1);
    let path = dir.path().join("set.tar.gz");
    fs::write(&path, tar_gz("", &files)).unwrap();
    let text = cifar10::open(&path).unwrap_err().to_string();
    assert!(text.contains("data_batch_2.bin does not exist"), "{text}");
}

#[test]
fn archives_are_checked_like_folders() {
    let dir = folder();
    let path = dir.path().join("set.tar.gz");
    let mut files = cifar10_files();
    files[5].1.pop();
    fs::write(&path, tar_gz("", &files)).unwrap();
    assert!(matches!(cifar10::open(&path).unwrap_err(), DataError::WrongSize { .. }));
    let good = tar_gz("", &cifar10_files());
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(cifar10::open(&path).unwrap_err(), DataError::TruncatedGzip { .. }));
    // Files that a path with `..` hides are not found, so the set is incomplete.
    fs::write(&path, tar_gz("../../", &cifar10_files())).unwrap();
    assert!(matches!(cifar10::open(&path).unwrap_err(), DataError::Missing { .. }));
}
