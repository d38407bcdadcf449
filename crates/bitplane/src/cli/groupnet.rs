//! The grammar of `groupnet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::settings::Settings;

/// Arguments of `groupnet`.
#[derive(Debug, Args)]
pub struct GroupnetArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: GroupnetCommand,
}

/// The verbs of `groupnet`.
#[derive(Debug, Subcommand)]
pub enum GroupnetCommand {
    /// Train the ways to cut a model's blocks into groups, each briefly, and tabulate them; the same command goes on
    Search(Box<SearchArgs>),
}

/// Arguments of `groupnet search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Settings of all trainings; the search chooses --structure itself.
    #[command(flatten)]
    pub settings: Settings,
    /// Numbers of bases that are tried with every partition [default: that of --bases]
    #[arg(long, value_name = "K,K", value_delimiter = ',', conflicts_with = "bases")]
    pub try_bases: Vec<u32>,
    /// Leave out what multiplies more million pairs of bits an image in its quantized layers
    #[arg(long, value_name = "MILLIONS")]
    pub budget: Option<f64>,
    /// Most candidates; of more, so many are drawn
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub candidates: u32,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub draw_seed: u32,
    /// Seeds that every candidate is trained with [default: that of --seed]
    #[arg(long, value_name = "N,N", value_delimiter = ',', conflicts_with = "seed")]
    pub seeds: Vec<u64>,
    /// Folder of the search [default: sweeps/groupnet-MODEL]
    #[arg(long, value_name = "DIR", visible_alias = "output")]
    pub output_dir: Option<PathBuf>,
    /// Trainings at the same time
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,
    /// List the candidates with their cost and how far each is; train nothing
    #[arg(long)]
    pub list: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}
