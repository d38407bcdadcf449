//! What goes into a session and what comes out.

use kernels::ColorGather;

use crate::{KernelPlan, Optimizer};

/// How pictures of a data set become the network's input: resize, then a crop or border of `out` size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Rows of a stored picture.
    pub source_height: u32,
    /// Columns of a stored picture.
    pub source_width: u32,
    /// Channels.
    pub channels: u32,
    /// Rows after the bilinear resize.
    pub resize_height: u32,
    /// Columns after the bilinear resize.
    pub resize_width: u32,
    /// Rows of the network's input.
    pub out_height: u32,
    /// Columns of the network's input.
    pub out_width: u32,
}

impl InputSpec {
    /// Bytes of a stored picture.
    pub fn source_len(&self) -> u32 {
        self.source_height * self.source_width * self.channels
    }
}

/// What a [`Transform`](crate::Transform) changes in training pictures besides mirror and crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// Brightness and contrast.
    Light,
    /// The part that is shown, and its colors; of pictures with three channels.
    Color,
}

impl Change {
    /// Words a sample that say what changes.
    pub(crate) fn words(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Light => 2,
            Self::Color => ColorGather::VIEW,
        }
    }
}

/// What a session is built for.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOptions {
    /// Samples of a training batch, and the most that one evaluation takes.
    pub batch_size: u32,
    /// Update rule.
    pub optimizer: Optimizer,
    /// Seed of parameters, stochastic rounding and dropout.
    pub seed: u64,
    /// Input pictures.
    pub input: InputSpec,
    /// Pictures that the session holds on its device, for batches that are a [`Selection`](crate::Selection) of them; 0
    /// where each [`Batch`](crate::Batch) brings its pixels.
    pub resident: u32,
    /// What changes in training pictures besides mirror and crop; evaluation shows them as they are.
    pub change: Change,
    /// Position of the first sample in the batch that the stochastic rounding and dropout are numbered by: 0, or where
    /// several sessions share a batch, the samples before this one's part.
    pub first_sample: u32,
    /// A binding limit below the executor's.
    pub max_binding_words: Option<u64>,
    /// Bytes that all buffers may take together; unlimited where nothing is known about the memory.
    pub max_memory_bytes: Option<u64>,
    /// Train with running statistics as constants.
    pub frozen_batch_norm: bool,
    /// Evaluate in the deployed form, with integer thresholds; otherwise in f32, as a diagnostic.
    pub fold: bool,
    /// Train with one kernel a pass for batch norm, pool and quantization between two convolutions; otherwise with one for
    /// each, as a diagnostic.
    pub fuse: bool,
    /// Which kernels compute the products.
    pub kernels: KernelPlan,
}

/// Results of one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step.
    pub step: u32,
    /// Mean loss of the batch.
    pub loss: f32,
    /// Samples whose label has the largest score.
    pub top1: u32,
    /// Samples whose label is among the five largest scores.
    pub top5: u32,
    /// Samples of the batch.
    pub samples: u32,
}

/// Results of one evaluated batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Sum of the losses.
    pub loss_sum: f64,
    /// Samples whose label has the largest score.
    pub top1: u32,
    /// Samples whose label is among the five largest scores.
    pub top5: u32,
    /// Samples of the batch.
    pub samples: u32,
}

/// A tensor of the saved state.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Layer, parameter and, for optimizer state, the moment.
    pub name: String,
    /// Sizes, row-major.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}
