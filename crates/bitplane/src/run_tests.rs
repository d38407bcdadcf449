//! Folders that are new, taken, overwritten and gone on with.

use super::*;
use crate::preprocess::Preprocess;

fn record(epoch: u32) -> EpochRecord {
    EpochRecord { epoch, train_loss: 0.5 / f64::from(epoch), ..EpochRecord::default() }
}

#[test]
fn a_second_writer_is_told_the_first_ones_pid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let first = RunFolder::create(&path, false).unwrap();
    for overwrite in [false, true] {
        let error = RunFolder::create(&path, overwrite).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
    drop(first);
    assert!(!path.exists(), "a folder without a run is removed");
    RunFolder::create(&path, false).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folders_with_content_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("thesis.txt"), "x").unwrap();
    assert!(matches!(RunFolder::create(path, false), Err(RunError::Exists { .. })));
    // Neither a site's settings nor a lock of another program make a run.
    fs::write(path.join(CONFIG), "title = \"my site\"\n").unwrap();
    assert!(matches!(RunFolder::create(path, true), Err(RunError::Strange { .. })));
    assert_eq!(names(path), [CONFIG, "thesis.txt"], "no lock is left");
    fs::write(path.join(CONFIG), "lr = 0.5\n").unwrap();
    fs::write(path.join(LOCK), "theirs").unwrap();
    assert!(matches!(RunFolder::create(path, true), Err(RunError::Strange { .. })));
    assert_eq!(fs::read_to_string(path.join(LOCK)).unwrap(), "theirs");
    assert!(matches!(RunFolder::reopen(&path.join("none")), Err(RunError::NotARun { .. })));
}

#[test]
fn overwriting_removes_a_runs_own_files_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = Config::resolve(Settings::default(), &crate::models::recipe("digits").unwrap());
    RunFolder::create(path, false).unwrap().begin(&Disk, &config, true).unwrap();
    fs::create_dir(checkpoints(path)).unwrap();
    let ours = ["epoch-0001.safetensors", "step-00000007.safetensors.tmp", "manifest.json.tmp"];
    for name in ours.iter().chain(&["mine.safetensors", "notes.tmp", "manifest.json"]) {
        fs::write(checkpoints(path).join(name), "{").unwrap();
    }
    let logs = ["histograms.jsonl", "histograms.jsonl.tmp", "diagnostics.jsonl"];
    for name in [METRICS, "metrics.jsonl.tmp", "thesis.txt"].iter().chain(&logs) {
        fs::write(path.join(name), "x").unwrap();
    }
    RunFolder::create(path, true).unwrap().begin(&Disk, &config, true).unwrap();
    assert_eq!(names(&checkpoints(path)), ["mine.safetensors", "notes.tmp"]);
    assert_eq!(names(path), [CHECKPOINTS, CONFIG, LOCK, "thesis.txt"]);
}

#[test]
fn numbered_folders_count_up() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("runs/a.b");
    assert_eq!(newest(&base), None);
    let names: Vec<RunFolder> = (0..3).map(|_| RunFolder::create_numbered(&base).unwrap()).collect();
    assert_eq!(names[2].path(), folder.path().join("runs/a.b-3"));
    // The third was given up before anything was written down.
    assert_eq!(newest(&base), None);
    for run in &names[..2] {
        fs::write(run.path().join(CONFIG), "").unwrap();
    }
    assert_eq!(newest(&base).as_deref(), Some(names[1].path()));
}

#[test]
fn metrics_are_cut_back_to_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), false).unwrap();
    for epoch in 1..=3 {
        run.append_metrics(&Disk, &record(epoch)).unwrap();
    }
    let path = folder.path().join(METRICS);
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"epoch\": 4, \"tra");
    fs::write(&path, text).unwrap();
    assert_eq!(run.rewind_metrics(&Disk, 2).unwrap(), [record(1), record(2)]);
    assert_eq!(run.rewind_metrics(&Disk, 2).unwrap().len(), 2);
    assert!(matches!(run.rewind_metrics(&Disk, 3), Err(RunError::Metrics { .. })));
    assert!(run.rewind_metrics(&Disk, 0).unwrap().is_empty());
}

#[test]
fn numbers_of_metrics_survive_being_read_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("run"), false).unwrap();
    // A parser that rounds twice takes the last digit of this one for another.
    let first = EpochRecord { epoch: 1, test_loss: 1.9107484251260758, ..EpochRecord::default() };
    run.append_metrics(&Disk, &first).unwrap();
    run.append_metrics(&Disk, &EpochRecord { epoch: 2, ..first.clone() }).unwrap();
    assert_eq!(run.rewind_metrics(&Disk, 1).unwrap(), std::slice::from_ref(&first));
    assert_eq!(read_metrics(run.path()).unwrap(), [first]);
    assert!(fs::read_to_string(run.path().join(METRICS)).unwrap().contains("1.9107484251260758"));
}

#[test]
fn logs_are_cut_back_to_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), false).unwrap();
    let lines = |log: Log| read_log::<serde_json::Value>(folder.path(), log);
    run.rewind_logs(&Disk, 3).unwrap();
    assert!(lines(Log::Histograms).unwrap().is_empty());
    for epoch in [1, 1, 2, 2, 3, 3] {
        run.append_log(&Disk, Log::Histograms, &[serde_json::json!({ "epoch": epoch })]).unwrap();
    }
    let path = folder.path().join("histograms.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    for (tail, epochs, kept) in
        [("{\"epoch\": 3, \"la", 3, 6), ("", 2, 4), ("{}\n{\"epoch\":1}\n", 3, 6), ("", 0, 0)]
    {
        fs::write(&path, whole.clone() + tail).unwrap();
        run.rewind_logs(&Disk, epochs).unwrap();
        assert_eq!(lines(Log::Histograms).unwrap().len(), kept, "{tail} {epochs}");
    }
    // A reader takes whole lines, and says which one is damaged.
    fs::write(&path, "{}\n{\"epoch\"").unwrap();
    assert_eq!(lines(Log::Histograms).unwrap().len(), 1);
    fs::write(&path, "{}\n{\"epoch\n").unwrap();
    assert!(lines(Log::Histograms).unwrap_err().to_string().contains("line 2"));
}

#[test]
fn runs_from_before_there_was_a_choice_read_pictures_as_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = crate::models::recipe("alexnet").unwrap();
    let settings = Settings { model: Some("alexnet".to_owned()), ..Settings::default() };
    let today = Config::resolve(settings, &recipe);
    let old = Config { preprocess: None, ..today.clone() };
    assert!(today.preprocess() == Preprocess::Imagenet && !old.to_toml().contains("preprocess"));
    fs::write(folder.path().join(CONFIG), old.to_toml()).unwrap();
    let read = Config::resolve(read_settings(folder.path()).unwrap(), &recipe);
    assert_eq!(read.preprocess(), Preprocess::Plain);
    assert!(read.hash() == old.hash() && read.hash() != today.hash());
}
