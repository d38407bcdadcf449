//! Sweeps: what they train, what they leave alone, and what comes of points that fail.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Ended, run, start};

/// Short trainings that save after every step.
const SHORT: &str = "
[settings]
epochs = 1
limit-train-batches = 20
limit-test-batches = 4
batch-size = 25
lr-scheduler = 'constant'
checkpoint-interval = 0
";

fn write_plan(folder: &Path, points: &str) {
    fs::write(folder.join("plan.toml"), format!("{SHORT}{points}")).unwrap();
}

/// The rows of `results.jsonl` without what time decides.
fn rows(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("results.jsonl")).unwrap();
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let fields = row.as_object_mut().unwrap();
        for name in ["images_per_second", "seconds"] {
            assert!(fields.remove(name).is_some(), "{line}");
        }
        row
    };
    text.lines().map(row).collect()
}

/// The table of means in `results.md`.
fn means(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("results.md")).unwrap();
    let table = text.split("## Points").next().unwrap();
    table.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n")
}

fn metrics(folder: &Path, point: &str) -> String {
    fs::read_to_string(folder.join("runs").join(point).join("metrics.jsonl")).unwrap_or_default()
}

#[test]
fn a_killed_sweep_goes_on_to_the_same_table() {
    let plan = "[grid]\nbits = ['1,1,2', '1,2,4', '2,2,2', '32,32,32']\nseed = [0, 1]\n[[baseline]]\nbits = '32,32,32'\n";
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_plan(whole.path(), plan);
    write_plan(killed.path(), plan);
    run(whole.path(), "sweep plan.toml --jobs 2").expect(0, &["[8/8]"]);
    let (whole, sweep) = (whole.path().join("sweeps/plan"), killed.path().join("sweeps/plan"));
    let mut child = start(killed.path(), "sweep plan.toml");
    let deadline = Instant::now() + Duration::from_secs(120);
    let names: Vec<String> =
        rows(&whole).iter().map(|row| row["point"].as_str().unwrap().to_owned()).collect();
    let manifest = |name: &String| {
        fs::read_to_string(sweep.join("runs").join(name).join("checkpoints/manifest.json"))
            .unwrap_or_default()
    };
    // In the middle: two points have ended, and another has saved steps of its only epoch.
    let middle = || {
        let ended = names.iter().filter(|name| !metrics(&sweep, name).is_empty()).count();
        ended >= 2
            && names.iter().any(|name| metrics(&sweep, name).is_empty() && manifest(name).contains("step-"))
    };
    while !middle() {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "it never is in the middle"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    Ended::from(child.wait_with_output().unwrap());
    let finished = |row: &&Value| row["status"] == "finished";
    let done: Vec<String> =
        rows(&sweep).iter().filter(finished).map(|row| row["point"].as_str().unwrap().to_owned()).collect();
    assert!((1..8).contains(&done.len()), "{done:?}");
    let before: Vec<String> = done.iter().map(|name| metrics(&sweep, name)).collect();
    let again = run(killed.path(), "sweep plan.toml").expect(0, &["done already"]);
    for name in &done {
        assert!(!again.stderr.contains(&format!("{name} ")), "{name} is touched: {}", again.stderr);
    }
    let after: Vec<String> = done.iter().map(|name| metrics(&sweep, name)).collect();
    assert_eq!(before, after, "finished points are trained again");
    assert_eq!(rows(&sweep), rows(&whole));
    assert!(rows(&sweep).iter().all(|row| finished(&row)));
    assert_eq!(means(&sweep), means(&whole));
    assert_eq!(means(&sweep).lines().count(), (2 + 4) + (2 + 3), "means and differences to the baseline");
    let csv = fs::read_to_string(sweep.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9);
    assert_eq!(fs::read_to_string(sweep.join("results.svg")).unwrap().matches("r=\"3\"").count(), 8);
}

#[test]
fn runs_of_train_count_as_points_and_begun_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write_plan(folder.path(), "[grid]\nseed = [0, 1, 2]\n");
    let sweep = folder.path().join("sweeps/plan");
    let runs = "sweeps/plan/runs/digits-digits-1-2-4-s";
    let settings = "--limit-train-batches 20 --limit-test-batches 4 --batch-size 25 --lr-scheduler constant";
    run(folder.path(), &format!("train {settings} --epochs 1 --output-dir {runs}0")).expect(0, &[]);
    run(folder.path(), &format!("train {settings} --epochs 2 --seed 1 --output-dir {runs}1")).expect(0, &[]);
    let before = [0, 1].map(|seed| metrics(&sweep, &format!("digits-digits-1-2-4-s{seed}")));
    let ended = run(folder.path(), "sweep plan.toml --shard 1/3").expect(0, &["1 of them done already"]);
    assert!(!ended.stderr.contains("starts"), "{}", ended.stderr);
    let [row, longer, open] = &rows(&sweep)[..] else { panic!("three rows") };
    let first: Value = serde_json::from_str(before[0].trim_end()).unwrap();
    assert_eq!((&row["status"], &row["best_accuracy"]), (&"finished".into(), &first["test_accuracy"]));
    let first: Value = serde_json::from_str(before[1].lines().next().unwrap()).unwrap();
    assert_eq!(longer["best_accuracy"], first["test_accuracy"], "the second epoch is not in the plan");
    assert_eq!(open["status"], "open");
    let listed = run(folder.path(), "sweep plan.toml --list").expect(0, &[]).stdout;
    assert_eq!(listed.matches("finished, 0.").count(), 2, "{listed}");

    // Another epoch for all: one run has it, one goes on from its checkpoint, one starts.
    run(folder.path(), "sweep plan.toml --epochs 2")
        .expect(0, &["s0 goes on", "s2 starts", "1 of them done already"]);
    let log = fs::read_to_string(sweep.join("points/digits-digits-1-2-4-s0.log")).unwrap();
    assert!(log.contains("resuming") && log.contains("epoch 2, step 20"), "{log}");
    let after = [0, 1].map(|seed| metrics(&sweep, &format!("digits-digits-1-2-4-s{seed}")));
    assert!(after[0].starts_with(&before[0]) && after[0].lines().count() == 2);
    assert_eq!(after[1], before[1]);
}

