//! The grammar of `plot`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is drawn beside accuracy and loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlotOf {
    /// Weights of the layer, latent and as codes.
    Weights,
    /// What the layer reads.
    Activations,
    /// Gradients of the layer's output, before quantization and as codes.
    Gradients,
    /// Shares of activations at code 0 and at the top code, layer by layer.
    Saturation,
    /// Shares of weights that changed their sign in an epoch, layer by layer.
    SignFlips,
    /// Mean of the samples' gradient scales, layer by layer.
    GradientScale,
    /// Learned bit lengths, epoch by epoch.
    Bits,
}

/// Arguments of `plot`.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// The picture, replaced where it exists; its name ends in .svg or .png
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Also write what the picture shows, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Draw this layer's histograms, which `train --histograms` has collected
    #[arg(long, value_name = "LAYER", requires = "of")]
    pub histogram: Option<String>,
    /// What to draw, where it is not accuracy and loss
    #[arg(long, value_name = "WHAT")]
    pub of: Option<PlotOf>,
    /// Epochs of the histograms [default: the first, middle and last collected]
    #[arg(long, value_name = "N,N", value_delimiter = ',', requires = "histogram")]
    pub epochs: Vec<u32>,
    /// Title of the picture
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
}
