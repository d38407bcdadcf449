//! What codes and planes of weights stand for.

use serde::{Deserialize, Serialize};

use super::Window;

/// How a number becomes a code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// Bits of a code.
    pub bits: u32,
    /// The rule, where it is not `round(n * min(max(x, 0), 1))` with `n = 2^bits - 1` and ties to even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// What a code stands for, where that is not its multiple of `1 / n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<Codes>,
}

impl Quantize {
    /// Codes of `bits` bits by the usual rule.
    pub fn plain(bits: u32) -> Self {
        Self { bits, rule: None, codes: None }
    }
}

/// `min(rounded(factor * limited(x)), 2^(bits + drop) - 1)` without its `drop` lowest bits; with [`Form::Sign`] 1 for
/// `x >= 0` and 0 else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What limits a number.
    pub form: Form,
    /// What a number is multiplied by before it is limited.
    pub inverse: f32,
    /// Codes of a unit.
    pub factor: f32,
    /// How the product is rounded.
    pub rounding: Rounding,
    /// Bits that are cut off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drop: u32,
}

/// What limits a number before it becomes a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `min(max(inverse * x, 0), 1)`.
    Clip,
    /// `min(|inverse * x|, 1)`.
    Magnitude,
    /// The sign alone.
    Sign,
    /// `min(max(x, 0), 1)`, where tensor `bits` has for each channel a width w that divides that of the codes: `2^w - 1` is the
    /// channel's factor, and the rounded number is in steps of `(2^bits - 1) / (2^w - 1)`.
    ClipByChannel,
}

/// How numbers are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest integer, ties to even.
    Even,
    /// `floor(v + 1/2)`.
    HalfUp,
    /// `floor(v)`.
    Down,
}

/// What codes stand for: the sum over the groups of `factor * v`, where v is the number u that the group's planes make, or
/// `2 u - (2^planes - 1)` with [`Planes::Sign`]. Outside a map the planes are 0, or 1 with [`Planes::Sign`]. Of groups apart a
/// channel has one alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// What a bit stands for.
    pub planes: Planes,
    /// In the order in which their products are added.
    pub groups: Vec<CodeGroup>,
    /// Each channel belongs to one of the groups, by tensor `groups`, and its code has the bits of that alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub apart: bool,
}

/// What a bit of a code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planes {
    /// 0 or 1.
    Unit,
    /// -1 or 1.
    Sign,
}

/// Planes of codes that have one factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeGroup {
    /// The lowest bit of the code that belongs to the group.
    pub first: u32,
    /// Bits.
    pub planes: u32,
    /// The factor.
    pub factor: f32,
}

/// Planes of weights that have one factor: the weight is the sum over the groups of `factor * scale * (2 u - (2^planes - 1))`
/// where the mask is 1. Tensors `planes.G`, `scale.G` and `mask.G` of group number G.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightGroup {
    /// Planes.
    pub planes: u32,
    /// The factor.
    pub factor: f32,
    /// Scales, each for a run of as many output channels as every other; none for 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scales: u32,
    /// The mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

/// Which weights a group reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Weights of one output channel, one behind the other, that a bit of the mask stands for.
    pub run: u32,
    /// Weights that are reached; planes have bits for them alone.
    pub weights: u64,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Sizes of a convolution with planes of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitConvolution {
    /// Output channels.
    pub channels: u32,
    /// Groups of channels.
    pub groups: u32,
    /// Planes of the weights.
    pub weight_bits: u32,
    /// The window.
    pub window: Window,
    /// The groups of the planes, where it is not one with a single scale that stands for odd integers, divided by the largest
    /// where there are several planes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<WeightGroup>,
    /// Each output channel belongs to one of the groups with all of its weights, so that codes of one group become sums.
    #[serde(default, skip_serializing_if = "is_false")]
    pub apart: bool,
}

impl BitConvolution {
    /// The groups of the planes.
    pub fn groups_of_planes(&self) -> Vec<WeightGroup> {
        if !self.weights.is_empty() {
            return self.weights.clone();
        }
        let planes = self.weight_bits;
        let factor = if planes == 1 { 1.0 } else { 1.0 / ((1u32 << planes.min(31)) - 1) as f32 };
        vec![WeightGroup { planes, factor, scales: 1, mask: None }]
    }

    /// The name of a tensor of group `group` behind that of the layer.
    pub fn tensor(&self, what: &str, group: usize) -> String {
        if self.weights.is_empty() { what.to_owned() } else { format!("{what}.{group}") }
    }
}
