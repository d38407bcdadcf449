//! The grammar of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Arguments of `data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What can be done with data sets.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Download a public set; only files with the pinned size and SHA-256 are kept
    Fetch(FetchArgs),
    /// Count images and classes, and measure mean and deviation of every channel
    Stats(StatsArgs),
    /// Draw images of every class on one sheet
    Show(ShowArgs),
}

/// Arguments of `data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The set: svhn, cifar10, cifar100, mnist or fashion-mnist
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Folder for its files [default: NAME in BITPLANE_DATA_DIR or the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Take what is there; fail where something is missing
    #[arg(long)]
    pub offline: bool,
    /// Address of a folder with the files, in place of the publisher's
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// TOML file with name, bytes and sha256 of every [[file]], for another edition of the set
    #[arg(long, value_name = "FILE", requires = "mirror")]
    pub manifest: Option<PathBuf>,
    /// Tries in a row that bring nothing before an address is given up
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub tries: u32,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `data stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Data set, as for `train --data`
    #[arg(value_name = "SPEC")]
    pub data: String,
    /// Leave out images that cannot be used, with a warning
    #[arg(long)]
    pub skip_bad: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// The split that a sheet shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// Images to learn from.
    Train,
    /// Images to measure on.
    Test,
}

/// Arguments of `data show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Data set, as for `train --data`
    #[arg(value_name = "SPEC")]
    pub data: String,
    /// The PNG file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Which images
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub split: SplitName,
    /// Images of each class
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub columns: u32,
    /// Classes at most, the first ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=128))]
    pub rows: u32,
    /// Leave out images that cannot be used, with a warning
    #[arg(long)]
    pub skip_bad: bool,
}