#[test]
fn points_that_fail_are_recorded_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write_plan(folder.path(), "[[point]]\nlr = 1e6\n[[point]]\ndata = 'idx:nowhere'\n[[point]]\nseed = 0\n");
    let ended = run(folder.path(), "sweep plan.toml --output out --json")
        .expect(8, &["2 of 3 points failed", "lr-1000000"]);
    let report = ended.json();
    let sweep = folder.path().join("out");
    let [diverged, missing, good] = &rows(&sweep)[..] else { panic!("three rows") };
    assert_eq!((&diverged["status"], &diverged["exit_code"]), (&"failed".into(), &6.into()));
    assert!(diverged["message"].as_str().unwrap().contains("diverged"), "{diverged}");
    assert_eq!((&missing["status"], &missing["exit_code"]), (&"failed".into(), &3.into()));
    assert!(missing["message"].as_str().unwrap().contains("nowhere"), "{missing}");
    assert_eq!(good["status"], "finished");
    assert_eq!(report["points"][2]["best_accuracy"], good["best_accuracy"]);
    let table = fs::read_to_string(sweep.join("results.md")).unwrap();
    assert!(
        table.contains("1 of 3 points finished, 2 failed, 0 open") && table.contains("exit code 6"),
        "{table}"
    );
    // What diverged would diverge again; the rest is tried once more.
    let again =
        run(folder.path(), "sweep plan.toml --output out").expect(8, &["2 of them done already", "nowhere"]);
    assert_eq!(again.stderr.matches("starts").count(), 1, "{}", again.stderr);
    // A run of other settings is neither counted nor lost.
    let before = metrics(&sweep, good["point"].as_str().unwrap());
    run(folder.path(), "sweep plan.toml --output out --batch-size 50 --shard 3/3")
        .expect(8, &["started with other settings"]);
    assert_eq!(metrics(&sweep, good["point"].as_str().unwrap()), before);
}

