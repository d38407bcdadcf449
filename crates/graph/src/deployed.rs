//! A deployed evaluation as data: what it computes, and on which numbers, so that it can be written to a file and computed
//! by others.

use std::collections::{HashMap, HashSet};

use kernels::{By, Kind, PlaneGroup, ScaleIndex, Window};
use recording::{BufferId, BufferSlice};

use crate::{
    Convolution, Mode, Packed, Recorder, Shape,
    channel_parts::ChannelPart,
    planes::{Group, Operand},
    quantizers::ActivationQuantizer,
};

/// One operation of a deployed network.
#[derive(Clone, Debug, PartialEq)]
pub enum DeployedOperation {
    /// Convolution in f32: tensors `weight` (OHWI) and `bias`.
    Convolution {
        /// The window over one sample.
        window: Window,
        /// Output channels.
        channels: u32,
        /// Groups of channels.
        groups: u32,
        /// True where a bias is added.
        bias: bool,
        /// What lies around the map.
        outside: f32,
    },
    /// Batch norm: tensors `gamma`, `beta`, `mean` and `variance`.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Maximum pool in f32.
    MaxPool(Window),
    /// Mean over windows.
    AvgPool(Window),
    /// Product with a number.
    Scale {
        /// The number.
        factor: f32,
    },
    /// Mean over all pixels.
    GlobalAvgPool,
    /// `min(max(x, 0), limit)`.
    Clip {
        /// Upper end of the range.
        limit: f32,
    },
    /// `min(|x|, limit)`.
    Magnitude {
        /// Upper end of the range.
        limit: f32,
    },
    /// ReLU.
    Relu,
    /// Sum of two tensors.
    Add,
    /// Sum of tensors with a factor each, one term after the other: tensor `factors`.
    WeightedSum,
    /// A number added to each channel: tensor `bias`.
    Bias,
    /// The mean of |x| over the channels of each pixel.
    ChannelMagnitude,
    /// The sum of one channel over the taps of a window, by the number of all its taps; what lies outside counts 0.
    WindowMean(Window),
    /// Every pixel times its factor, the second input.
    ScalePositions,
    /// f32 to codes.
    Quantize {
        /// Bits of a code.
        bits: u32,
        /// How numbers become codes; of groups apart the rule of the widest, whose tensor `groups` says that of each channel.
        rule: CodeRule,
        /// What codes stand for.
        codes: DeployedCodes,
    },
    /// Codes to f32.
    Dequantize,
    /// Convolution with planes of weights. Codes become integer sums where both sides have one group of planes, and f32 where
    /// one has several or where a second input has a factor of each output position; f32 becomes f32. Tensors: `scale` for each group that has scales, and for each run of output channels
    /// `planes` `[plane][channel][word of k]`.
    BitConvolution {
        /// The window over one sample.
        window: Window,
        /// Output channels.
        channels: u32,
        /// Groups of channels.
        groups: u32,
        /// Groups of planes of the weights, in the order in which they are added.
        weights: Vec<DeployedGroup>,
        /// Equal runs of output channels with groups of planes of their own: those of the first run are the first in the list.
        runs: u32,
        /// Weights of one output channel.
        fan_in: u32,
    },
    /// Integer sums to codes: tensor `thresholds` `[1 + n][channel]`, row 0 the directions.
    Threshold {
        /// Bits of a code.
        bits: u32,
        /// The pool of codes.
        pool: Option<Window>,
        /// What codes stand for.
        codes: DeployedCodes,
    },
    /// Integer sums to f32.
    Rescale,
}

/// How a number becomes a code: `min(rounded(factor * limited(x)), 2^(bits + drop) - 1)` without its `drop` lowest bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeRule {
    /// What limits x.
    pub form: CodeForm,
    /// What x is multiplied by before it is limited.
    pub inverse: f32,
    /// The factor.
    pub factor: f32,
    /// How the product is rounded.
    pub rounding: CodeRounding,
    /// Bits that are cut off.
    pub drop: u32,
}

/// What limits a number before it becomes a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeForm {
    /// `min(max(inverse * x, 0), 1)`.
    Clip,
    /// `min(|inverse * x|, 1)`.
    Magnitude,
    /// Code 1 for `x >= 0`, code 0 else, and nothing more.
    Sign,
    /// `min(max(x, 0), 1)` with bits of each channel's own, tensor `bits`, in the steps of the widest.
    ClipByChannel,
}

