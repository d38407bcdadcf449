//! Repository tasks: `cargo xtask validate`, `bisect`, `profile`, `translate`, `layout`, `wasm`,
//! `python`, `readme`, `ci`.

mod bisect;
mod ci;
mod device;
mod layout;
mod model;
mod mutate;
mod outcome;
mod profile;
mod python;
mod readme;
mod shaders;
mod translate;
mod validate;
mod wasm;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Proves the shaders and checks the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs every case of every kernel on an adapter and compares with the CPU reference.
    Validate(validate::Options),
    /// Runs one training step of a model dispatch by dispatch, each on the device's own inputs, and names the first that
    /// leaves its bounds.
    Bisect(bisect::Options),
    /// Times every kernel of one training step of a model.
    Profile(profile::Options),
    /// Translates every shader to SPIR-V, HLSL and MSL, without a device.
    Translate(translate::Options),
    /// Compares bindings, parameters and constants of every shader with its host file.
    Layout,
    /// Checks the crates that have to run in a browser.
    Wasm,
    /// Prepares the Python packages that some tests need, in `target/python`.
    Python,
    /// Checks the links of the README.
    Readme,
    /// Runs everything, cheapest first, up to the first failure.
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Validate(options) => validate::run(&options),
        Task::Bisect(options) => bisect::run(&options),
        Task::Profile(options) => profile::run(&options),
        Task::Translate(options) => translate::run(&options),
        Task::Layout => layout::run(),
        Task::Wasm => wasm::run(),
        Task::Python => python::run(),
        Task::Readme => readme::run(),
        Task::Ci(options) => ci::run(&options),
    };
    match result {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root folder").to_path_buf()
}

/// Runs cargo in the root folder; true if it succeeds.
fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<bool> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).current_dir(root());
    let status = command.status().with_context(|| format!("cannot start cargo {}", arguments.join(" ")))?;
    Ok(status.success())
}
