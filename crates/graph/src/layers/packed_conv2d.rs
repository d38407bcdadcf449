//! Convolution whose weights are bit planes already, in a network that is deployed and no longer trained.

use kernels::{By, Kind as PlaneKind, ScaleIndex, words_for};
use recording::{BufferSlice, SLICE_ALIGNMENT};

use super::{
    quantized_conv2d::{dense_forward, unpacked},
    single,
};
use crate::{
    DeployedGroup, Geometry, GraphError, Init, ParameterSpec, Recorder,
    channel_parts::ChannelPart,
    convolution::Convolution,
    deploy::Deferred,
    layer::{Backward, Layer, Place, no_backward},
    planes::{Group, Operand},
    tensor::{Kind, Value},
};

/// A convolution of codes, or of f32, with weights of one or several groups of sign planes. Parameters: `planes`
/// `[group of channels][plane][output channel][word of (ky, kx, ci)]`, each group padded to [`PackedConv2d::group_words`], and
/// `scale` with the scales of the groups of planes, each padded to a slice's alignment.
#[derive(Clone, Debug)]
pub struct PackedConv2d {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Groups of channels.
    pub groups: u32,
    /// Groups of planes.
    pub weights: Vec<DeployedGroup>,
}

impl PackedConv2d {
    fn convolution(&self, layer: &str, inputs: &[Kind]) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, single(layer, inputs)?.shape, self.out_channels)?
            .grouped(layer, self.groups)
    }

    /// Planes of all groups, with their masks.
    pub fn planes(weights: &[DeployedGroup]) -> u32 {
        weights.iter().map(|group| group.planes.end()).max().unwrap_or(0)
    }

    /// Words of `planes` planes of one group of `rows` output channels of `fan_in` weights, with what pads them.
    pub fn group_words(planes: u32, rows: u32, fan_in: u32) -> u64 {
        let words = u64::from(planes) * u64::from(rows) * u64::from(words_for(fan_in));
        words.next_multiple_of(SLICE_ALIGNMENT)
    }

    /// Where the scales of each group of planes begin, and the words of all.
    pub fn scale_places(weights: &[DeployedGroup]) -> (Vec<u64>, u64) {
        let (mut places, mut end) = (Vec::new(), 0u64);
        for group in weights {
            places.push(end.next_multiple_of(SLICE_ALIGNMENT));
            if group.scales > 0 {
                end = places[places.len() - 1] + u64::from(group.scales);
            }
        }
        (places, end)
    }

    fn operand_groups(&self, recorder: &mut Recorder) -> Vec<Group> {
        let (places, all) = Self::scale_places(&self.weights);
        let scale = (all > 0).then(|| recorder.parameter("scale").value);
        let group = |(group, place): (&DeployedGroup, u64)| {
            let index = match group.scales {
                1 => ScaleIndex { by: By::One, div: 1 },
                scales => ScaleIndex { by: By::Column, div: self.out_channels / scales.max(1) },
            };
            let slice = |all: BufferSlice| BufferSlice {
                offset: all.offset + place,
                words: u64::from(group.scales),
                ..all
            };
            let scale = scale.filter(|_| group.scales > 0).map(|all| (slice(all), index));
            Group { planes: group.planes, factor: group.factor, scale }
        };
        self.weights.iter().zip(places).map(group).collect()
    }
}

impl Layer for PackedConv2d {
    fn kind(&self) -> &'static str {
        "packed_conv2d"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        if self.groups > 1 && self.weights.iter().any(|group| group.scales > 1) {
            return Err(GraphError::layer(name, "has groups of channels and several scales"));
        }
        Ok(Kind::dense(self.convolution(name, inputs)?.output))
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs) else { return Vec::new() };
        let rows = self.out_channels / self.groups;
        let words = Self::group_words(Self::planes(&self.weights), rows, convolution.fan_in());
        let fixed = |name, shape: Vec<usize>| ParameterSpec {
            name,
            shape,
            init: Init::Constant(0.0),
            trainable: false,
            is_length: false,
            weight_decay: 0.0,
        };
        let mut parameters = vec![fixed("planes", vec![self.groups as usize, words as usize])];
        let (_, scales) = Self::scale_places(&self.weights);
        parameters.extend((scales > 0).then(|| fixed("scale", vec![scales as usize])));
        parameters
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
        let groups = self.operand_groups(recorder);
        let planes = recorder.parameter("planes").value;
        let words = planes.words / u64::from(self.groups);
        let operand = |at: u64| {
            let buffer = BufferSlice { offset: planes.offset + at * words, words, ..planes };
            Operand { buffer, kind: PlaneKind::Sign, groups: groups.clone() }
        };
        if let Value::Packed(packed) = &inputs[0] {
            let convolution = self.convolution(&place.name, &[Kind::dense(packed.shape)])?;
            let parts = convolution.parts(u64::MAX).into_iter();
            let weights = (0..).zip(parts).map(|(at, part)| (part, operand(at))).collect();
            let deferred = Deferred::new(&place.name, convolution, packed.clone(), weights, None);
            return Ok((Value::Deferred(Box::new(deferred)), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        let convolution = self.convolution(&place.name, &[Kind::dense(input.shape)])?;
        let parts: Vec<ChannelPart> = convolution.parts(u64::MAX);
        let weights = recorder.once(|recorder| {
            let dense = |(at, part)| unpacked(recorder, part, &operand(at));
            (0..).zip(&parts).map(dense).collect::<Result<Vec<_>, GraphError>>()
        })?;
        Ok((Value::Dense(dense_forward(recorder, &convolution, &parts, &input, &weights)?), no_backward()))
    }
}
