//! The grammar of `bench`: what is measured, over which grid, and how rows are printed.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use graph::{BitMix, Bits};

use crate::grid::{Numbers, PlanePairs};
use crate::kernel_choice::KernelChoice;
use crate::method::MaskGranularity;
use crate::structure::StructureArgs;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: BenchCommand,
}

/// What is measured. Numbers are lists such as `64,128`, with ranges `64-512*2` (doubled) and `1-8+1` (stepped).
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The adapter's own limits: population counts, dot products, multiply-adds, copies
    Roof(RoofArgs),
    /// Products of packed operands beside their f32 twin
    Product(ProductArgs),
    /// Training and evaluation steps of a model, layer by layer
    Layer(LayerArgs),
    /// Training steps of a model beside its f32 twin
    Train(NetworkArgs),
    /// Deployed evaluation of a model beside its f32 twin, or of a packed file on the adapter and on the processor
    Infer(InferArgs),
    /// Products of weights with bits of their own beside those of 1-bit weights (see --bit-mix of train)
    Masks(MasksArgs),
    /// Which kernel wins for each pair of widths
    Crossover(CrossoverArgs),
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A Markdown table.
    Md,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON array.
    Json,
    /// One JSON object a line, each as soon as it is measured.
    Jsonl,
}

/// What all measurements share.
#[derive(Clone, Debug, Args)]
pub struct MeasureArgs {
    /// Timed repetitions; the row holds their median, minimum and maximum
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repetitions: u32,
    /// How rows are printed on standard output
    #[arg(short, long, value_name = "FORMAT", default_value = "md")]
    pub output: Format,
    /// Adapter by index, name or type
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
}

/// Arguments of `bench roof`.
#[derive(Debug, Args)]
pub struct RoofArgs {
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// Operation on words of bit planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// Unit planes on the left.
    And,
    /// Sign planes on both sides.
    Xor,
}

/// Arguments of `bench product`.
#[derive(Debug, Args)]
pub struct ProductArgs {
    /// Rows of the left operand
    #[arg(short, long, value_name = "LIST", default_value = "512")]
    pub m: Numbers,
    /// Rows of the right operand
    #[arg(short, long, value_name = "LIST", default_value = "512")]
    pub n: Numbers,
    /// Elements that are multiplied and summed
    #[arg(short, long, value_name = "LIST", default_value = "1152")]
    pub k: Numbers,
    /// Planes of the left and of the right operand, e.g. 1x2,2x4 or 1-4x1-4
    #[arg(long, value_name = "LIST", default_value = "1x1")]
    pub planes: PlanePairs,
    /// AND or XOR, or both
    #[arg(long, value_name = "FORM", value_delimiter = ',', default_value = "and")]
    pub form: Vec<FormArg>,
    /// auto as in training, an arithmetic such as bits, f32 (the twin), all, or names of kernels such as register
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    pub kernels: Vec<String>,
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// Arguments of `bench train` and `bench infer`.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Networks
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "digits")]
    pub model: Vec<String>,
    /// Bits of weights, activations and gradients; may be given several times
    #[arg(long, value_name = "W,A,G", action = ArgAction::Append, default_value = "1,2,4")]
    pub bits: Vec<Bits>,
    /// What rebuilds the networks from bases; the f32 twin is the network without.
    #[command(flatten)]
    pub structure: StructureArgs,
    /// Several numbers of bases, measured in turns with one base
    #[arg(long, value_name = "LIST", requires = "structure", conflicts_with = "bases")]
    pub try_bases: Option<Numbers>,
    /// Images of a batch
    #[arg(short, long, value_name = "LIST", default_value = "32")]
    pub batch_size: Numbers,
    /// Arithmetics of the products, measured in turns with the f32 twin
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    pub kernels: Vec<KernelChoice>,
    /// Add a row for every kernel with its share of the time
    #[arg(long)]
    pub profile: bool,
    /// Seed of pictures and parameters
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// Arguments of `bench infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// Packed file, in place of a model and its bits
    #[arg(value_name = "FILE", conflicts_with_all = ["model", "bits", "structure", "try_bases", "profile"])]
    pub file: Option<PathBuf>,
    /// Threads of the processor that run a packed file [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), requires = "file")]
    pub threads: Option<u32>,
    /// Networks and batches.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Arguments of `bench layer`.
#[derive(Debug, Args)]
pub struct LayerArgs {
    /// Networks
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "digits")]
    pub model: Vec<String>,
    /// Bits of weights, activations and gradients; may be given several times
    #[arg(long, value_name = "W,A,G", action = ArgAction::Append, default_value = "1,2,4")]
    pub bits: Vec<Bits>,
    /// What rebuilds the networks from bases; the f32 twin is the network without.
    #[command(flatten)]
    pub structure: StructureArgs,
    /// Images of a batch
    #[arg(short, long, value_name = "LIST", default_value = "32")]
    pub batch_size: Numbers,
    /// Arithmetic of the products
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub kernels: KernelChoice,
    /// Only these layers
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub layer: Vec<String>,
    /// Seed of pictures and parameters
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// Arguments of `bench masks`.
#[derive(Debug, Args)]
pub struct MasksArgs {
    /// Rows of the left operand
    #[arg(short, long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub m: u32,
    /// Output channels
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub n: u32,
    /// Elements that are multiplied and summed
    #[arg(short, long, value_name = "N", default_value_t = 1152, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Planes of the activations
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub planes: u32,
    /// Shares of the weights by their bits
    #[arg(long = "bit-mix", value_name = "BITS:SHARE,BITS:SHARE", default_value = "1:0.7,2:0.2,3:0.1")]
    pub mix: BitMix,
    /// What shares a number of bits
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "element,word,channel")]
    pub mask_granularity: Vec<MaskGranularity>,
    /// Arithmetic of the products
    #[arg(long, value_name = "KIND", default_value = "bits")]
    pub kernels: KernelChoice,
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// Arguments of `bench crossover`.
#[derive(Debug, Args)]
pub struct CrossoverArgs {
    /// Rows of the left operand
    #[arg(short, long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub m: u32,
    /// Rows of the right operand
    #[arg(short, long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub n: u32,
    /// Elements that are multiplied and summed
    #[arg(short, long, value_name = "LIST", default_value = "288,1152")]
    pub k: Numbers,
    /// Planes of the left and of the right operand
    #[arg(long, value_name = "LIST", default_value = "1-8*2x1-8*2")]
    pub widths: PlanePairs,
    /// AND or XOR
    #[arg(long, value_name = "FORM", default_value = "and")]
    pub form: FormArg,
    /// Kernels that compete with the f32 twin: bits is the likely best one, all is every candidate
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "bits")]
    pub kernels: Vec<String>,
    /// Draw the winners as an SVG picture
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// What all measurements share.
    #[command(flatten)]
    pub measure: MeasureArgs,
}
