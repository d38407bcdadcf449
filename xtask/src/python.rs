//! The Python environment of the tests: a virtual environment in the target folder with the pinned packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::root;

const REQUIREMENTS: &str = "tests/python/requirements.txt";
/// Holds the requirements that the environment was made for.
const STAMP: &str = "requirements.txt";

/// Makes the environment unless one with the same requirements is there; true, since whatever fails is an error.
pub fn run() -> Result<bool> {
    let wanted = fs::read_to_string(root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let folder = root().join("target/python");
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        println!("{} is up to date", folder.display());
        return Ok(true);
    }
    let system = if cfg!(windows) { "python" } else { "python3" };
    call(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder)).context(
        "Python 3.11 or newer with its `venv` module is needed: `sh setup.sh --checks` installs it on Linux",
    )?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    call(Command::new(interpreter(&folder)).args(install).arg(root().join(REQUIREMENTS)))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    println!("{} is ready", folder.display());
    Ok(true)
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" })
}

fn call(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
