//! `bench`: what the kernels, the steps of a network and the adapter itself reach. One file per subcommand.

mod check;
mod choices;
mod context;
mod crossover;
mod heat_map;
mod layer;
mod masks;
mod network;
mod packed_file;
mod product;
mod roof;
mod rows;
mod sample;
mod subject;
#[cfg(test)]
mod testing;
mod tried;
mod twin;

use self::context::Bench;
use self::network::Work;
use crate::cli::bench::{BenchArgs, BenchCommand, InferArgs, MeasureArgs};
use crate::exit::Failure;

/// Measures and prints rows; those measured before a failure are printed too.
///
/// # Errors
/// Wrong arguments, which are refused before a device is opened, a wrong result, a device failure, an interruption.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    match &args.what {
        BenchCommand::Roof(args) => with(&args.measure, |bench| roof::run(bench, args)),
        BenchCommand::Product(args) => {
            product::shapes(args)?;
            with(&args.measure, |bench| product::run(bench, args))
        }
        BenchCommand::Layer(args) => {
            layer::specs(args)?;
            with(&args.measure, |bench| layer::run(bench, args))
        }
        BenchCommand::Train(args) => {
            network::specs(args)?;
            with(&args.measure, |bench| network::run(bench, args, Work::Train))
        }
        BenchCommand::Infer(InferArgs { file: Some(path), threads, network }) => {
            let file = packed::File::open(path)?;
            with(&network.measure, |bench| packed_file::run(bench, network, &file, *threads))
        }
        BenchCommand::Infer(InferArgs { network, .. }) => {
            network::specs(network)?;
            with(&network.measure, |bench| network::run(bench, network, Work::Infer))
        }
        BenchCommand::Masks(args) => {
            masks::check(args)?;
            with(&args.measure, |bench| masks::run(bench, args))
        }
        BenchCommand::Crossover(args) => {
            crossover::check(args)?;
            with(&args.measure, |bench| crossover::run(bench, args))
        }
    }
}

fn with(args: &MeasureArgs, measure: impl FnOnce(&mut Bench) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut bench = Bench::open(args)?;
    let measured = measure(&mut bench);
    bench.rows.finish()?;
    measured
}
