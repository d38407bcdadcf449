//! Starting the program and looking at what it left.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A short training of the digits: 3 epochs of 6 steps, which more epochs may follow.
pub const SHORT: &str = "train --epochs 3 --limit-train-batches 6 --batch-size 25 --lr-scheduler constant";

/// What a finished program said.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Checks the exit code and that standard error holds every one of `words`.
    #[track_caller]
    pub fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// The JSON object that is the only line of standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).expect("one JSON object")
    }
}

/// The program with the words of `line` and then `more` as arguments, in `folder`.
pub fn command<S: AsRef<OsStr>>(folder: &Path, line: &str, more: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitplane"));
    command.current_dir(folder).env_remove("BITPLANE_FAULT").stdin(Stdio::null());
    // Kernels that somebody tuned on this machine are not what is tested.
    command.env("BITPLANE_CACHE_DIR", folder.join("cache"));
    command.env("BITPLANE_DATA_DIR", folder.join("data"));
    // Servers on the loopback interface are behind no proxy.
    for proxy in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_ascii_lowercase());
    }
    command.args(line.split_whitespace()).args(more);
    command
}

/// Runs the program to its end.
pub fn run(folder: &Path, line: &str) -> Ended {
    run_with(folder, line, &[])
}

/// Runs the program to its end with variables of the environment.
pub fn run_with(folder: &Path, line: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = command(folder, line, [""; 0]);
    command.envs(variables.iter().copied());
    Ended::from(command.output().expect("the program starts"))
}

/// Starts the program and lets it run.
pub fn start(folder: &Path, line: &str) -> Child {
    let mut command = command(folder, line, [""; 0]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The finished run of [`SHORT`] that tests copy; trained once.
pub fn finished_run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &format!("{SHORT} --output-dir run")).expect(0, &[]);
        let path = folder.path().join("run");
        (folder, path)
    });
    path
}

/// A folder with a copy of the finished run as `run`.
pub fn copy_of_run() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy(finished_run(), &folder.path().join("run"));
    folder
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// The bytes of the last checkpoint of a run.
pub fn last_checkpoint(run: &Path) -> Vec<u8> {
    fs::read(last_checkpoint_path(run)).expect("a checkpoint")
}

/// Where the last checkpoint of a run lies.
pub fn last_checkpoint_path(run: &Path) -> PathBuf {
    let manifest = manifest(run);
    run.join("checkpoints").join(manifest["last"].as_str().expect("a name"))
}

/// The manifest of a run.
pub fn manifest(run: &Path) -> Value {
    let text = fs::read_to_string(run.join("checkpoints/manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}
