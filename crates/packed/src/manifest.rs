//! The description of a network that a packed file carries as JSON beside its tensors.

mod planes;

pub use planes::{
    BitConvolution, CodeGroup, Codes, Form, Mask, Planes, Quantize, Rounding, Rule, WeightGroup,
};
use serde::{Deserialize, Serialize};

/// Latest version of the format that `docs/packed-format.md` describes. A file has the earliest version that holds it.
pub const FORMAT: u64 = 4;

/// The name of the preprocessed picture among the inputs of layers.
pub const IMAGE: &str = "image";

/// Everything but the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`Manifest::needed_format`].
    pub format: u64,
    /// Pictures as they come.
    pub image: Picture,
    /// How a picture becomes the input of the first layers.
    pub preprocessing: Preprocessing,
    /// Class names, in the order of the scores.
    pub classes: Vec<String>,
    /// Layers, each behind its inputs; the last one gives the scores.
    pub layers: Vec<Layer>,
    /// The same network with fewer planes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub narrower: Vec<Narrower>,
    /// Where the network comes from.
    pub provenance: Provenance,
}

/// Layers that read the first of the planes of another network's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrower {
    /// Bits of weights and activations.
    pub bits: [u32; 2],
    /// As [`Manifest::layers`].
    pub layers: Vec<Layer>,
}

/// Size of a picture of bytes `[row][column][channel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
}

/// Bilinear resize, then the middle of it, then a difference and a quotient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Rows and columns after the resize.
    pub resize: [u32; 2],
    /// Rows and columns of the middle that is kept; black outside the picture.
    pub crop: [u32; 2],
    /// What is subtracted from the values of each channel, the last also from those of further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub subtract: [f32; 3],
    /// What the differences are divided by.
    pub divide_by: DivideBy,
}

fn is_zero(values: &[f32; 3]) -> bool {
    *values == [0.0; 3]
}

/// A divisor of all channels, or one of each; the last is also that of further ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DivideBy {
    /// The same for all.
    All(u32),
    /// One for each.
    Each([f32; 3]),
}

impl DivideBy {
    /// One for each channel.
    pub fn each(self) -> [f32; 3] {
        match self {
            Self::All(divisor) => [divisor as f32; 3],
            Self::Each(divisors) => divisors,
        }
    }
}

impl Preprocessing {
    /// What a network reads where the resized picture holds `value`.
    pub(crate) fn scaled(&self, value: f32, channel: usize) -> f32 {
        let at = channel.min(2);
        (value - self.subtract[at]) / self.divide_by.each()[at]
    }
}

/// Where a network comes from; nothing of this is needed to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name and version of the program that wrote the file.
    pub program: String,
    /// Model.
    pub model: String,
    /// Bits of weights, activations and gradients; 32 is f32.
    pub bits: [u32; 3],
    /// Seed of the training.
    pub seed: u64,
    /// Kind of data set that it was trained on.
    pub data: String,
    /// SHA-256 of the settings of the training, in hexadecimal.
    pub settings_sha256: String,
    /// Epochs of training.
    pub epoch: u32,
    /// Steps of training.
    pub step: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Name, the first part of its tensors' names.
    pub name: String,
    /// Names of layers before it, or [`IMAGE`].
    pub inputs: Vec<String>,
    /// What it does.
    pub operation: Operation,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Convolution of f32 with f32 weights: tensor `weight`, and `bias` where it has one.
    Convolution(Convolution),
    /// `(x - mean) * slope + beta` with `slope = gamma * (1 / sqrt(variance + epsilon))`: tensor `normalization` with the
    /// rows gamma, beta, mean and variance.
    BatchNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Maximum over the taps inside the map, in f32.
    MaxPool(Window),
    /// Mean over the taps inside the map.
    AveragePool(Window),
    /// Mean over all pixels.
    GlobalAveragePool,
    /// `min(max(x, 0), 1)`.
    Clip,
    /// `min(|x|, 1)`.
    Magnitude,
    /// `min(max(x, 0), limit)`.
    ClipTo {
        /// Upper end of the range.
        limit: f32,
    },
    /// `min(|x|, limit)`.
    MagnitudeTo {
        /// Upper end of the range.
        limit: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// `factor * x`.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// Sum of two inputs.
    Add,
    /// Sum of inputs with a factor each, in order: tensor `factors`.
    WeightedSum,
    /// A number added to each channel: tensor `bias`.
    Bias,
    /// The mean of |x| over the channels of each pixel.
    ChannelMagnitude,
    /// The sum of one channel over the taps inside the map, by the number of all taps of the window.
    WindowMean(Window),
    /// The first input with each pixel times its factor, the second input, which has one channel.
    ScalePositions,
    /// f32 to codes.
    Quantize(Quantize),
    /// Codes to f32.
    Dequantize,
    /// Convolution with planes of weights: of codes to integers where each side has one group of planes, else to f32, and of
    /// f32 to f32. A second input has a factor of each output position; then the result is f32 too. Tensors `planes` and `scale`,
    /// or those of every [`WeightGroup`].
    BitConvolution(BitConvolution),
    /// Integers to codes by comparisons, and the maximum of codes over a window: tensors `thresholds` and `ascending`.
    Threshold {
        /// Bits of a code.
        bits: u32,
        /// The window, where there is a pool.
        pool: Option<Window>,
        /// What a code stands for, where that is not its multiple of `1 / n`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codes: Option<Codes>,
    },
    /// Integers to f32, by the steps of codes and weights and the weights' scale.
    Rescale,
}

