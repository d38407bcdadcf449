//! One file per verb.

mod bench;
mod completions;
mod config;
mod data_sets;
mod devices;
mod eval;
mod export;
mod groupnet;
mod plot;
mod predict;
mod products;
mod summary;
mod sweep;
mod train;
mod trained;
mod tune;

pub(crate) use self::config::resolve;

use crate::cli::Command;
use crate::exit::Failure;

/// Runs one verb.
///
/// # Errors
/// [`Failure`], whose [`Failure::exit`] is the program's exit code.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Train(args) => train::run(*args),
        Command::Eval(args) => eval::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Sweep(args) => sweep::run(*args),
        Command::Groupnet(args) => groupnet::run(args),
        Command::Tune(args) => tune::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Data(args) => data_sets::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Config(args) => config::run(*args),
        Command::Completions(args) => completions::run(&args),
    }
}
