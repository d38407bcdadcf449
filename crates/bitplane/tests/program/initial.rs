//! Trainings that start with the weights of another one.

use std::fs;
use std::path::Path;

use bitplane::checkpoint::Checkpoint;
use graph::NamedTensor;

use super::support::{copy, copy_of_run, last_checkpoint, last_checkpoint_path, manifest, run};

const ONE_STEP: &str = "train --epochs 1 --limit-train-batches 1 --limit-test-batches 1 --batch-size 25 \
                        --lr-scheduler constant --calibration-batches 0";

fn tensors(bytes: &[u8]) -> Vec<NamedTensor> {
    Checkpoint::decode_any(bytes).expect("a checkpoint").tensors
}

fn values<'a>(tensors: &'a [NamedTensor], name: &str) -> &'a [f32] {
    &tensors.iter().find(|tensor| tensor.name == name).expect(name).values
}

fn best_checkpoint(run: &Path) -> std::path::PathBuf {
    run.join("checkpoints").join(manifest(run)["best"].as_str().expect("a best checkpoint"))
}

/// Writes the best checkpoint of `run` to `file` after a change.
fn changed(run: &Path, file: &Path, change: impl FnOnce(&mut Checkpoint)) {
    let mut checkpoint = Checkpoint::decode(&fs::read(best_checkpoint(run)).unwrap()).unwrap();
    change(&mut checkpoint);
    fs::write(file, checkpoint.encode().unwrap()).unwrap();
}

