//! Runs scripts of `tests/python` with the interpreter that `cargo xtask python` prepares.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// Standard output of `tests/python/SCRIPT ARGUMENTS`. The interpreter is that of `BITPLANE_PYTHON`, else of the environment in
/// `target/python`.
///
/// # Panics
///
/// Where there is no interpreter, and where the script fails; then with all it wrote.
pub fn python<S: AsRef<OsStr>>(script: &str, arguments: &[S]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let interpreter = env::var_os("BITPLANE_PYTHON").map_or_else(|| prepared(root), PathBuf::from);
    let output = Command::new(&interpreter)
        .arg(root.join("tests/python").join(script))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask python` first", interpreter.display()));
    let standard_output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script} ended with {}\n{standard_output}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    standard_output
}

fn prepared(root: &Path) -> PathBuf {
    root.join("target/python").join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" })
}
