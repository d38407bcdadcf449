//! `tune`, `--tune` and `--kernels`: they change which kernels run and no bit of a result.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{last_checkpoint, run};

const TRAIN: &str = "train --epochs 1 --limit-train-batches 4 --batch-size 25 --output-dir";

/// The only file in the cache of `folder`.
fn cached(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder.join("cache")).expect("a cache").map(|entry| entry.unwrap().path());
    let file = files.next().expect("a file");
    assert_eq!(files.next(), None, "one adapter, one file");
    file
}

/// The kernel of every product of a training's report that has a choice.
fn kernels(report: &Value) -> Vec<String> {
    let layers = report["layers"].as_array().unwrap().iter();
    layers.filter_map(|layer| layer["tactic"].as_str().map(str::to_owned)).collect()
}

/// Makes every choice in a file of choices the kernel `name`.
fn choose(path: &Path, name: &str) {
    let mut choices: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for products in choices["products"].as_object_mut().unwrap().values_mut() {
        for choice in products.as_object_mut().unwrap().values_mut() {
            choice["kernel"] = name.into();
        }
    }
    fs::write(path, choices.to_string()).unwrap();
}

#[test]
fn tuned_kernels_run_and_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &format!("{TRAIN} untuned")).expect(0, &[]);
    let wanted = last_checkpoint(&path.join("untuned"));

    let report = run(path, "tune --batch-size 25 --json").expect(0, &["default's speed"]).json();
    let products = report["products"].as_array().unwrap();
    assert_eq!(report["file"], cached(path).to_str().unwrap());
    assert!(products.len() >= 6, "{report}");
    let tuned = run(path, &format!("{TRAIN} tuned --json")).expect(0, &[]).json();
    let chosen: Vec<&str> = products.iter().map(|product| product["kernel"].as_str().unwrap()).collect();
    assert!(kernels(&tuned).iter().all(|kernel| chosen.contains(&kernel.as_str())), "{tuned} {chosen:?}");
    assert!(last_checkpoint(&path.join("tuned")) == wanted);

    choose(&cached(path), "register");
    let portable = run(path, &format!("{TRAIN} portable --json")).expect(0, &["register"]).json();
    assert!(kernels(&portable).len() >= 6 && kernels(&portable).iter().all(|kernel| kernel == "register"));
    assert!(last_checkpoint(&path.join("portable")) == wanted);

    // The run goes on with its own kernels, whatever became of the cache.
    fs::remove_dir_all(path.join("cache")).unwrap();
    let resumed = run(path, "train --resume portable --epochs 2 --lr-scheduler cosine --json");
    resumed.expect(2, &["epochs"]);
    run(path, "eval portable").expect(0, &["conv1        forward      register"]);
    fs::remove_file(path.join("portable/kernels.json")).unwrap();
    let fresh = run(path, "eval portable --json").expect(0, &[]).json();
    assert_eq!(
        fresh["test_accuracy"],
        run(path, "eval untuned --json").expect(0, &[]).json()["test_accuracy"]
    );
}

#[test]
fn a_run_keeps_its_kernels_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &format!("{TRAIN} run --lr-scheduler constant --tune")).expect(0, &["measuring which kernels"]);
    choose(&path.join("run/kernels.json"), "register");
    let report = run(path, "train --resume run --epochs 2 --json").expect(0, &["resuming"]).json();
    assert!(kernels(&report).iter().all(|kernel| kernel == "register"), "{report}");
    let whole =
        run(path, &format!("{TRAIN} whole --lr-scheduler constant --epochs 2").replace("--epochs 1 ", ""));
    whole.expect(0, &[]);
    assert!(last_checkpoint(&path.join("run")) == last_checkpoint(&path.join("whole")));
}

#[test]
fn a_damaged_cache_costs_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "tune --batch-size 25").expect(0, &[]);
    let file = cached(path);
    let text = fs::read_to_string(&file).unwrap();
    for (damaged, why) in [
        (String::new(), "EOF"),
        (text.replacen("\"format\": 2", "\"format\": 9", 1), "format 9"),
        (text.replacen("\"kernel\": \"", "\"kernel\": \"magic", 1), "names no product kernel"),
    ] {
        fs::write(&file, damaged).unwrap();
        let line = format!("{TRAIN} run --overwrite");
        run(path, &line).expect(0, &["warning: the kernel choices in", "are not used", why]);
    }
    fs::remove_dir_all(path.join("cache")).unwrap();
    fs::write(path.join("cache"), "a file where a folder should be").unwrap();
    let ended = run(path, "tune --batch-size 25 --json");
    let report = ended.expect(0, &["warning: the choices are kept for this process alone"]).json();
    assert!(report["file"].is_null(), "{report}");
}

#[test]
fn tuning_one_arithmetic_leaves_the_choice_among_all_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let untuned = run(path, &format!("{TRAIN} untuned --json")).expect(0, &[]).json();
    run(path, "tune --batch-size 25 --kernels f32").expect(0, &[]);
    let auto = run(path, &format!("{TRAIN} auto --json")).expect(0, &[]).json();
    assert_eq!(kernels(&auto), kernels(&untuned));
    let forced = run(path, &format!("{TRAIN} forced --kernels f32 --json")).expect(0, &[]).json();
    assert_ne!(kernels(&forced), kernels(&untuned));
}

#[test]
fn an_arithmetic_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &format!("{TRAIN} run --kernels bits --lr-scheduler constant")).expect(0, &[]);
    let config = fs::read_to_string(path.join("run/config.toml")).unwrap();
    assert!(config.contains("kernels = \"bits\""), "{config}");
    run(path, "train --resume run --epochs 2 --kernels auto").expect(0, &[]);
    run(path, "eval run --kernels bits").expect(0, &[]);
    run(path, "eval run --kernels magic").expect(2, &["magic", "auto, bits"]);
}
