//! The same command gives the same bytes, also after an interruption at any moment.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::support::{
    Ended, SHORT, copy_of_run, finished_run, last_checkpoint, manifest, run, run_with, start,
};

#[test]
fn the_same_command_twice_gives_equal_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{SHORT} --output-dir again")).expect(0, &[]);
    let again = folder.path().join("again");
    assert_eq!(manifest(&again), manifest(finished_run()), "names, sizes and SHA-256 of all checkpoints");
    for entry in manifest(&again)["checkpoints"].as_array().unwrap() {
        let file = Path::new("checkpoints").join(entry["file"].as_str().unwrap());
        assert!(fs::read(again.join(&file)).unwrap() == fs::read(finished_run().join(&file)).unwrap());
    }
    run(folder.path(), &format!("{SHORT} --seed 1 --output-dir other")).expect(0, &[]);
    assert!(last_checkpoint(&folder.path().join("other")) != last_checkpoint(finished_run()));
}

/// What refuses to go on from an older checkpoint leaves the later ones.
#[test]
fn a_refused_resume_changes_nothing() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let before = manifest(&path);
    let entries = before["checkpoints"].as_array().unwrap();
    assert!(entries.len() > 1, "{before}");
    let first = entries[0]["file"].as_str().unwrap();
    let metrics = fs::read(path.join("metrics.jsonl")).unwrap();
    for (flags, code) in [("--histograms nosuch", 2), ("--device no-such-adapter", 4)] {
        let line = format!("train --resume run/checkpoints/{first} {flags}");
        run(folder.path(), &line).expect(code, &[]);
        assert_eq!(manifest(&path), before, "{flags}");
        assert!(fs::read(path.join("metrics.jsonl")).unwrap() == metrics, "{flags}");
        for entry in entries {
            let file = Path::new("checkpoints").join(entry["file"].as_str().unwrap());
            assert!(fs::read(path.join(&file)).unwrap() == fs::read(finished_run().join(&file)).unwrap());
        }
    }
}

#[test]
fn augmentation_and_sgd_repeat_themselves_too() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{SHORT} --augment flip-crop --opt sgd --momentum 0.9 --nesterov --wd 1e-4");
    run(folder.path(), &format!("{line} --lr 0.01 --output-dir a")).expect(0, &[]);
    run(folder.path(), &format!("{line} --lr 0.01 --output-dir b --checkpoint-interval 0")).expect(0, &[]);
    assert!(last_checkpoint(&folder.path().join("a")) == last_checkpoint(&folder.path().join("b")));
}

