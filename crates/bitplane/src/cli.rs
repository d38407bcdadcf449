//! The command line's grammar.

pub mod bench;
mod data_sets;
pub mod groupnet;
pub mod plot;
pub mod sweep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::data_sets::{DataArgs, DataCommand, FetchArgs, ShowArgs, SplitName, StatsArgs};
use crate::kernel_choice::KernelChoice;
use crate::method::{BitOrder, MaskGranularity};
use crate::settings::Settings;
use crate::structure::StructureArgs;

/// Trains and runs convolutional networks of a few bits, in those bits, on any GPU.
#[derive(Debug, Parser)]
#[command(name = "bitplane", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network; alone, it learns the embedded digits at 1,2,4 bits
    Train(Box<TrainArgs>),
    /// Measure a trained network on a test set
    Eval(EvalArgs),
    /// Classify images with a trained network
    Predict(PredictArgs),
    /// Write a trained network as one file for deployment
    Export(ExportArgs),
    /// Show the layers of a network, their sizes and costs
    Summary(SummaryArgs),
    /// Train every point of a plan, such as the paper's tables, and tabulate the results
    Sweep(Box<sweep::SweepArgs>),
    /// Search among networks made of bases
    Groupnet(groupnet::GroupnetArgs),
    /// Measure which kernels are fastest on an adapter, for later trainings and evaluations there
    Tune(TuneArgs),
    /// List the adapters that --device can name
    Devices(DevicesArgs),
    /// Measure kernels, steps of a network and the adapter's own limits
    Bench(Box<bench::BenchArgs>),
    /// Fetch public data sets, count what a set holds, draw its pictures
    Data(DataArgs),
    /// Draw what runs have recorded: accuracy and loss over epochs
    Plot(plot::PlotArgs),
    /// Print the settings that a training would use, or check a file of settings
    Config(Box<ConfigArgs>),
    /// Print a completion script
    Completions(CompletionsArgs),
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Settings given as flags.
    #[command(flatten)]
    pub settings: Settings,
    /// TOML file with settings; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the run [default: runs/MODEL-DATA-BITS-sSEED, with a number where it exists]
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Go on with a run: its folder, one of its checkpoint files, or `last` or `best` of --output-dir
    #[arg(long, value_name = "PATH|last|best", num_args = 0..=1, default_missing_value = "last")]
    pub resume: Option<PathBuf>,
    /// Start anew in an --output-dir that holds a run, which is lost
    #[arg(long, requires = "output_dir", conflicts_with = "resume")]
    pub overwrite: bool,
    /// Measure first which kernels are fastest on the adapter, as `tune` does
    #[arg(long)]
    pub tune: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Take the end of standard input for Ctrl-C; a sweep ties its trainings to itself with it
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// The checkpoint that a verb uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckpointName {
    /// The one with the best test accuracy.
    Best,
    /// The newest.
    Last,
}