#[test]
fn refused_plans_and_shards_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    write_plan(folder.path(), "[grid]\nseed = [0, 1]\n");
    fs::write(folder.path().join("bad.toml"), "[grid]\n\nbits = ['1,2,4', '0,2,4']\n").unwrap();
    for shard in ["3/2", "0/0", "0/2", "x"] {
        run(folder.path(), &format!("sweep plan.toml --shard {shard}")).expect(2, &["--shard"]);
    }
    run(folder.path(), "sweep plan.toml --jobs 0").expect(2, &["--jobs"]);
    run(folder.path(), "sweep plan.toml --seed 3").expect(2, &["--seed is what plan.toml varies"]);
    run(folder.path(), "sweep plan.toml --epochs 0").expect(2, &["epochs = 0"]);
    run(folder.path(), "sweep bad.toml").expect(2, &["bad.toml, line 3", "0,2,4"]);
    run(folder.path(), "sweep none.toml").expect(2, &["none.toml", "table1"]);
    run(folder.path(), "sweep").expect(2, &["PLAN"]);
    run(folder.path(), "sweep plan.toml --output-dir plan.toml").expect(7, &["plan.toml"]);
    let listed = run(folder.path(), "sweep table1 --list").expect(0, &[]).stdout;
    assert_eq!(listed.lines().count(), 78, "{listed}");
    // A point goes with the one whose weights it starts with.
    write_plan(folder.path(), "[[point]]\ninit-from = '@32,32,32'\n[[point]]\nbits = '32,32,32'\n");
    let listed = |shard: &str| {
        let line = format!("sweep plan.toml --list --shard {shard}");
        run(folder.path(), &line).expect(0, &[]).stdout.lines().count()
    };
    assert_eq!([listed("1/2"), listed("2/2")], [0, 2]);
    assert!(run(folder.path(), "sweep --list").expect(0, &[]).stdout.contains("cifar10-svhn-d"));
    assert!(!folder.path().join("sweeps").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_sweep_saves_what_it_trains() {
    let folder = tempfile::tempdir().unwrap();
    write_plan(folder.path(), "[grid]\nepochs = [1000]\nseed = [0, 1]\n");
    let child = start(folder.path(), "sweep plan.toml");
    let run_folder = folder.path().join("sweeps/plan/runs/digits-digits-1-2-4-s0-epochs-1000");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !run_folder.join("checkpoints/manifest.json").exists() {
        assert!(Instant::now() < deadline, "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let ended = Ended::from(child.wait_with_output().unwrap())
        .expect(130, &["stopped and saved", "the same command goes on"]);
    assert!(!ended.stderr.contains("s1-epochs-1000 starts"), "{}", ended.stderr);
    let rows = rows(&folder.path().join("sweeps/plan"));
    assert!(rows.iter().all(|row| row["status"] == "open"), "{rows:?}");
    let log =
        fs::read_to_string(folder.path().join("sweeps/plan/points/digits-digits-1-2-4-s0-epochs-1000.log"))
            .unwrap();
    assert!(log.contains("interrupted in epoch"), "{log}");
}

#[test]
fn a_point_waits_for_the_one_whose_weights_it_starts_with() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[[point]]\ninit-from = '@32,32,32'\nbits = '1,2,32'\n[[point]]\nbits = '32,32,32'\n";
    write_plan(folder.path(), plan);
    run(folder.path(), "sweep plan.toml --jobs 2").expect(0, &[]);
    let sweep = folder.path().join("sweeps/plan");
    let config =
        fs::read_to_string(sweep.join("runs/digits-digits-1-2-32-s0-init-from-_32_32_32/config.toml"))
            .unwrap();
    assert!(config.contains("digits-digits-32-32-32-s0") && config.contains("init-sha256"), "{config}");
    run(folder.path(), "sweep plan.toml").expect(0, &["2 of them done already"]);
    // Elsewhere its runs count too, as the plan says whose weights they started with.
    fs::rename(&sweep, folder.path().join("moved")).unwrap();
    run(folder.path(), "sweep plan.toml --output-dir moved").expect(0, &["2 of them done already"]);
    // Without the origin there is nothing to start from.
    write_plan(
        folder.path(),
        &plan
            .replace("bits = '32,32,32'", "bits = '32,32,32'\nlr = 1e6")
            .replace("1,2,32'", "1,2,32'\nlr = 1e6"),
    );
    run(folder.path(), "sweep plan.toml --output-dir other")
        .expect(8, &["2 of 2 points failed", "which is not finished"]);
}