/// Waits until `ready`, or until the program has ended.
fn wait_for(child: &mut Child, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the program does not get there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Steps that the run's last checkpoint holds.
fn saved_step(run: &Path) -> u64 {
    let text = fs::read_to_string(run.join("checkpoints/manifest.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    manifest["checkpoints"]
        .as_array()
        .and_then(|entries| entries.last())
        .map_or(0, |last| last["step"].as_u64().unwrap())
}

/// Numbers that a seed decides (splitmix64).
struct Draw(u64);

impl Draw {
    /// A seed from `BITPLANE_KILL_SEED`, to repeat a failure, else from the clock; printed either way.
    fn new() -> Self {
        let given = std::env::var("BITPLANE_KILL_SEED").ok().map(|text| text.parse().expect("a number"));
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        println!("BITPLANE_KILL_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let common = "train --epochs 6 --limit-train-batches 20 --batch-size 25";
    run(folder.path(), &format!("{common} --output-dir whole")).expect(0, &[]);
    let whole = last_checkpoint(&folder.path().join("whole"));
    let mut draw = Draw::new();
    let (mut training, mut starting) = (0, 0);
    for _ in 0..12 {
        // A process that was killed before it began has left nothing to resume.
        let line = if path.join("config.toml").exists() {
            "train --resume run".to_owned()
        } else {
            format!("{common} --output-dir run --checkpoint-interval 0")
        };
        let before = saved_step(&path);
        let mut child = start(folder.path(), &line);
        // Some moments count from the start of the process, the others from a step; they fall on steps and saves alike.
        let delay = if draw.below(4) == 0 {
            Duration::from_micros(draw.below(300_000))
        } else {
            let steps = 1 + draw.below(4);
            wait_for(&mut child, || saved_step(&path) >= before + steps);
            Duration::from_micros(draw.below(20_000))
        };
        std::thread::sleep(delay);
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        let ended = Ended::from(child.wait_with_output().unwrap());
        if !running {
            ended.expect(0, &[]);
            break;
        }
        if saved_step(&path) > before { training += 1 } else { starting += 1 }
    }
    println!("killed {training} times in training, {starting} times before its first step was saved");
    assert!(training >= 3, "killed {training} times in training");
    run(folder.path(), "train --resume run").expect(0, &["resuming"]);
    assert!(last_checkpoint(&path) == whole, "the resumed run differs");
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 6);
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_save_and_exit_130() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut line = format!("{SHORT} --output-dir run");
    for signal in ["-TERM", "-INT"] {
        // The settings are saved when training starts; a resumed run says so before it opens the device.
        let before = fs::metadata(path.join("config.toml")).and_then(|data| data.modified()).ok();
        let mut child = start(folder.path(), &line);
        wait_for(&mut child, || {
            fs::metadata(path.join("config.toml")).and_then(|data| data.modified()).ok() != before
        });
        std::thread::sleep(Duration::from_millis(100));
        let sent =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = Ended::from(child.wait_with_output().unwrap());
        ended.expect(130, &["interrupted in epoch", "saved as", "train --resume"]);
        line = "train --resume run".to_owned();
    }
    run(folder.path(), "train --resume run").expect(0, &["resuming"]);
    assert!(last_checkpoint(&path) == last_checkpoint(finished_run()));
}

#[test]
fn a_finished_run_can_be_prolonged() {
    let folder = copy_of_run();
    let ended = run(folder.path(), "train --resume run --json").expect(0, &[]);
    assert_eq!(ended.json()["epochs"].as_array().unwrap().len(), 3, "nothing is left to do");
    let ended = run(folder.path(), "train --output-dir run --resume last --epochs 4 --json").expect(0, &[]);
    assert_eq!(ended.json()["epochs"].as_array().unwrap().len(), 4);
    assert!(fs::read_to_string(folder.path().join("run/config.toml")).unwrap().contains("epochs = 4"));
}

#[test]
fn resuming_from_an_earlier_checkpoint_trains_the_rest_again() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let wanted = last_checkpoint(&path);
    let file = "run/checkpoints/epoch-0002.safetensors";
    run(folder.path(), &format!("train --resume {file}")).expect(0, &["epoch 3"]);
    assert!(last_checkpoint(&path) == wanted);
    run(folder.path(), "train --output-dir run --resume best").expect(0, &["resuming"]);
    assert!(last_checkpoint(&path) == wanted);
}

#[test]
fn a_resumed_run_keeps_its_settings() {
    let folder = copy_of_run();
    run(folder.path(), "train --resume run --lr 0.5 --seed 9")
        .expect(2, &["other settings", "lr: 0.5, not", "seed: 9, not 0"]);
    run(folder.path(), "train --resume run --lr-scheduler cosine --epochs 4")
        .expect(2, &["lr-scheduler: \"cosine\", not \"constant\""]);
    run(folder.path(), "train --resume run --output-dir run").expect(2, &["leave --output-dir away"]);
    run(folder.path(), "train --resume --overwrite --output-dir run").expect(2, &["--overwrite"]);
    run(folder.path(), "train --resume run --print-freq 1 --checkpoint-interval 9").expect(0, &[]);
}

#[test]
fn a_cosine_keeps_its_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let line =
        "train --epochs 2 --limit-train-batches 2 --batch-size 25 --lr-scheduler cosine --output-dir run";
    run(folder.path(), line).expect(0, &[]);
    let before = last_checkpoint(&path);
    for epochs in ["1", "3"] {
        let words = [&format!("epochs: {epochs}, not 2"), "cosine schedule", "start a new run"];
        run(folder.path(), &format!("train --resume run --epochs {epochs}")).expect(2, &words);
    }
    assert!(last_checkpoint(&path) == before);
    run(folder.path(), "train --resume run --epochs 2").expect(0, &[]);
    // Without its settings' word for it, the checkpoint still tells.
    let config = path.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("epochs = 2", "epochs = 3")).unwrap();
    run(folder.path(), "train --resume run").expect(3, &["does not belong", "epochs of a cosine"]);
}

#[test]
fn pictures_that_stay_on_the_device_and_those_that_do_not_give_equal_runs() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{SHORT} --augment flip-crop --limit-test-batches 20 --output-dir");
    let held = run(folder.path(), &format!("{line} held")).expect(0, &[]);
    let streamed = [("BITPLANE_PICTURES", "streamed")];
    let note = "the pictures stay off the device";
    assert!(!held.stderr.contains(note), "{}", held.stderr);
    run_with(folder.path(), &format!("{line} streamed"), &streamed).expect(0, &[note]);
    let (held, streamed_run) = (folder.path().join("held"), folder.path().join("streamed"));
    assert_eq!(manifest(&held), manifest(&streamed_run), "names, sizes and SHA-256 of all checkpoints");
    let records = |run: &Path| -> Vec<Value> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let untimed = |line: &str| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            let fields = record.as_object_mut().unwrap();
            assert!(fields.remove("seconds").is_some() && fields.remove("images_per_second").is_some());
            record
        };
        text.lines().map(untimed).collect()
    };
    assert_eq!(records(&held), records(&streamed_run));
    let evaluated = run(folder.path(), "eval held --json").expect(0, &[]).json();
    let again = run_with(folder.path(), "eval held --json", &streamed).expect(0, &[]).json();
    assert_eq!(evaluated, again);
}