#[test]
fn weights_and_statistics_are_taken_over_and_the_optimizer_starts_anew() {
    let folder = copy_of_run();
    let source = fs::read(best_checkpoint(&folder.path().join("run"))).unwrap();
    // Steps too small to move a weight show what the training started with.
    let line = format!("{ONE_STEP} --bits 2,3,6 --lr 1e-30 --init-from run --output-dir new");
    run(folder.path(), &line).expect(0, &["starting with the weights", "1,2,4 bits", "starts anew"]);
    let (old, new) = (tensors(&source), tensors(&last_checkpoint(&folder.path().join("new"))));
    let trained = old.iter().filter(|tensor| tensor.name.ends_with(".first_moment"));
    for name in trained.map(|tensor| tensor.name.trim_end_matches(".first_moment")) {
        assert_eq!(values(&old, name), values(&new, name), "{name}");
        // One step from zero makes the second moment a thousandth of the squared gradient, the first a tenth of it.
        let [first, second] =
            ["first", "second"].map(|moment| values(&new, &format!("{name}.{moment}_moment")));
        for (first, second) in first.iter().zip(second) {
            let gradient = f64::from(*first) / 0.1;
            let want = 0.001 * gradient * gradient;
            assert!((f64::from(*second) - want).abs() <= 1e-4 * want + 1e-37, "{name}: {first} {second}");
        }
    }
    // A running mean keeps nine tenths of what it was.
    let (old, new) = (values(&old, "bn0.running_variance"), values(&new, "bn0.running_variance"));
    assert!(old.iter().zip(new).all(|(old, new)| *new > 0.89 * old && old.to_bits() != 1f32.to_bits()));
    let settings = fs::read_to_string(folder.path().join("new/config.toml")).unwrap();
    assert!(settings.contains("init-from = ") && settings.contains("init-sha256 = "), "{settings}");
    // The same file by its own name gives the same training.
    let file = best_checkpoint(&folder.path().join("run"));
    let line =
        format!("{ONE_STEP} --bits 2,3,6 --lr 1e-30 --output-dir again --init-from {}", file.display());
    run(folder.path(), &line).expect(0, &[]);
    let [first, second] = ["new", "again"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(first, second);
}

#[test]
fn a_run_goes_on_without_its_source_and_starts_anew_only_with_it() {
    let folder = copy_of_run();
    let line = "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant";
    run(folder.path(), &format!("{line} --epochs 2 --init-from run --output-dir whole")).expect(0, &[]);
    let whole = folder.path().join("whole");
    let wanted = last_checkpoint(&whole);
    run(folder.path(), &format!("{line} --epochs 1 --init-from run --output-dir part")).expect(0, &[]);
    copy(&whole, &folder.path().join("lost"));
    fs::remove_dir_all(folder.path().join("lost/checkpoints")).unwrap();
    run(folder.path(), "train --resume lost").expect(0, &["starts anew", "starting with the weights"]);
    assert_eq!(last_checkpoint(&folder.path().join("lost")), wanted);

    fs::remove_dir_all(folder.path().join("lost/checkpoints")).unwrap();
    // Another file under the same name is not what the run was started with.
    run(folder.path(), &format!("{ONE_STEP} --seed 5 --output-dir run --overwrite")).expect(0, &[]);
    run(folder.path(), "train --resume lost").expect(3, &["cannot initialize", "SHA-256"]);
    fs::remove_dir_all(folder.path().join("run")).unwrap();
    run(folder.path(), "train --resume lost").expect(3, &["not a run folder"]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    assert_eq!(last_checkpoint(&folder.path().join("part")), wanted);
    run(folder.path(), "train --resume part --init-from whole").expect(2, &["init-from"]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_differences() {
    let folder = copy_of_run();
    let line = format!("{ONE_STEP} --output-dir new");
    let words = [
        "cannot initialize",
        "model is digits, not svhn-d",
        "`conv1.weight` has shape",
        "is missing",
        "more tensors",
    ];
    run(folder.path(), &format!("{line} --model svhn-d --init-from run")).expect(3, &words);
    let file = folder.path().join("changed.safetensors");
    changed(&folder.path().join("run"), &file, |checkpoint| {
        checkpoint.identity.classes.push("eleven".to_owned());
        checkpoint.tensors.retain(|tensor| tensor.name != "bn1.gamma");
    });
    let words = ["number of classes is 11, not 10", "`bn1.gamma` is missing", "changed.safetensors"];
    run(folder.path(), &format!("{line} --init-from changed.safetensors")).expect(3, &words);
    fs::write(&file, "pickle").unwrap();
    run(folder.path(), &format!("{line} --init-from changed.safetensors")).expect(3, &["safetensors"]);
    run(folder.path(), &format!("{line} --init-from none")).expect(3, &["none", "not a run folder"]);
    assert!(!folder.path().join("new").exists(), "a refused training leaves no folder");
}

#[test]
fn values_that_are_not_finite_are_refused_unless_admitted() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let plant = |name: &str, file: &str| {
        let bytes = fs::read(best_checkpoint(&path)).unwrap();
        let mut checkpoint = Checkpoint::decode(&bytes).unwrap();
        let tensor = checkpoint.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let marker = 1.25e-33f32;
        tensor.values[0] = marker;
        let mut bytes = checkpoint.encode().unwrap();
        let at = bytes.windows(4).position(|window| window == marker.to_le_bytes()).unwrap();
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(folder.path().join(file), bytes).unwrap();
    };
    plant("conv1.weight", "weight.safetensors");
    plant("conv1.weight.first_moment", "moment.safetensors");
    let line = |file: &str| format!("{ONE_STEP} --output-dir new --init-from {file}");
    run(folder.path(), &line("weight.safetensors")).expect(3, &["non-finite value in tensor `conv1.weight`"]);
    let admitted = format!("{} --allow-nonfinite", line("weight.safetensors"));
    run(folder.path(), &admitted).expect(6, &["diverged", "conv1"]);
    fs::remove_dir_all(folder.path().join("new")).unwrap();
    // The state of the optimizer is not taken over.
    run(folder.path(), &line("moment.safetensors")).expect(0, &[]);

    // A checkpoint of the run itself.
    for entry in manifest(&path)["checkpoints"].as_array().unwrap() {
        let to = path.join("checkpoints").join(entry["file"].as_str().unwrap());
        fs::copy(folder.path().join("weight.safetensors"), to).unwrap();
    }
    super::bad_checkpoint::vouch(&path);
    let words = ["non-finite value in tensor `conv1.weight`"];
    run(folder.path(), "eval run --limit-test-batches 1").expect(3, &words);
    let ended = run(folder.path(), "eval run --limit-test-batches 1 --allow-nonfinite");
    assert_ne!(ended.code, Some(3), "{}", ended.stderr);
    assert!(last_checkpoint_path(&path).exists());
}
