//! The grammar of `sweep`.

use std::path::PathBuf;

use clap::Args;

use crate::settings::Settings;
use crate::sweep::shard::Shard;

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// TOML file with the points, or the name of one of the program's own plans (`sweep --list` names them)
    #[arg(value_name = "PLAN", required_unless_present = "list")]
    pub plan: Option<PathBuf>,
    /// Settings of all points, which win over the plan's; what the plan varies stays its own.
    #[command(flatten)]
    pub settings: Settings,
    /// Folder of the sweep [default: sweeps/PLAN]
    #[arg(long, value_name = "DIR", visible_alias = "output")]
    pub output_dir: Option<PathBuf>,
    /// Train only every N-th point, from the I-th on
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Trainings at the same time
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,
    /// List the points and how far each is, or without PLAN the program's own plans; train nothing
    #[arg(long)]
    pub list: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}
