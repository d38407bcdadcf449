//! Runs cut to fewer bits than they were trained with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bitplane::checkpoint::Checkpoint;

use super::support::{Ended, SHORT, copy_of_run, last_checkpoint, manifest, run};

const RETRAIN: &str = "train --json --limit-train-batches 6 --batch-size 25";
const EVAL: &str = "eval run --json --limit-test-batches 4";

#[test]
fn a_plain_run_is_cut_and_its_statistics_are_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{SHORT} --bits 3,3,4 --output-dir run")).expect(0, &[]);
    let [whole, same, cut, again] =
        ["", "--bits 3", "--bits 1", "--bits 1 --reestimate digits"].map(|more| {
            let ended = run(folder.path(), &format!("{EVAL} {more}")).expect(0, &[]);
            assert_eq!(ended.stderr.contains("not trained for it"), more.contains('1'), "{}", ended.stderr);
            ended.json()
        });
    assert_eq!(whole["loss"], same["loss"]);
    assert_eq!((&whole["bits"][0], &cut["bits"][0], &cut["bits"][1]), (&3.into(), &1.into(), &1.into()));
    let loss = |report: &serde_json::Value| report["loss"].as_f64().unwrap();
    assert!(loss(&again) < loss(&cut), "{again} is no better than {cut}");
    let pairs = |report: &serde_json::Value| {
        let layers = report["layers"].as_array().unwrap();
        layers.iter().find(|layer| layer["name"] == "conv1").unwrap()["plane_pairs"].as_u64().unwrap()
    };
    assert_eq!([pairs(&whole), pairs(&cut)], [9, 1]);
    // Layer by layer, and weights apart from activations.
    let mixed = run(folder.path(), &format!("{EVAL} --bits 3,2 --bits-map conv1=1")).expect(0, &[]).json();
    assert_eq!([&mixed["bits"][0], &mixed["bits"][1]], [3, 2]);
    assert_eq!(pairs(&mixed), 2);
}

#[test]
fn what_cannot_be_cut_is_refused_by_name() {
    let folder = copy_of_run();
    for (flags, words) in [
        ("--bits 3", "1 bits of weights and 2 of activations"),
        ("--bits 1,0", "--bits 1,0"),
        ("--bits-map conv9=1", "conv9"),
        ("--bits-map conv1=2", "has 1 bits, not 2"),
        ("--bits-map nowhere", "nowhere"),
        ("--reestimate digits", "--bits"),
    ] {
        let ended = run(folder.path(), &format!("eval run {flags}"));
        assert_ne!(ended.code, Some(0), "{flags}");
        assert!(ended.stderr.contains(words), "{flags}: {}", ended.stderr);
    }
}

/// The tensors of a run's best checkpoint, by name.
fn best(run: &Path) -> BTreeMap<String, Vec<f32>> {
    let file = manifest(run)["best"].as_str().expect("a best checkpoint").to_owned();
    let bytes = fs::read(run.join("checkpoints").join(file)).expect("a checkpoint");
    let tensors = Checkpoint::decode(&bytes).expect("a checkpoint").tensors;
    tensors.into_iter().map(|tensor| (tensor.name, tensor.values)).collect()
}

/// True for what belongs to batch norm, and for nothing else in the digits' network.
fn is_of_batch_norm(name: &str) -> bool {
    name.starts_with("bn")
}

/// Trains the batch norm of `run` alone as `new` and checks that nothing else has changed.
fn retrained(folder: &Path, run_name: &str, to: &str) -> Ended {
    let line = format!("{RETRAIN} --init-from {run_name} --cut-to {to} --output-dir new --overwrite");
    let ended = run(folder, &line).expect(0, &["batch norm alone is trained"]);
    let [before, after] = [run_name, "new"].map(|name| best(&folder.join(name)));
    for (name, values) in &after {
        if name.ends_with("moment") || name.ends_with("running_mean") {
            assert!(is_of_batch_norm(name), "{run_name}: {name} is trained");
        } else if let Some(known) = before.get(name) {
            let same = known.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits()));
            assert_eq!(same, !is_of_batch_norm(name), "{run_name}: {name}");
        }
    }
    assert!(after.contains_key("conv1.weight") && after.contains_key("bn1.gamma"));
    ended
}

