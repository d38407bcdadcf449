//! The training of one point, in a process of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::folder::{Attempt, Folder};
use super::point::Point;
use crate::exit::Failure;
use crate::lock::Lock;
use crate::output::note;
use crate::run::RunError;
use crate::storage::StorageError;

/// How often a running training is looked at.
const POLL: Duration = Duration::from_millis(20);
/// A training whose sweep was killed ends after its running step; so long it may still hold its folder.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of a message that are kept.
const MESSAGE_LIMIT: usize = 2000;

/// How a training ended.
pub enum Ending {
    /// The process ended by itself: well with exit code 0, else as the attempt says.
    Ended(Attempt),
    /// It was asked to stop, and saved what it had.
    Stopped,
}

/// Trains `point` with the program at `program`, or goes on with it, until it ends or `stop` says so. Its lines of progress go
/// to standard error with `label` before them.
///
/// # Errors
/// The file system's, or a program that does not start.
pub fn train(
    program: &Path,
    folder: &Folder,
    point: &Point,
    label: &str,
    stop: impl Fn() -> bool,
) -> Result<Ending, Failure> {
    let settings = folder.begin(point)?;
    let run = folder.run(point);
    if !wait_for(&run, &stop) {
        return Ok(Ending::Stopped);
    }
    let mut command = Command::new(program);
    command.arg("train").arg("--config").arg(settings).args(["--stop-with-stdin", "--json"]);
    command.arg(if folder.has_run(point) { "--resume" } else { "--output-dir" }).arg(&run);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    apart(&mut command);
    let start = |source: io::Error| StorageError::at("start", program)(source);
    let mut child = command.spawn().map_err(start)?;
    let log_path = folder.log(point);
    let opened = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = opened.map_err(StorageError::at("open", &log_path))?;
    let reader = follow(child.stderr.take().expect("it is piped"), log, format!("{label} {}", point.name));
    let (status, stopped) = wait(&mut child, stop).map_err(start)?;
    let said = reader.join().unwrap_or_default();
    if stopped && status.code() != Some(0) {
        return Ok(Ending::Stopped);
    }
    let message = if said.is_empty() { status.to_string() } else { said };
    Ok(Ending::Ended(Attempt::new(point, status.code(), message)))
}

/// Waits until nobody trains in `run`; false where `stop` came first. After a while the training itself says who does.
fn wait_for(run: &Path, stop: impl Fn() -> bool) -> bool {
    let since = Instant::now();
    while run.exists() && since.elapsed() < PATIENCE {
        match Lock::take(run) {
            Err(RunError::Locked { .. }) if stop() => return false,
            Err(RunError::Locked { .. }) => thread::sleep(POLL),
            // What else is wrong with the folder is for the training to say.
            Ok(_) | Err(_) => break,
        }
    }
    true
}

/// Waits for the end, which closing the child's standard input asks for once `stop` says so; with whether it was asked.
fn wait(child: &mut Child, stop: impl Fn() -> bool) -> io::Result<(ExitStatus, bool)> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, child.stdin.is_none()));
        }
        if stop() {
            child.stdin = None;
        }
        thread::sleep(POLL);
    }
}

/// Copies what the child says to `log`, its epochs and warnings also to standard error; gives its last error.
fn follow(stderr: ChildStderr, mut log: File, label: String) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut error: Option<String> = None;
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = data::printable(String::from_utf8_lossy(&line).trim_end());
            // The training matters more than its log.
            let _ = writeln!(log, "{line}");
            if line.starts_with("epoch ") && line.contains(": train loss ") || line.starts_with("warning:") {
                note(&format!("{label}: {line}"));
            }
            if let Some(("error" | "internal error", first)) = line.split_once(": ") {
                error = Some(first.to_owned());
            } else if let Some(error) = &mut error {
                error.push(' ');
                error.push_str(&line);
            }
        }
        error.map(|error| error.chars().take(MESSAGE_LIMIT).collect()).unwrap_or_default()
    })
}

/// Keeps a Ctrl-C on the terminal from the child, which is told to stop by this process alone and once.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Keeps a Ctrl-C on the terminal from the child, which is told to stop by this process alone and once.
#[cfg(windows)]
fn apart(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// There is no Ctrl-C elsewhere.
#[cfg(not(any(unix, windows)))]
fn apart(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_training_waits_until_another_has_left_its_folder() {
        let run = tempfile::tempdir().unwrap();
        let lock = Lock::take(run.path()).unwrap();
        assert!(!wait_for(run.path(), || true), "a sweep that stops does not wait");
        let has_left = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(2 * POLL);
                has_left.store(true, Ordering::SeqCst);
                drop(lock);
            });
            assert!(wait_for(run.path(), || false) && has_left.load(Ordering::SeqCst));
        });
        assert!(wait_for(&run.path().join("none"), || true), "nobody trains in a folder that is not there");
    }
}
