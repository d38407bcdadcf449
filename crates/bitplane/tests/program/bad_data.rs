//! Data files that are refused with exit code 3, before anything is trained.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::support::{copy_of_run, run};

const RECORD: u64 = 3073;

/// The six files of CIFAR-10 in full size, all zeros.
fn cifar(folder: &Path) {
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    for name in names {
        File::create(folder.join(format!("{name}.bin"))).unwrap().set_len(RECORD * 10_000).unwrap();
    }
}

#[test]
fn missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["cifar10", "cifar100", "idx", "mnist", "fashion-mnist", "folder"] {
        let line = format!("train --data {kind}:no/such/place");
        run(folder.path(), &line).expect(3, &["no/such/place", "does not exist"]);
    }
    fs::create_dir(folder.path().join("set")).unwrap();
    run(folder.path(), "train --data cifar10:set").expect(3, &["data_batch_1.bin"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_file_one_byte_short_or_long_is_refused_with_both_sizes() {
    let folder = tempfile::tempdir().unwrap();
    cifar(folder.path());
    let broken = File::options().write(true).open(folder.path().join("data_batch_3.bin")).unwrap();
    for size in [RECORD * 10_000 - 1, RECORD * 10_000 + 1] {
        broken.set_len(size).unwrap();
        run(folder.path(), "train --data cifar10:.").expect(3, &["data_batch_3.bin", &size.to_string()]);
    }
}

#[test]
fn a_label_out_of_range_is_refused_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    cifar(folder.path());
    let mut broken = File::options().write(true).open(folder.path().join("data_batch_2.bin")).unwrap();
    broken.seek(SeekFrom::Start(RECORD * 17)).unwrap();
    broken.write_all(&[10]).unwrap();
    let words = ["data_batch_2.bin", "record 17", "label 10", "largest is 9"];
    run(folder.path(), "train --data cifar10:.").expect(3, &words);
}

/// The header of an IDX file: magic and sizes.
fn idx(path: &Path, magic: u32, sizes: &[u32], bytes: usize) {
    let mut content: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
    content.resize(content.len() + bytes, 0);
    fs::write(path, content).unwrap();
}

#[test]
fn a_header_that_promises_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for split in ["train", "t10k"] {
        idx(&at(&format!("{split}-images-idx3-ubyte")), 0x803, &[u32::MAX, 28, 28], 100);
        idx(&at(&format!("{split}-labels-idx1-ubyte")), 0x801, &[u32::MAX], 100);
    }
    run(folder.path(), "train --data idx:.").expect(3, &["-ubyte", "by its header", "refused"]);
}

#[test]
fn an_image_that_is_none_is_refused_with_its_name_escaped() {
    let folder = copy_of_run();
    let run_predict = |name: &str| {
        let output = super::support::command(folder.path(), "predict run", [name]).output().unwrap();
        super::support::Ended::from(output)
    };
    run_predict("none.png").expect(3, &["none.png", "does not exist"]);
    run_predict(".").expect(3, &["not a file"]);
    let name = "a\u{1b}[31m.png";
    fs::write(folder.path().join(name), "no image").unwrap();
    let ended = run_predict(name).expect(3, &["\\u{1b}[31m.png", "PNG and JPEG"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

#[test]
fn a_data_set_of_another_shape_is_refused_in_evaluation() {
    let folder = copy_of_run();
    cifar(folder.path());
    run(folder.path(), "eval run --data cifar10:.").expect(2, &["32, 32, 3", "8, 8, 1"]);
}