#[test]
fn batch_norm_alone_is_trained_after_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &format!("{SHORT} --bits 3,3,4 --output-dir run")).expect(0, &[]);
    let trained = retrained(path, "run", "1").json();
    assert_eq!(trained["bits"], serde_json::json!([1, 1, 4]));
    let loss = |line: &str| run(path, line).expect(0, &[]).json()["loss"].as_f64().unwrap();
    let [cut, ours] = ["eval run --json --bits 1", "eval new --json"].map(loss);
    assert!(ours < cut, "{ours} after training, {cut} before");
    assert_eq!(trained["epochs"][0]["test_loss"].as_f64(), Some(ours), "what was trained is evaluated");
    // The run needs its source no more: not to be gone on with, to be cut further, or in one file.
    run(path, &format!("{RETRAIN} --epochs 2 --init-from run --cut-to 1 --output-dir whole")).expect(0, &[]);
    fs::remove_dir_all(path.join("run")).unwrap();
    run(path, "train --resume new --epochs 2").expect(0, &[]);
    let [whole, part] = ["whole", "new"].map(|name| last_checkpoint(&path.join(name)));
    assert_eq!(whole, part);
    run(path, "export new --checkpoint last --output file").expect(0, &[]);
    let [file, folder] = ["eval file --json", "eval new --json --checkpoint last"].map(loss);
    assert_eq!(file, folder);
    let summary = run(path, "summary new --json").expect(0, &[]).json();
    assert_eq!(summary["bits"], serde_json::json!([1, 1, 4]));
    run(path, "eval new --bits 2").expect(2, &["1 bits of weights and 1 of activations"]);
}

/// Levels keep the bits of their weights, a FlexNet takes a mix of widths, learned lengths their upper planes.
#[test]
fn batch_norm_is_trained_behind_cuts_of_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let methods = [
        ("--bit-mix 1:0.4,2:0.3,3:0.3", "2,2"),
        ("--widths 3,2", "3,1,conv1=1"),
        ("--learn-bits layer --bits-freeze-epoch 1", "2"),
    ];
    for (method, to) in methods {
        let line = format!("{RETRAIN} {method} --epochs 2 --output-dir run --overwrite");
        run(path, &line).expect(0, &[]);
        let trained = retrained(path, "run", to).json();
        let evaluated = run(path, "eval new --json").expect(0, &[]).json();
        assert_eq!(trained["epochs"][0]["test_loss"], evaluated["loss"], "{method}");
    }
}

#[test]
fn cuts_that_batch_norm_cannot_be_trained_for_are_refused_by_name() {
    let folder = copy_of_run();
    let path = folder.path();
    run(path, &format!("{RETRAIN} --init-from run --cut-to 1 --output-dir new")).expect(0, &[]);
    for (flags, words) in [
        ("--cut-to 1", "--init-from RUN"),
        ("--cut-to 9 --init-from run", "each 1 to 8"),
        ("--cut-to 1,3 --init-from run", "1 bits of weights and 2 of activations"),
        ("--cut-to 1 --init-from run --model svhn-d", "another --model"),
        ("--cut-to 1 --init-from run --bits 2,2,4", "1,2,4 bits"),
        ("--cut-to 1 --init-from run --widths 2,1", "another --widths"),
        ("--cut-to 1 --init-from new", "cut already"),
    ] {
        run(path, &format!("config {flags}")).expect(2, &[words]);
    }
    run(path, "train --resume new --cut-to 1,2").expect(2, &["cut-to"]);
    run(path, "config --cut-to 1 --init-from run/checkpoints").expect(3, &["not a run folder"]);
}