/// What a trained network is cut to before it is used.
#[derive(Clone, Debug, Default, Args)]
pub struct CutArgs {
    /// Use the upper bits of its codes alone: K of weights and activations, or WK,AK
    #[arg(long, value_name = "K|WK,AK")]
    pub bits: Option<String>,
    /// Bits of the weights or activations that single layers make, where they are not those: LAYER=BITS, separated by commas
    /// or on the lines of a file
    #[arg(long, value_name = "LIST|FILE")]
    pub bits_map: Option<String>,
    /// Take batch norm's statistics again after the cut, from the training images of this data set
    #[arg(long, value_name = "DATA")]
    pub reestimate: Option<String>,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of the run, or packed file
    #[arg(value_name = "RUN|FILE")]
    pub run: PathBuf,
    /// Data set, where it is not the one trained on
    #[arg(long, value_name = "SPEC", visible_alias = "data-path")]
    pub data: Option<String>,
    /// What the network is cut to.
    #[command(flatten)]
    pub cut: CutArgs,
    /// Which checkpoint of the run [default: best]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<CheckpointName>,
    /// Adapter by index, name or type
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Arithmetic of products of bit planes, where it is not the training's; the results are the same
    #[arg(long, value_name = "KIND")]
    pub kernels: Option<KernelChoice>,
    /// Evaluate on this many batches only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit_test_batches: Option<u32>,
    /// Admit NaN and infinity in the checkpoint
    #[arg(long)]
    pub allow_nonfinite: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Folder of the run, or packed file
    #[arg(value_name = "RUN|FILE")]
    pub run: PathBuf,
    /// PNG or JPEG files
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// Classes to show for each image
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: u32,
    /// What the network is cut to.
    #[command(flatten)]
    pub cut: CutArgs,
    /// Which checkpoint of the run [default: best]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<CheckpointName>,
    /// Adapter by index, name or type
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Admit NaN and infinity in the checkpoint
    #[arg(long)]
    pub allow_nonfinite: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Form of an exported network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Bit planes and integer thresholds in one safetensors file.
    Packed,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Form of the file
    #[arg(long, value_name = "FORM", default_value = "packed")]
    pub format: ExportFormat,
    /// The file, which is replaced where it exists
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Which checkpoint [default: best]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<CheckpointName>,
    /// Adapter by index, name or type
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `summary`.
#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// Folder of a run, in place of the flags
    #[arg(value_name = "RUN", conflicts_with_all = ["model", "bits", "widths", "bit_mix", "activation_mix", "structure", "image", "classes"])]
    pub run: Option<PathBuf>,
    /// Network
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Bits of weights, activations and gradients, each 1 to 8 or 32
    #[arg(long, value_name = "W,A,G")]
    pub bits: Option<String>,
    /// Widths of a FlexNet, the widest first
    #[arg(long, value_name = "N,K,...", value_delimiter = ',')]
    pub widths: Option<Vec<u32>>,
    /// Shares of the weights by their bits, as of train
    #[arg(long, value_name = "BITS:SHARE,BITS:SHARE")]
    pub bit_mix: Option<String>,
    /// Shares of the channels of activations by their bits, as of train
    #[arg(long, value_name = "BITS:SHARE,BITS:SHARE")]
    pub activation_mix: Option<String>,
    /// Which weights --bit-mix gives most bits
    #[arg(long, value_name = "ORDER", requires = "bit_mix")]
    pub bit_order: Option<BitOrder>,
    /// What shares a number of bits under --bit-mix
    #[arg(long, value_name = "WHAT", requires = "bit_mix")]
    pub mask_granularity: Option<MaskGranularity>,
    /// What rebuilds the network from bases.
    #[command(flatten)]
    pub structure: StructureArgs,
    /// Height, width and channels of an image [default: 8x8x1 for digits, else 32x32x3]
    #[arg(long, value_name = "HxWxC", value_parser = parse_image)]
    pub image: Option<[u32; 3]>,
    /// Number of classes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub classes: Option<u32>,
    /// How the table is printed on standard output
    #[arg(short, long, value_name = "FORMAT", default_value = "plain", conflicts_with = "json")]
    pub output: TableFormat,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// With lines, for a terminal.
    Plain,
    /// Markdown.
    Md,
}

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Network
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Bits of weights, activations and gradients, each 1 to 8 or 32
    #[arg(long, value_name = "W,A,G")]
    pub bits: Option<String>,
    /// What rebuilds the network from bases.
    #[command(flatten)]
    pub structure: StructureArgs,
    /// Images per step [default: the model's]
    #[arg(short, long, value_name = "N")]
    pub batch_size: Option<u32>,
    /// Height, width and channels of an image [default: 8x8x1 for digits, else 32x32x3]
    #[arg(long, value_name = "HxWxC", value_parser = parse_image)]
    pub image: Option<[u32; 3]>,
    /// Number of classes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub classes: Option<u32>,
    /// Adapter by index, name or type
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Measure kernels of this arithmetic alone
    #[arg(long, value_name = "KIND")]
    pub kernels: Option<KernelChoice>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// TOML file to check and complete
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Settings given as flags, which win over the file.
    #[command(flatten)]
    pub settings: Settings,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

fn parse_image(text: &str) -> Result<[u32; 3], String> {
    let sides: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
    match sides.ok().as_deref() {
        Some(&[height, width, channels])
            if (1..=16_384).contains(&height)
                && (1..=16_384).contains(&width)
                && (1..=1024).contains(&channels) =>
        {
            Ok([height, width, channels])
        }
        _ => Err("write HxWxC such as 32x32x3, sides 1 to 16384, channels 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_have_torchvisions_names() {
        let line = "bitplane train --data-path digits --model digits -b 32 --epochs 3 --opt adam --lr 1e-3 --wd 1e-4 \
                    --momentum 0.9 --lr-scheduler cosine --lr-warmup-epochs 1 --lr-step-size 2 --lr-gamma 0.1 \
                    --output-dir x --print-freq 5 --resume";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Train(args) = cli.command else { panic!("not train") };
        assert_eq!(args.settings.weight_decay, Some(1e-4));
        assert_eq!(args.resume.as_deref(), Some("last".as_ref()));
    }

    #[test]
    fn images_have_three_sides() {
        assert_eq!(parse_image("8x9x1"), Ok([8, 9, 1]));
        for wrong in ["8x8", "0x8x1", "8x8x1x1", "axbxc", ""] {
            assert!(parse_image(wrong).is_err(), "{wrong}");
        }
    }
}
