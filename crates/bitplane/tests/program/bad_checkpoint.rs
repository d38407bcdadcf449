//! Checkpoints that are damaged, foreign or poisoned.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{copy, copy_of_run, last_checkpoint, last_checkpoint_path, manifest, run, run_with};

fn flip_bit(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Makes the manifest vouch for the files as they are now.
pub fn vouch(run: &Path) {
    let mut manifest = manifest(run);
    for entry in manifest["checkpoints"].as_array_mut().unwrap() {
        let bytes = fs::read(run.join("checkpoints").join(entry["file"].as_str().unwrap())).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        entry["sha256"] = json!(digest);
        entry["bytes"] = json!(bytes.len());
    }
    fs::write(run.join("checkpoints/manifest.json"), manifest.to_string()).unwrap();
}

#[test]
fn one_flipped_bit_is_noticed_and_the_one_before_is_used() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let wanted = last_checkpoint(&path);
    flip_bit(&last_checkpoint_path(&path), wanted.len() / 2);
    let words = ["epoch-0003.safetensors", "SHA-256", "epoch-0002.safetensors"];
    run(folder.path(), "eval run --checkpoint last").expect(0, &words);
    run(folder.path(), "train --resume run").expect(0, &words);
    assert_eq!(last_checkpoint(&path), wanted, "the third epoch is trained again to the same bytes");
}

#[test]
fn without_an_intact_checkpoint_there_is_nothing_to_go_on_from() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let files = manifest(&path)["checkpoints"].as_array().unwrap().clone();
    for entry in files {
        flip_bit(&path.join("checkpoints").join(entry["file"].as_str().unwrap()), 100);
    }
    let words = ["no checkpoint", "intact", "SHA-256", "epoch-0003.safetensors"];
    run(folder.path(), "train --resume run").expect(3, &words);
    run(folder.path(), "eval run").expect(3, &["SHA-256"]);
    fs::remove_file(last_checkpoint_path(&path)).unwrap();
    run(folder.path(), "train --resume run").expect(3, &["is missing"]);
}

#[test]
fn a_checkpoint_of_another_model_is_refused_with_the_differences() {
    let folder = copy_of_run();
    let line =
        "train --model svhn-d --bits 2,3,6 --epochs 1 --limit-train-batches 1 --limit-test-batches 1 -b 2";
    run(folder.path(), &format!("{line} --output-dir other")).expect(0, &[]);
    fs::remove_dir_all(folder.path().join("run/checkpoints")).unwrap();
    copy(&folder.path().join("other/checkpoints"), &folder.path().join("run/checkpoints"));
    let words = ["does not belong", "model is svhn-d, not digits", "bits is [2, 3, 6], not [1, 2, 4]"];
    for verb in ["train --resume", "eval", "summary"] {
        run(folder.path(), &format!("{verb} run")).expect(3, &words);
    }
}

#[test]
fn a_checkpoint_with_a_nan_is_refused_with_the_tensor() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    for entry in manifest(&path)["checkpoints"].as_array().unwrap() {
        let file = path.join("checkpoints").join(entry["file"].as_str().unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(&file, bytes).unwrap();
    }
    vouch(&path);
    for line in ["eval run", "train --resume run"] {
        run(folder.path(), line).expect(3, &["epoch-000", "non-finite value in tensor"]);
    }
}

#[test]
fn another_format_or_a_foreign_file_is_refused() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let file = path.join("checkpoints/manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    newer["format"] = json!(99);
    fs::write(&file, newer.to_string()).unwrap();
    run(folder.path(), "eval run").expect(3, &["manifest.json", "format 99"]);
    fs::write(&file, "{").unwrap();
    run(folder.path(), "train --resume run").expect(3, &["manifest.json"]);
    fs::write(&file, text).unwrap();
    for entry in manifest(&path)["checkpoints"].as_array().unwrap() {
        fs::write(path.join("checkpoints").join(entry["file"].as_str().unwrap()), "pickle").unwrap();
    }
    vouch(&path);
    run(folder.path(), "eval run").expect(3, &["not a usable safetensors file"]);
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["eval none", "predict none x.png", "summary none", "train --resume none"] {
        run(folder.path(), line).expect(3, &["none", "not a run folder"]);
    }
}

#[test]
fn a_run_without_a_checkpoint_starts_anew() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let wanted = last_checkpoint(&path);
    fs::remove_dir_all(path.join("checkpoints")).unwrap();
    run(folder.path(), "eval run").expect(3, &["no checkpoint"]);
    run_with(folder.path(), "train --resume run", &[]).expect(0, &["starts anew"]);
    assert_eq!(last_checkpoint(&path), wanted);
}