/// How the product in a [`CodeRule`] is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRounding {
    /// Ties to even.
    Even,
    /// `floor(v + 1/2)`.
    HalfUp,
    /// `floor(v)`.
    Down,
}

/// What codes stand for: the sum of the groups' integers with their factors.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployedCodes {
    /// Unit bits {0, 1} or sign bits {-1, +1}.
    pub kind: Kind,
    /// Planes and factor of each group, in the order in which they are added.
    pub groups: Vec<(PlaneGroup, f32)>,
    /// Every channel belongs to one of the groups, and the planes of all others are 0 there.
    pub apart: bool,
}

impl DeployedCodes {
    /// Codes that all channels have.
    pub fn new(kind: Kind, groups: Vec<(PlaneGroup, f32)>) -> Self {
        Self { kind, groups, apart: false }
    }

    /// Codes of these groups.
    pub(crate) fn packed(&self, shape: Shape, chunks: Vec<BufferSlice>) -> Packed {
        let group = |&(planes, factor): &(PlaneGroup, f32)| Group { planes, factor, scale: None };
        let groups = self.groups.iter().map(group).collect();
        Packed { shape, kind: self.kind, groups, chunks, magnitudes: None }
    }
}

/// Planes of weights with one factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeployedGroup {
    /// The planes.
    pub planes: PlaneGroup,
    /// The factor.
    pub factor: f32,
    /// Numbers in the group's `scale`, each for a run of as many output channels; none where it has no tensor.
    pub scales: u32,
}

/// One operation with its inputs and numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployedLayer {
    /// Name.
    pub name: String,
    /// Positions of layers before it; `None` is the image.
    pub inputs: Vec<Option<usize>>,
    /// What it computes.
    pub operation: DeployedOperation,
    /// Tensors by name, as words.
    pub tensors: Vec<(&'static str, Vec<u32>)>,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Buffer(BufferSlice),
    Layer(usize),
}

