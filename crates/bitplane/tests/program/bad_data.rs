//! Data files that are refused with exit code 3, before anything is trained.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::support::{copy_of_run, last_checkpoint, run, run_with};

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
    for kind in ["cifar10", "cifar100", "idx", "mnist", "fashion-mnist", "svhn", "folder", "imagenet"] {
        let line = format!("train --data {kind}:no/such/place");
        let ended = run(folder.path(), &line).expect(3, &["no/such/place", "does not exist"]);
        let is_public = !["idx", "folder", "imagenet"].contains(&kind);
        assert_eq!(ended.stderr.contains("bitplane data fetch"), is_public, "{}", ended.stderr);
    }
    // A public set without a path is the one that was fetched.
    run(folder.path(), "train --data cifar10")
        .expect(3, &["data/cifar10/cifar-10-binary.tar.gz", "fetch cifar10"]);
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
    for (name, records) in [("train", 50_000), ("test", 10_000)] {
        let mut file = File::create(folder.path().join(format!("{name}.bin"))).unwrap();
        file.set_len((RECORD + 1) * records).unwrap();
        // Of the test file alone.
        if records == 10_000 {
            file.seek(SeekFrom::Start((RECORD + 1) * 9_999 + 1)).unwrap();
            file.write_all(&[100]).unwrap();
        }
    }
    let words = ["test.bin", "record 9999", "label 100", "largest is 99"];
    run(folder.path(), "train --data cifar100:.").expect(3, &words);
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
    let ended = run_predict("line\nbreak.png").expect(3, &["line\\nbreak.png", "does not exist"]);
    assert!(!ended.stderr.contains("line\nbreak"), "{}", ended.stderr);
}

#[test]
fn a_data_set_of_another_shape_is_refused_in_evaluation() {
    let folder = copy_of_run();
    cifar(folder.path());
    run(folder.path(), "eval run --data cifar10:.").expect(2, &["32, 32, 3", "8, 8, 1"]);
}

/// An image folder with classes a and b, three images each.
fn pictures(folder: &Path) {
    for (class, light) in [("train/a", 30), ("train/b", 200), ("val/a", 30), ("val/b", 200)] {
        let class = folder.join(class);
        fs::create_dir_all(&class).unwrap();
        for image in 0..3 {
            let pixel = image::Rgb([light, light + image, 9]);
            image::RgbImage::from_pixel(12, 8, pixel).save(class.join(format!("{image}.png"))).unwrap();
        }
    }
}

#[test]
fn image_folders_that_cannot_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let stats = |more: &str| run(folder.path(), &format!("data stats folder:set {more}"));
    let at = |name: &str| folder.path().join("set").join(name);
    fs::create_dir_all(at("train")).unwrap();
    fs::create_dir_all(at("val")).unwrap();
    stats("").expect(3, &["has 0 class folders"]);
    fs::create_dir_all(at("train/a")).unwrap();
    stats("").expect(3, &["has 1 class folders"]);
    fs::create_dir_all(at("train/b")).unwrap();
    stats("").expect(3, &["a has no images"]);
    pictures(&at(""));
    fs::write(at("train/a/notes.txt"), "text").unwrap();
    stats("").expect(0, &["warning", "left out 1 entries"]);
    fs::write(at("train/b/none.png"), "").unwrap();
    stats("").expect(3, &["none.png", "the file is empty"]);
    // A header that promises 65,535 x 65,535 pixels.
    let mut bomb = fs::read(at("train/a/0.png")).unwrap();
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut sum = flate2::Crc::new();
    sum.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    fs::write(at("val/b/bomb.png"), bomb).unwrap();
    let report =
        stats("--skip-bad --json").expect(0, &["left out 2 images that cannot be used", "none.png"]).json();
    assert_eq!((report["train"]["images"].as_u64(), report["test"]["images"].as_u64()), (Some(6), Some(6)));
    fs::remove_file(at("train/b/none.png")).unwrap();
    stats("").expect(3, &["bomb.png", "16384 pixels a side"]);
    let train = "train --model digits --data folder:set --epochs 1 --batch-size 4 --output-dir run";
    run(folder.path(), train).expect(3, &["bomb.png"]);
    run(folder.path(), &format!("{train} --skip-bad")).expect(0, &["left out 1 images"]);
    run(folder.path(), "eval run").expect(0, &["left out 1 images"]);
    let shape = run(folder.path(), "data stats imagenet:set --skip-bad --json").expect(0, &[]).json();
    assert_eq!(shape["image"], serde_json::json!([256, 256, 3]));
}

#[test]
fn pictures_that_stay_in_files_train_alike_and_are_named_where_they_are_bad() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("set"));
    let train =
        "train --model digits --data folder:set --epochs 2 --batch-size 2 --augment flip-crop --output-dir";
    let in_files = |line: &str| run_with(folder.path(), line, &[("BITPLANE_PICTURES", "files")]);
    run(folder.path(), &format!("{train} memory")).expect(0, &[]);
    in_files(&format!("{train} files")).expect(0, &["off the device"]);
    let [memory, files] = ["memory", "files"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert!(memory == files);
    let correct = |ended: super::support::Ended| ended.expect(0, &[]).json()["loss"].clone();
    assert_eq!(correct(in_files("eval files --json")), correct(run(folder.path(), "eval memory --json")));
    let counted = in_files("data stats folder:set --json").expect(0, &[]).json();
    assert_eq!(counted, run(folder.path(), "data stats folder:set --json").expect(0, &[]).json());

    fs::write(folder.path().join("set/train/b/1.png"), "no image").unwrap();
    in_files(&format!("{train} bad")).expect(3, &["train/b/1.png", "cannot be used as an image"]);
    in_files(&format!("{train} good --skip-bad")).expect(0, &["left out 1 images", "1.png"]);
    fs::write(folder.path().join("set/val/a/2.png"), "no image").unwrap();
    in_files("eval files").expect(3, &["val/a/2.png"]);
}

#[test]
fn gray_pictures_have_no_colors_to_change() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "train --augment alexnet").expect(2, &["--augment changes colors", "1 channel"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