/// Sizes of a convolution in f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Output channels.
    pub channels: u32,
    /// Groups of channels.
    pub groups: u32,
    /// True where a bias is added.
    pub bias: bool,
    /// The window.
    pub window: Window,
    /// What lies around the map.
    #[serde(default, skip_serializing_if = "is_zero_border")]
    pub outside: f32,
}

fn is_zero_border(value: &f32) -> bool {
    *value == 0.0
}

/// A window that moves over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows and columns.
    pub kernel: [u32; 2],
    /// Step in both directions.
    pub stride: u32,
    /// Rows above and below, columns left and right of the map.
    pub padding: [u32; 4],
}

impl Manifest {
    /// The earliest version of the format that holds this.
    pub fn needed_format(&self) -> u64 {
        let all = self.layers.iter().chain(self.narrower.iter().flat_map(|other| &other.layers));
        let least = if self.narrower.is_empty() { 1 } else { 2 };
        let of = |layer: &Layer| match &layer.operation {
            Operation::Quantize(Quantize { codes: Some(Codes { apart: true, .. }), .. }) => 4,
            Operation::ClipTo { .. } | Operation::MagnitudeTo { .. } => 3,
            Operation::ChannelMagnitude | Operation::WindowMean(_) | Operation::ScalePositions => 3,
            Operation::BitConvolution(conv) if conv.apart || layer.inputs.len() > 1 => 3,
            Operation::Convolution(conv) if !is_zero_border(&conv.outside) => 3,
            Operation::Magnitude | Operation::WeightedSum | Operation::Bias => 2,
            Operation::Quantize(quantize) if quantize.rule.is_some() || quantize.codes.is_some() => 2,
            Operation::Threshold { codes: Some(_), .. } => 2,
            Operation::BitConvolution(conv) if !conv.weights.is_empty() => 2,
            _ => 1,
        };
        all.map(of).fold(least, u64::max)
    }
}

impl Window {
    /// Rows and columns of the output over a map of `height` x `width`, or `None` where the window does not fit or could
    /// lie in the padding alone.
    pub fn output(&self, height: u32, width: u32) -> Option<[u32; 2]> {
        let axis = |size: u32, kernel: u32, [before, after]: [u32; 2]| {
            let padded = size.checked_add(before)?.checked_add(after)?;
            let fits = kernel > 0 && before < kernel && after < kernel && padded >= kernel && size > 0;
            (fits && self.stride > 0).then(|| (padded - kernel) / self.stride + 1)
        };
        let [top, bottom, left, right] = self.padding;
        Some([axis(height, self.kernel[0], [top, bottom])?, axis(width, self.kernel[1], [left, right])?])
    }

    /// Kernel positions.
    pub fn taps(&self) -> u64 {
        u64::from(self.kernel[0]) * u64::from(self.kernel[1])
    }
}
