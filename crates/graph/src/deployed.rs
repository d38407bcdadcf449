//! A deployed evaluation as data: what it computes, and on which numbers, so that it can be written to a file and computed
//! by others.

use std::collections::{HashMap, HashSet};

use kernels::{By, Kind, Rounding, ScaleIndex, Window};
use recording::{BufferId, BufferSlice};
use reference::quantize::levels;

use crate::{
    Convolution, Mode, Packed, Recorder, channel_parts::ChannelPart, planes::Operand,
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
    /// Clip to [0, 1].
    Clip,
    /// ReLU.
    Relu,
    /// Sum of two tensors.
    Add,
    /// f32 to codes.
    Quantize {
        /// Bits of a code.
        bits: u32,
    },
    /// Codes to f32.
    Dequantize,
    /// Convolution of codes to integer sums: tensors `scale` and, for each run of output channels, `planes`
    /// `[plane][channel][word of k]`, the least significant first.
    BitConvolution {
        /// The window over one sample.
        window: Window,
        /// Output channels.
        channels: u32,
        /// Groups of channels.
        groups: u32,
        /// Planes.
        weight_bits: u32,
        /// Weights of one output channel.
        fan_in: u32,
    },
    /// Integer sums to codes: tensor `thresholds` `[1 + n][channel]`, row 0 the directions.
    Threshold {
        /// Bits of a code.
        bits: u32,
        /// The pool of codes.
        pool: Option<Window>,
    },
    /// Integer sums to f32.
    Rescale,
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

/// The description of a convolution in f32.
pub(crate) fn convolution(convolution: &Convolution, bias: bool) -> DeployedOperation {
    let channels = convolution.output.channels;
    DeployedOperation::Convolution {
        window: convolution.window(1),
        channels,
        groups: convolution.groups,
        bias,
    }
}

/// The description of a convolution of codes with the planes of all parts, and its tensors, where they stand for
/// `scale * (2 code - n)`, divided by n where there are several.
pub(crate) fn bit_convolution(
    convolution: &Convolution,
    weights: &[(ChannelPart, Operand)],
    one: BufferSlice,
) -> Option<(DeployedOperation, Vec<(&'static str, BufferSlice)>)> {
    let (mut tensors, mut weight_bits) = (Vec::new(), 0);
    for (_, weight) in weights {
        let [group] = weight.groups.as_slice() else { return None };
        weight_bits = group.planes.planes;
        let step = if weight_bits == 1 { 1.0 } else { 1.0 / levels(weight_bits) as f32 };
        let plain = group.planes.first_plane == 0
            && group.planes.mask.is_none()
            && weight.kind == Kind::Sign
            && group.factor.to_bits() == f32::to_bits(step);
        let scale = match group.scale {
            _ if !plain => return None,
            None => one,
            Some((scale, ScaleIndex { by: By::One, .. })) => scale,
            Some(_) => return None,
        };
        if tensors.is_empty() {
            tensors.push(("scale", scale));
        }
        tensors.push(("planes", weight.buffer));
    }
    let operation = DeployedOperation::BitConvolution {
        window: convolution.window(1),
        channels: convolution.output.channels,
        groups: convolution.groups,
        weight_bits,
        fan_in: convolution.fan_in(),
    };
    Some((operation, tensors))
}

/// True for unit codes in one group that stand for multiples of 1/n.
pub(crate) fn is_plain_codes(packed: &Packed) -> bool {
    packed.single().is_some_and(|group| has_unit_steps(packed.kind, group.planes.planes, group.factor))
}

fn has_unit_steps(kind: Kind, bits: u32, factor: f32) -> bool {
    kind == Kind::Unit && factor.to_bits() == (1.0 / levels(bits) as f32).to_bits()
}

/// True where codes are `round(n clip(x, 0, 1))` and stand for multiples of 1/n.
pub(crate) fn is_plain(quantizer: &dyn ActivationQuantizer) -> bool {
    quantizer.unit_clip() == Some(Rounding::Even)
        && has_unit_steps(quantizer.kind(), quantizer.bits(), quantizer.factor())
}
