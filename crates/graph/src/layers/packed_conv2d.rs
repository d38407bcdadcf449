//! Convolution whose weights are bit planes already, in a network that is deployed and no longer trained.

use kernels::{By, Kind as PlaneKind, PlaneGroup, ScaleIndex, words_for};
use recording::{BufferSlice, SLICE_ALIGNMENT};
use reference::quantize::levels;

use super::single;
use crate::{
    Geometry, GraphError, Init, ParameterSpec, Recorder,
    channel_parts::ChannelPart,
    convolution::Convolution,
    deploy::Deferred,
    layer::{Backward, Layer, Place, no_backward},
    planes::{Group, Operand},
    tensor::{Kind, Value},
};

/// A convolution of codes with weights `scale * (2 code - n)`, divided by n where they have several planes. Parameters:
/// `planes` `[group][plane][output channel][word of (ky, kx, ci)]`, each group padded to [`PackedConv2d::group_words`], and
/// `scale`.
#[derive(Clone, Copy, Debug)]
pub struct PackedConv2d {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Groups of channels.
    pub groups: u32,
    /// Planes of the weights.
    pub weight_bits: u32,
}

impl PackedConv2d {
    fn convolution(&self, layer: &str, inputs: &[Kind]) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, single(layer, inputs)?.shape, self.out_channels)?
            .grouped(layer, self.groups)
    }

    /// Words of the planes of one group of `rows` output channels of `fan_in` weights, with what pads them.
    pub fn group_words(weight_bits: u32, rows: u32, fan_in: u32) -> u64 {
        let words = u64::from(weight_bits) * u64::from(rows) * u64::from(words_for(fan_in));
        words.next_multiple_of(SLICE_ALIGNMENT)
    }
}

impl Layer for PackedConv2d {
    fn kind(&self) -> &'static str {
        "packed_conv2d"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        if inputs.iter().any(|input| input.bits.is_none()) {
            return Err(GraphError::layer(name, "takes codes, not f32"));
        }
        Ok(Kind::dense(self.convolution(name, inputs)?.output))
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs) else { return Vec::new() };
        let rows = self.out_channels / self.groups;
        let words = Self::group_words(self.weight_bits, rows, convolution.fan_in());
        let fixed = |name, shape: Vec<usize>| ParameterSpec {
            name,
            shape,
            init: Init::Constant(0.0),
            trainable: false,
            weight_decay: 0.0,
        };
        vec![fixed("planes", vec![self.groups as usize, words as usize]), fixed("scale", vec![1])]
    }

    fn macs(&self, inputs: &[Kind], _: Kind) -> u64 {
        self.convolution("", inputs).map_or(0, |convolution| convolution.macs())
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let Value::Packed(packed) = &inputs[0] else {
            return Err(GraphError::layer(&place.name, "takes codes, not f32"));
        };
        let convolution = Convolution::new(&place.name, self.geometry, packed.shape, self.out_channels)?
            .grouped(&place.name, self.groups)?;
        let factor = if self.weight_bits == 1 { 1.0 } else { 1.0 / levels(self.weight_bits) as f32 };
        let scale = recorder.parameter("scale").value;
        let group = Group {
            planes: PlaneGroup { first_plane: 0, planes: self.weight_bits, mask: None },
            factor,
            scale: Some((scale, ScaleIndex { by: By::One, div: 1 })),
        };
        let planes = recorder.parameter("planes").value;
        let words = planes.words / u64::from(self.groups);
        let of_group = |(at, part): (u64, ChannelPart)| {
            let buffer = BufferSlice { offset: planes.offset + at * words, words, ..planes };
            (part, Operand { buffer, kind: PlaneKind::Sign, groups: vec![group] })
        };
        let weights = (0..).zip(convolution.parts(u64::MAX)).map(of_group).collect();
        let deferred = Deferred::new(&place.name, convolution, packed.clone(), weights, None);
        Ok((Value::Deferred(Box::new(deferred)), no_backward()))
    }
}
