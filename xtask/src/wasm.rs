//! The crates that a browser could run compile for it and do nothing that a browser cannot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{cargo, outcome::Outcome, root};

const CRATES: [&str; 5] = ["reference", "recording", "kernels", "graph", "gpu"];
const TARGET: &str = "wasm32-unknown-unknown";

// Threads, files, clocks, sockets, processes and blocking waits.
const DENIED: [&str; 15] = [
    "thread",
    "mpsc",
    "fs",
    "net",
    "process",
    "Instant",
    "SystemTime",
    "pollster",
    "block_on",
    "recv",
    "Condvar",
    "Barrier",
    "stdin",
    "PollType::Wait",
    "wait_indefinitely",
];

// The native halves of `gpu`, compiled out for a browser, and the question whether a panic is under way, which starts no
// thread.
const ALLOWED: [(&str, &str); 3] = [
    ("crates/gpu/src/clock.rs", "Instant"),
    ("crates/gpu/src/quiet.rs", "thread"),
    ("crates/gpu/src/wait.rs", "PollType::Wait"),
];

/// Runs the task; one check is the compilation or the text of one crate. True if nothing failed.
pub fn run() -> Result<bool> {
    let mut outcome = Outcome::default();
    for name in CRATES {
        outcome.count(cargo(&["check", "--quiet", "--target", TARGET, "--package", name], &[])?);
        let mut files = Vec::new();
        collect(&root().join("crates").join(name).join("src"), &mut files)?;
        let mut found = Vec::new();
        for file in files {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let path = file.strip_prefix(root()).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            found.extend(scan(&path, &text));
        }
        for line in &found {
            println!("{line}");
        }
        outcome.count(found.is_empty());
    }
    Ok(outcome.close())
}

/// Source files below `folder`, without those that hold tests only.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for item in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = item?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem == "tests" || stem.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Denied names in the code of `text`, up to its test module.
fn scan(path: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let line = without_strings(line);
        let line = line.split("//").next().unwrap_or_default();
        for name in DENIED {
            if contains_word(line, name) && !ALLOWED.contains(&(path, name)) {
                found.push(format!("{path}:{number}: `{name}`"));
            }
        }
    }
    found
}

/// `line` without what stands between quotation marks.
fn without_strings(line: &str) -> String {
    line.split('"').step_by(2).collect()
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_names_are_found_in_code_only() {
        let denied = ["use std::thread;", "use std::{fs, io};", "let t = Instant::now();", "x.recv()"];
        for line in denied {
            assert_eq!(scan("a.rs", line).len(), 1, "{line}");
        }
        let allowed =
            ["// a thread", "thread_local! {}", "let offset = refs::new();", r#"let a = "thread";"#];
        for line in allowed {
            assert!(scan("a.rs", line).is_empty(), "{line}");
        }
        assert!(scan("a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n use std::fs;\n}").is_empty());
        assert!(scan("crates/gpu/src/clock.rs", "Instant::now()").is_empty());
    }
}
