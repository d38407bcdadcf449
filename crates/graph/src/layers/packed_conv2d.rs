//! Convolution whose weights are bit planes already, in a network that is deployed and no longer trained.

use std::ops::Range;

use kernels::{By, Kind as PlaneKind, Output, ScaleIndex, words_for};
use recording::{BufferSlice, SLICE_ALIGNMENT};

use super::quantized_conv2d::{dense_forward, unpacked};
use crate::{
    DeployedGroup, Geometry, GraphError, Init, ParameterSpec, Recorder, Shape,
    channel_parts::ChannelPart,
    convolution::Convolution,
    deploy::{Deferred, bit_forward},
    layer::{Backward, Layer, Place, no_backward},
    planes::{Group, Operand},
    tensor::{Kind, Value},
};

/// A convolution of codes, or of f32, with weights of one or several groups of sign planes; a second input has a factor of each
/// output position. Parameters: `planes` `[group of channels][plane][output channel][word of (ky, kx, ci)]`, each group padded to
/// [`PackedConv2d::group_words`], and `scale` `[group of planes][group of channels][scale]`, where each run of scales is padded to
/// a slice's alignment and a group of planes with a single scale has it in the first run.
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
    fn convolution(&self, layer: &str, input: Kind) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, input.shape, self.out_channels)?.grouped(layer, self.groups)
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

    /// Where each run of scales of each group of planes begins with its scales, and the words of all; `groups` are those of the
    /// channels.
    pub fn scale_places(weights: &[DeployedGroup], groups: u32) -> (Vec<Vec<Range<u64>>>, u64) {
        let mut end = 0u64;
        let mut run = |scales: u32| {
            let first = end.next_multiple_of(SLICE_ALIGNMENT);
            end = first + u64::from(scales);
            first..end
        };
        let runs = |group: &DeployedGroup| match group.scales {
            0 => Vec::new(),
            1 => vec![run(1)],
            scales => (0..groups).map(|_| run(scales / groups)).collect(),
        };
        (weights.iter().map(runs).collect(), end)
    }

    /// The groups of planes as channels of group `at` read them.
    fn operand_groups(&self, recorder: &mut Recorder, at: usize) -> Vec<Group> {
        let (places, all) = Self::scale_places(&self.weights, self.groups);
        let scale = (all > 0).then(|| recorder.parameter("scale").value);
        let group = |(group, places): (&DeployedGroup, Vec<Range<u64>>)| {
            let index = match group.scales {
                1 => ScaleIndex { by: By::One, div: 1 },
                scales => ScaleIndex { by: By::Column, div: self.out_channels / scales.max(1) },
            };
            let place = places.get(at).or(places.first());
            let scale = scale.zip(place).map(|(all, place)| {
                let (offset, words) = (all.offset + place.start, place.end - place.start);
                (BufferSlice { offset, words, ..all }, index)
            });
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
        if self.weights.iter().any(|group| group.scales > 1 && !group.scales.is_multiple_of(self.groups)) {
            return Err(GraphError::layer(name, "has scales that span groups of channels"));
        }
        let [input, factors @ ..] = inputs else {
            return Err(GraphError::layer(name, "has no input"));
        };
        let output = self.convolution(name, *input)?.output;
        let of_positions = Shape { channels: 1, ..output };
        match factors {
            [] => Ok(Kind::dense(output)),
            [factors] if *factors == Kind::dense(of_positions) && input.bits.is_some() => {
                Ok(Kind::dense(output))
            }
            _ => Err(GraphError::layer(name, "takes codes and a factor of each output position")),
        }
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs[0]) else { return Vec::new() };
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
        let (_, scales) = Self::scale_places(&self.weights, self.groups);
        parameters.extend((scales > 0).then(|| fixed("scale", vec![scales as usize])));
        parameters
    }

    fn macs(&self, inputs: &[Kind], _: Kind) -> u64 {
        self.convolution("", inputs[0]).map_or(0, |convolution| convolution.macs())
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let planes = recorder.parameter("planes").value;
        let words = planes.words / u64::from(self.groups);
        let operand = |recorder: &mut Recorder, at: usize| {
            let buffer = BufferSlice { offset: planes.offset + at as u64 * words, words, ..planes };
            Operand { buffer, kind: PlaneKind::Sign, groups: self.operand_groups(recorder, at) }
        };
        if let Value::Packed(packed) = &inputs[0] {
            let convolution = self.convolution(&place.name, Kind::dense(packed.shape))?;
            let parts = convolution.parts(u64::MAX, 1).into_iter();
            let weights: Vec<_> = (0..).zip(parts).map(|(at, part)| (part, operand(recorder, at))).collect();
            let Some(factors) = inputs.get(1) else {
                let deferred = Deferred::new(&place.name, convolution, packed.clone(), weights, None);
                return Ok((Value::Deferred(Box::new(deferred)), no_backward()));
            };
            let factors = recorder.dense(factors)?.chunks;
            let output = recorder.tensor("output", convolution.output);
            for chunk in recorder.chunks() {
                let dst = (output.chunks[chunk.index], Output::F32);
                bit_forward(recorder, chunk, (packed, Some(&factors)), &weights, dst)?;
            }
            return Ok((Value::Dense(output), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        let convolution = self.convolution(&place.name, Kind::dense(input.shape))?;
        let parts: Vec<ChannelPart> = convolution.parts(u64::MAX, 1);
        let weights = recorder.once(|recorder| {
            let dense = |(at, part)| {
                let operand = operand(recorder, at);
                unpacked(recorder, part, &operand)
            };
            (0..).zip(&parts).map(dense).collect::<Result<Vec<_>, GraphError>>()
        })?;
        Ok((Value::Dense(dense_forward(recorder, &convolution, &parts, &input, &weights)?), no_backward()))
    }
}
