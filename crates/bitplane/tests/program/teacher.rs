//! Trainings that learn from another one, and the recipe that starts binary activations.

use std::fs;

use bitplane::checkpoint::Checkpoint;
use serde_json::Value;

use super::support::{copy_of_run, last_checkpoint, run};

const LINE: &str =
    "train --limit-train-batches 3 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant";
const TAUGHT: &str = "--bits 1,1,4 --teacher run --distill-weight 0.75 --distill-features bn1";

#[test]
fn a_taught_run_resumes_to_the_same_bytes_and_only_with_its_teacher() {
    let folder = copy_of_run();
    let path = folder.path();
    run(path, &format!("{LINE} {TAUGHT} --epochs 2 --output-dir whole"))
        .expect(0, &["learning from", "digits at 1,2,4 bits"]);
    let wanted = last_checkpoint(&path.join("whole"));
    run(path, &format!("{LINE} {TAUGHT} --epochs 1 --output-dir part --checkpoint-interval 0"))
        .expect(0, &[]);
    run(path, "train --resume part --epochs 2").expect(0, &["learning from"]);
    assert!(last_checkpoint(&path.join("part")) == wanted, "bit for bit");
    let names = Checkpoint::decode(&wanted).unwrap().tensors.into_iter().map(|tensor| tensor.name);
    assert!(names.into_iter().all(|name| !name.contains("teacher")), "the teacher is not saved again");
    run(path, &format!("{LINE} --bits 1,1,4 --epochs 2 --output-dir alone")).expect(0, &[]);
    assert!(last_checkpoint(&path.join("alone")) != wanted);
    // What was learned is evaluated without the teacher, which a resumed run needs as it was.
    let settings = fs::read_to_string(path.join("whole/config.toml")).unwrap();
    assert!(
        settings.contains("teacher-sha256 = ") && settings.contains("distill-temperature = 4"),
        "{settings}"
    );
    run(path, &format!("{LINE} --epochs 1 --seed 5 --output-dir run --overwrite")).expect(0, &[]);
    run(path, "train --resume part --epochs 3").expect(3, &["cannot teach", "SHA-256"]);
    fs::remove_dir_all(path.join("run")).unwrap();
    run(path, "train --resume part --epochs 3").expect(3, &["not a run folder"]);
    run(path, "eval part --limit-test-batches 1").expect(0, &[]);
}

#[test]
fn points_of_a_sweep_have_a_teacher() {
    let folder = copy_of_run();
    let plan = "[settings]\nepochs = 1\nlimit-train-batches = 3\nlimit-test-batches = 1\nbatch-size = 25\n\
                bits = '1,1,4'\n[grid]\nteacher = ['run']\nseed = [0]\n";
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    run(folder.path(), "sweep plan.toml").expect(0, &["0 of them done already"]);
    run(folder.path(), "sweep plan.toml").expect(0, &["1 of them done already"]);
}

#[test]
fn what_cannot_teach_is_refused_by_name() {
    let folder = copy_of_run();
    let path = folder.path();
    let line = format!("{LINE} --epochs 1 --output-dir new");
    for key in ["weight 0.5", "temperature 2", "features bn1", "feature-weight 1"] {
        let flag = format!("--distill-{}", key.split(' ').next().unwrap());
        run(path, &format!("{line} --distill-{key}")).expect(2, &[&flag, "needs a --teacher RUN"]);
    }
    let features = |names: &str| format!("{line} --teacher run --distill-features {names}");
    run(path, &features("bn7")).expect(2, &["`bn7`", "no layer of digits"]);
    run(path, &features("bn1=bn7")).expect(2, &["`bn7`", "no layer of the teacher"]);
    run(path, &features("bn0=fc1")).expect(2, &["--distill-features", "bn0", "teacher.fc1"]);
    run(path, &format!("{line} --teacher run --distill-weight 2"))
        .expect(2, &["--distill-weight = 2", "0 to 1"]);
    run(path, &format!("{line} --teacher none")).expect(3, &["none", "not a run folder"]);
    // A run of other classes, as its checkpoint says.
    let best = super::support::manifest(&path.join("run"))["best"].as_str().unwrap().to_owned();
    let file = path.join("run/checkpoints").join(best);
    let mut checkpoint = Checkpoint::decode(&fs::read(&file).unwrap()).unwrap();
    checkpoint.identity.classes[3] = "three".to_owned();
    checkpoint.identity.image = [9, 8, 1];
    fs::write(&file, checkpoint.encode().unwrap()).unwrap();
    super::bad_checkpoint::vouch(&path.join("run"));
    let words = ["cannot teach", "its pictures are 9x8x1, not 8x8x1", "its class `three` is `3` here"];
    run(path, &format!("{line} --teacher run")).expect(3, &words);
    assert!(!path.join("new").exists(), "a refused training leaves no folder");
}

fn rates(report: &Value) -> Vec<f64> {
    let epochs = report["epochs"].as_array().expect("epochs");
    epochs.iter().map(|epoch| epoch["learning_rate"].as_f64().expect("a rate")).collect()
}

#[test]
fn a_plateau_divides_the_rate_by_ten_and_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // No loss falls by 100, so that every second epoch after the first is a plateau.
    let line = "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr 0.5 --opt sgd --nesterov \
                --momentum 0.9 --wd 1e-4 --lr-scheduler plateau --lr-patience 2 --lr-min-delta 100 --augment flip-crop \
                --crop-padding 1";
    let whole = run(path, &format!("{line} --epochs 6 --output-dir whole --json")).expect(0, &[]).json();
    let want = [0.5, 0.5, 0.5, 0.05, 0.05, 0.005];
    assert!(
        rates(&whole).iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12),
        "{:?}",
        rates(&whole)
    );
    run(path, &format!("{line} --epochs 2 --output-dir part")).expect(0, &[]);
    run(path, "train --resume part --epochs 4").expect(0, &[]);
    run(path, "train --resume part --epochs 6").expect(0, &[]);
    assert!(last_checkpoint(&path.join("part")) == last_checkpoint(&path.join("whole")));
    run(path, "train --resume part --lr-patience 3").expect(2, &["lr-patience"]);
}

#[test]
fn binary_activations_start_from_a_tangent_twin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let float = "--bits 32,32,32 --activation-form tanh --epochs 1 --output-dir float";
    run(path, &format!("{LINE} {float}")).expect(0, &[]);
    let binary = "--bits 1,1,32 --init-from float --epochs 1 --output-dir binary";
    run(path, &format!("{LINE} {binary}")).expect(0, &["starting with the weights"]);
    run(path, "eval float --limit-test-batches 1").expect(0, &[]);
    run(path, &format!("{LINE} --bits 1,1,32 --activation-form tanh --epochs 1"))
        .expect(2, &["--bits W,32,G"]);
}
