//! `completions`: a script for a shell.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Failure;
use crate::output;

/// Prints the script.
///
/// # Errors
/// [`Failure::Output`].
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bitplane", &mut script);
    output::result(String::from_utf8_lossy(&script).trim_end())
}
