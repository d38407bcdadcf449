//! Folders that are taken, full or read-only.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::{Ended, SHORT, copy_of_run, finished_run, last_checkpoint, run, start};

#[test]
fn a_second_training_in_a_folder_is_told_the_first_ones_pid() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(folder.path(), "train --epochs 1000 --output-dir run");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.path().join("run/config.toml").exists() {
        assert!(Instant::now() < deadline, "the first training does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = format!("process {}", first.id());
    for flags in ["", "--overwrite"] {
        run(folder.path(), &format!("train --output-dir run {flags}")).expect(2, &["in use by", &pid]);
    }
    run(folder.path(), "train --resume run").expect(2, &["in use by", &pid]);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_folder_with_content_is_not_touched() {
    let folder = copy_of_run();
    let before = last_checkpoint(&folder.path().join("run"));
    run(folder.path(), &format!("{SHORT} --output-dir run"))
        .expect(2, &["not empty", "--resume", "--overwrite", "--output-dir"]);
    assert_eq!(last_checkpoint(&folder.path().join("run")), before);
    run(folder.path(), &format!("{SHORT} --seed 5 --output-dir run --overwrite")).expect(0, &[]);
    assert_ne!(last_checkpoint(&folder.path().join("run")), before);
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3, "metrics of the old run are gone");
}

#[test]
fn only_a_run_is_overwritten() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let line = format!("{SHORT} --output-dir site --overwrite");
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("config.toml"), "title = \"my site\"\n").unwrap();
    fs::write(site.join("metrics.jsonl"), "mine").unwrap();
    run(folder.path(), &line).expect(2, &["site", "--overwrite replaces runs only", "--output-dir"]);
    run(folder.path(), &format!("{SHORT} --output-dir site")).expect(2, &["not empty"]);
    let mut left: Vec<_> = fs::read_dir(&site).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["config.toml", "metrics.jsonl"], "nothing is added or removed");
    assert_eq!(fs::read_to_string(site.join("metrics.jsonl")).unwrap(), "mine");
    // A run stays one when its manifest is damaged, and what others put there stays.
    fs::write(path.join("checkpoints/manifest.json"), "{").unwrap();
    fs::write(path.join("checkpoints/mine.safetensors"), "mine").unwrap();
    run(folder.path(), &format!("{SHORT} --output-dir run --overwrite")).expect(0, &[]);
    assert_eq!(last_checkpoint(&path), last_checkpoint(finished_run()));
    assert_eq!(fs::read_to_string(path.join("checkpoints/mine.safetensors")).unwrap(), "mine");
    fs::create_dir(folder.path().join("empty")).unwrap();
    run(folder.path(), &format!("{SHORT} --output-dir empty --overwrite")).expect(0, &[]);
}

/// The temporary file that a save writes first leads to a device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_training_and_what_was_saved_stays() {
    let folder = copy_of_run();
    let path = folder.path().join("run");
    let before = last_checkpoint(&path);
    let temporary = path.join("checkpoints/epoch-0004.safetensors.tmp");
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let words = ["epoch-0004.safetensors", "No space left", "make room", "intact"];
    run(folder.path(), "train --resume run --epochs 4").expect(7, &words);
    assert_eq!(last_checkpoint(&path), before);
    assert!(fs::symlink_metadata(&temporary).is_err(), "the temporary file is removed");
    run(folder.path(), "eval run --checkpoint last").expect(0, &[]);
    run(folder.path(), "train --resume run --epochs 4").expect(0, &[]);
}

/// The shell allows no file above 64 KiB, a checkpoint has more.
#[cfg(target_os = "linux")]
#[test]
fn a_file_size_limit_ends_training_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "trap '' XFSZ; ulimit -f 64; exec {} {SHORT} --output-dir run",
        env!("CARGO_BIN_EXE_bitplane")
    );
    let mut shell = std::process::Command::new("sh");
    let output = shell.current_dir(folder.path()).args(["-c", &line]).output().unwrap();
    Ended::from(output).expect(7, &["epoch-0001.safetensors", "larger file"]);
    assert_eq!(fs::read_dir(folder.path().join("run/checkpoints")).unwrap().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), &format!("{SHORT} --output-dir file/run"))
        .expect(7, &["file/run", "another --output-dir"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions do not bind the superuser; there is a file system in which nobody makes folders.
    let closed =
        if fs::create_dir(closed.join("probe")).is_ok() { Path::new("/sys/kernel") } else { &closed };
    let line = format!("{SHORT} --output-dir {}/run", closed.display());
    run(folder.path(), &line).expect(7, &["cannot create", "another --output-dir"]);
}