/// One operation with the places of its numbers.
#[derive(Debug)]
pub(crate) struct Described {
    pub name: String,
    pub inputs: Vec<Option<usize>>,
    pub operation: DeployedOperation,
    pub tensors: Vec<(&'static str, BufferSlice)>,
}

/// The evaluation as far as it is recorded.
#[derive(Debug, Default)]
pub(crate) struct Deployment {
    pub layers: Vec<Described>,
    names: HashSet<String>,
    /// Which layer writes a buffer; `None` is the image.
    writers: HashMap<BufferId, Option<usize>>,
    /// The first layer that has no description, or reads what has none.
    pub missing: Option<String>,
}

impl Recorder {
    /// Describes one operation of a deployed evaluation; `None` where its inputs are not described, or elsewhere.
    pub(crate) fn describe(
        &mut self,
        name: &str,
        operation: DeployedOperation,
        inputs: &[Origin],
        tensors: Vec<(&'static str, BufferSlice)>,
        output: Option<BufferSlice>,
    ) -> Option<usize> {
        if self.mode != (Mode::Evaluate { fold: true }) {
            return None;
        }
        let deployment = &mut self.deployment;
        let known = |origin: &Origin| match origin {
            Origin::Layer(at) => Some(Some(*at)),
            Origin::Buffer(slice) => deployment.writers.get(&slice.buffer).copied(),
        };
        let Some(inputs) = inputs.iter().map(known).collect() else {
            deployment.missing.get_or_insert(name.to_owned());
            return None;
        };
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let name =
            std::iter::once(name.to_owned()).chain(numbered).find(|name| !deployment.names.contains(name));
        let name = name.expect("there are more numbers than layers");
        deployment.names.insert(name.clone());
        let at = deployment.layers.len();
        deployment.layers.push(Described { name, inputs, operation, tensors });
        if let Some(output) = output {
            deployment.writers.insert(output.buffer, Some(at));
        }
        Some(at)
    }

    /// What `slice` holds is described.
    pub(crate) fn is_described(&self, slice: BufferSlice) -> bool {
        self.deployment.writers.contains_key(&slice.buffer)
    }

    /// What `slice` holds is the image.
    pub(crate) fn describe_image(&mut self, slice: BufferSlice) {
        self.deployment.writers.insert(slice.buffer, None);
    }

    /// Layer `name` computes something that has no description.
    pub(crate) fn describe_nothing(&mut self, name: &str) {
        if self.mode == (Mode::Evaluate { fold: true }) {
            self.deployment.missing.get_or_insert(name.to_owned());
        }
    }

    /// The layer whose parameter lies in `slice`.
    pub(crate) fn owner(&self, slice: BufferSlice) -> Option<String> {
        let parameter = self.parameters.values().find(|parameter| parameter.value.overlaps(&slice))?;
        parameter.name.rsplit_once('.').map(|(layer, _)| layer.to_owned())
    }
}

/// The description of a convolution in f32 with `outside` around the map.
pub(crate) fn convolution(convolution: &Convolution, bias: bool, outside: f32) -> DeployedOperation {
    let channels = convolution.output.channels;
    DeployedOperation::Convolution {
        window: convolution.window(1),
        channels,
        groups: convolution.groups,
        bias,
        outside,
    }
}

/// The description of a convolution with the planes of all parts, and its tensors, of which each part has the scales of its own
/// channels; none where a scale is neither one number nor one for equally many channels.
pub(crate) fn bit_convolution(
    convolution: &Convolution,
    parts: &[(ChannelPart, Operand)],
) -> Option<(DeployedOperation, Vec<(&'static str, BufferSlice)>)> {
    let channels = convolution.output.channels;
    let mut tensors = Vec::new();
    let mut weights = Vec::new();
    let of_part = channels / parts.len() as u32;
    // Parts differ in their planes and the scales of their channels alone, but for weights whose runs of channels have groups
    // of their own.
    let is_column = |group: &Group| group.scale.is_some_and(|(_, index)| index.by == By::Column);
    let same = |group: &Group, other: &Group| {
        (group.planes, group.factor.to_bits()) == (other.planes, other.factor.to_bits())
            && (group.scale == other.scale || is_column(group) && is_column(other))
    };
    let (_, first) = &parts[0];
    let common = |(_, weight): &(ChannelPart, Operand)| {
        weight.groups.len() == first.groups.len()
            && weight.groups.iter().zip(&first.groups).all(|(group, other)| same(group, other))
    };
    let runs = if parts.iter().all(common) { 1 } else { parts.len() };
    for (at, group) in parts[..runs].iter().flat_map(|(_, weight)| weight.groups.iter().enumerate()) {
        let (scales, holders) = match group.scale {
            None => (0, 0),
            Some((scale, ScaleIndex { by: By::One, .. })) => {
                tensors.push(("scale", scale));
                (1, 0)
            }
            Some((_, ScaleIndex { by: By::Column, div })) if runs == 1 && of_part.is_multiple_of(div) => {
                (channels / div, parts.len())
            }
            Some(_) => return None,
        };
        for (_, weight) in parts.iter().take(holders) {
            tensors.push(("scale", weight.groups.get(at)?.scale?.0));
        }
        weights.push(DeployedGroup { planes: group.planes, factor: group.factor, scales });
    }
    for (_, weight) in parts {
        if weight.kind != Kind::Sign || weight.groups.len() != weights.len() / runs {
            return None;
        }
        tensors.push(("planes", weight.buffer));
    }
    let operation = DeployedOperation::BitConvolution {
        window: convolution.window(1),
        channels,
        groups: convolution.groups,
        weights,
        runs: runs as u32,
        fan_in: convolution.fan_in(),
    };
    Some((operation, tensors))
}

/// What codes stand for, where their groups have constant factors and no masks.
pub(crate) fn codes(packed: &Packed) -> Option<DeployedCodes> {
    let constant = packed.groups.iter().all(|group| group.scale.is_none() && group.planes.mask.is_none());
    let groups = packed.groups.iter().map(|group| (group.planes, group.factor)).collect();
    constant.then_some(DeployedCodes::new(packed.kind, groups))
}

/// The description of a quantization into `packed`.
pub(crate) fn quantize(quantizer: &dyn ActivationQuantizer, packed: &Packed) -> Option<DeployedOperation> {
    let (rule, codes) = (quantizer.rule()?, codes(packed)?);
    let apart = quantizer.channel_sets(packed.shape.channels).is_some();
    let bits = if apart { quantizer.bits() } else { packed.planes() };
    Some(DeployedOperation::Quantize { bits, rule, codes: DeployedCodes { apart, ..codes } })
}
