//! Words of the settings that choose a variant of the method.

use serde::{Deserialize, Serialize};

/// The word by which a setting is written.
pub fn named(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What limits activations to [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationForm {
    /// min(max(x, 0), 1)
    #[default]
    Clip,
    /// min(1, |x|), which is evaluated in f32 and not by integer thresholds
    Cabs,
    /// tanh(x) in place of max(x, 0), of activations in full precision: a relaxed form of binary ones to start these from
    Tanh,
}

/// Rounding of the codes of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest integer, ties to the even one
    #[default]
    Even,
    /// floor(x + 1/2)
    Floor,
}

/// What the scale of quantized gradients spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GradientScale {
    /// One per sample, its largest gradient
    #[default]
    Sample,
    /// One per sample, the power of two from its largest gradient on
    Pow2,
    /// One per batch, so that integer sums of weight gradients span samples
    Batch,
}

/// What the narrower widths of a FlexNet learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FlexTraining {
    /// The class scores of the next wider one; the widest learns the labels
    #[default]
    Recursive,
    /// The labels, as the widest
    Joint,
    /// The class scores of the widest, which a step trains together with one other width that it draws
    Sampled,
}

/// Batch norm of a FlexNet's widths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FlexBatchNorm {
    /// Factors, offsets and statistics for each width
    #[default]
    PerWidth,
    /// The same for all
    Single,
}

/// How the codes of a FlexNet's widths are upper bits of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NestedForm {
    /// floor(2^bits x), weights in the middle of their interval
    #[default]
    Midrise,
    /// The upper bits of DoReFa-Net's rounded code of the widest width
    Shift,
}

/// Which weights have most bits where `--bit-mix` gives them different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BitOrder {
    /// The largest magnitudes
    TopDown,
    /// The smallest magnitudes
    #[default]
    MiddleOut,
    /// The largest values
    BottomUp,
    /// As the seed has it
    Random,
}

/// What shares a number of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MaskGranularity {
    /// Every weight has its own
    #[default]
    Element,
    /// 32 neighbors in a packed row of the forward product
    Word,
    /// The weights of an output channel
    Channel,
}

impl From<MaskGranularity> for graph::MaskGranularity {
    fn from(granularity: MaskGranularity) -> Self {
        match granularity {
            MaskGranularity::Element => Self::Element,
            MaskGranularity::Word => Self::Word,
            MaskGranularity::Channel => Self::Channel,
        }
    }
}

/// What a scale of binary weights spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScale {
    /// The weights of a layer
    #[default]
    Tensor,
    /// The weights of an output channel
    Channel,
}

/// Values of activations of one bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BinaryActivations {
    /// 0 and 1
    #[default]
    Unit,
    /// -1 and +1, with +1 around the map
    Sign,
}

/// How a gradient passes the sign of an activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StraightThrough {
    /// Unchanged where |x| <= 1
    #[default]
    Identity,
    /// Times 2 - 2 |x| where |x| <= 1
    Polynomial,
}

/// True for the value that settings need not hold.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
