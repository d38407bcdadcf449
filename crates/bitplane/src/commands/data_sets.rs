//! `data`: fetching sets, counting and showing what they hold.

mod fetch;
mod show;
mod stats;

use data::{Bad, Dataset};

use crate::cli::{DataArgs, DataCommand};
use crate::engine;
use crate::exit::Failure;
use crate::output::note;

/// Runs one of the three.
///
/// # Errors
/// A refused set, a failed download, a file that cannot be written.
pub fn run(args: &DataArgs) -> Result<(), Failure> {
    match &args.command {
        DataCommand::Fetch(args) => fetch::run(args),
        DataCommand::Stats(args) => stats::run(args),
        DataCommand::Show(args) => show::run(args),
    }
}

/// The set that `spec` describes, with its warnings printed.
fn open(spec: &str, skip_bad: bool) -> Result<Dataset, Failure> {
    let bad = if skip_bad { Bad::Skip } else { Bad::Refuse };
    let dataset = data::open_with(&crate::fetch::located(spec), engine::reading(bad))?;
    dataset.warnings.iter().for_each(|warning| note(&format!("warning: {}", data::printable(warning))));
    Ok(dataset)
}
