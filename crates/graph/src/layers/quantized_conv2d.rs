//! Convolution whose operands are quantized, with the forward and both backward products on bit planes.

mod backward;

use std::sync::Arc;

use kernels::{By, Output, ScaleIndex};
use recording::BufferSlice;

use self::backward::{Input, Saved};
use super::single;
use crate::{
    Bits, Codes, FULL_PRECISION, Geometry, GraphError, LengthForm, Link, Method, Packed, Parameter,
    ParameterSpec, Recorder, Shape, Tensor,
    binary_input::scale_positions,
    channel_parts::ChannelPart,
    convolution::Convolution,
    deploy::{Deferred, add_bias, bit_forward},
    deployed::{self, DeployedOperation, Origin},
    layer::{Backward, Layer, Place, no_backward},
    planes::{Operand, record_dequantize},
    quantizers::{GradientQuantizer, WeightQuantizer, WeightRows},
    recorder::Mode,
    tensor::{Kind, Value},
};

/// Weight gradients contract over the positions of one sample, or of several that have one scale; below this many, packed
/// words are mostly padding and the product runs on the dequantized operands in f32.
pub const MIN_BIT_POSITIONS: u32 = 25;

/// A scale per output channel.
const BY_CHANNEL: ScaleIndex = ScaleIndex { by: By::Column, div: 1 };

/// A convolution. A product runs on bit planes where both of its operands are quantized; where one is in
/// full precision the other is dequantized and the product runs in f32.
#[derive(Clone, Debug)]
pub struct QuantizedConv2d {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Groups of channels, 1 for none.
    pub groups: u32,
    /// Adds an f32 bias per output channel, whose gradient is the sum of the quantized one.
    pub bias: bool,
    /// Decay of the weights alone: adds `weight_decay * w` to their gradient.
    pub weight_decay: f32,
    /// Weights, or `None` for f32.
    pub weight: Option<Arc<dyn WeightQuantizer>>,
    /// Gradient of the output, or `None` for f32.
    pub gradient: Option<Arc<dyn GradientQuantizer>>,
}

impl QuantizedConv2d {
    fn convolution(&self, layer: &str, input: Shape) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, input, self.out_channels)?.grouped(layer, self.groups)
    }

    /// The packed weights of one part.
    fn pack(
        &self,
        recorder: &mut Recorder,
        quantizer: &dyn WeightQuantizer,
        (weight, prepared): (&Parameter, &[BufferSlice]),
        part: &ChannelPart,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let share = part.weight(recorder, weight)?;
        let mut own = prepared.to_vec();
        for slice in own.iter_mut().take(quantizer.per_weight()) {
            *slice = part.weight_slice(recorder, *slice)?;
        }
        let convolution = match rows {
            WeightRows::ByInput if part.reads_all_inputs() => part.convolution.flattened(),
            _ => part.convolution,
        };
        let of_group = quantizer.of_group(part.group_of(quantizer.channel_groups()));
        let quantizer = of_group.as_deref().unwrap_or(quantizer);
        let mut operand = quantizer.pack(recorder, &share, &own, &convolution, rows)?;
        for group in operand.groups.iter_mut().filter(|_| !part.is_whole()) {
            match group.scale {
                Some((scale, index)) if index == BY_CHANNEL => {
                    group.scale = Some((part.output_values(recorder, scale)?, index));
                }
                Some((_, index)) if index.by != By::One => {
                    let message = "weights cut by channels must have a scale per layer or per output channel";
                    return Err(GraphError::layer(&weight.name, message));
                }
                _ => {}
            }
        }
        Ok(operand)
    }

    /// The weights of one part in f32, latent, or quantized and unpacked again, with their planes.
    fn dense_weight(
        &self,
        recorder: &mut Recorder,
        part: &ChannelPart,
        weight: &Parameter,
        prepared: &[BufferSlice],
    ) -> Result<(BufferSlice, Option<Operand>), GraphError> {
        let Some(quantizer) = &self.weight else {
            return Ok((part.weight_slice(recorder, weight.value)?, None));
        };
        let operand =
            self.pack(recorder, quantizer.as_ref(), (weight, prepared), part, WeightRows::ByOutput)?;
        Ok((unpacked(recorder, part, &operand)?, Some(operand)))
    }

    fn dense_weights(
        &self,
        recorder: &mut Recorder,
        parts: &[ChannelPart],
        weight: &Parameter,
        prepared: &[BufferSlice],
    ) -> Result<Vec<BufferSlice>, GraphError> {
        let dense = |part| Ok(self.dense_weight(recorder, part, weight, prepared)?.0);
        parts.iter().map(dense).collect()
    }

    /// Parts of the outputs that have weights of their own rules, or that fit a binding.
    fn parts(&self, recorder: &Recorder, convolution: &Convolution) -> Vec<ChannelPart> {
        convolution.parts(recorder.most_weights(), self.channel_groups())
    }

    /// The convolution, where its weights are multiplied as a whole.
    pub(crate) fn only_part(&self, recorder: &Recorder, input: Shape) -> Option<Convolution> {
        let convolution = self.convolution("", input).ok()?;
        (self.parts(recorder, &convolution).len() == 1).then_some(convolution)
    }

    fn channel_groups(&self) -> u32 {
        self.weight.as_ref().map_or(1, |weight| weight.channel_groups())
    }

    fn weight_planes(&self) -> Option<u32> {
        self.weight.as_ref().map(|w| w.planes())
    }

    fn gradient_planes(&self) -> Option<u32> {
        self.gradient.as_ref().map(|g| g.bits())
    }
}

impl Layer for QuantizedConv2d {
    fn kind(&self) -> &'static str {
        "quantized_conv2d"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let convolution = self.convolution(name, single(name, inputs)?.shape)?;
        let (own, groups) = (self.channel_groups(), self.groups);
        if !own.is_multiple_of(groups) && !groups.is_multiple_of(own) {
            let message = format!("{own} groups of weights and {groups} groups of channels overlap");
            return Err(GraphError::layer(name, message));
        }
        Ok(Kind::dense(convolution.output))
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs[0].shape) else { return Vec::new() };
        let weight = ParameterSpec::weight(convolution.weight_shape(), convolution.fan_in());
        let mut parameters = vec![ParameterSpec { weight_decay: self.weight_decay, ..weight }];
        parameters.extend(self.bias.then(|| ParameterSpec::vector("bias", self.out_channels, 0.0)));
        parameters.extend(self.weight.iter().flat_map(|quantizer| quantizer.parameters(&convolution)));
        parameters
    }

    fn keeps_output(&self) -> bool {
        false
    }

    fn link(&self) -> Option<Link> {
        Some(Link::Product(self.clone()))
    }

    fn macs(&self, inputs: &[Kind], _: Kind) -> u64 {
        self.convolution("", inputs[0].shape).map_or(0, |convolution| convolution.macs())
    }

    fn bits(&self, inputs: &[Kind]) -> Option<Bits> {
        Some(Bits {
            weight: self.weight_planes().unwrap_or(FULL_PRECISION),
            activation: inputs[0].bits.unwrap_or(FULL_PRECISION),
            gradient: self.gradient_planes().unwrap_or(FULL_PRECISION),
        })
    }

    fn stored_bits(&self, parameter: &ParameterSpec) -> f64 {
        self.weight.as_ref().map_or(32.0, |rule| match parameter.name {
            "weight" => rule.stored_bits(),
            _ => rule.parameter_bits(parameter),
        })
    }

    fn with_method(&self, method: &Method) -> Option<Arc<dyn Layer>> {
        let weight = self.weight.as_ref().map(|rule| rule.with_method(method).unwrap_or(rule.clone()));
        let gradient = self.gradient.as_ref().map(|rule| rule.with_method(method).unwrap_or(rule.clone()));
        Some(Arc::new(Self { weight, gradient, ..self.clone() }))
    }

    fn codes(&self) -> Option<Codes> {
        self.weight_planes().map(Codes::Weights)
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn Layer>> {
        let weight = Some(self.weight.as_ref()?.cut(bits)?);
        Some(Arc::new(Self { weight, ..self.clone() }))
    }

    fn with_learned_bits(&self, form: LengthForm, groups: u32) -> Option<Arc<dyn Layer>> {
        let weight = Some(self.weight.as_ref()?.with_learned_bits(form, groups)?);
        Some(Arc::new(Self { weight, ..self.clone() }))
    }

    fn for_state(&self, read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn Layer>> {
        let weight = Some(self.weight.as_ref()?.for_state(read)?);
        Some(Arc::new(Self { weight, ..self.clone() }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let weight = recorder.parameter("weight");
        recorder.check_finite("weight", &[weight.value])?;
        let prepared = match &self.weight {
            Some(quantizer) => recorder.once(|recorder| quantizer.prepare(recorder, &weight))?,
            None => Vec::new(),
        };
        let shape = match &inputs[0] {
            Value::Packed(packed) => packed.shape,
            Value::Dense(tensor) => tensor.shape,
            Value::Deferred(deferred) => deferred.shape,
        };
        let convolution = self.convolution(&place.name, shape)?;
        let parts = self.parts(recorder, &convolution);
        let bias = self.bias.then(|| recorder.parameter("bias"));

        let (output, input, dense_weights) = match (&inputs[0], &self.weight) {
            (Value::Packed(packed), Some(quantizer)) => {
                let weights = recorder.once(|recorder| {
                    let pack = |part: &ChannelPart| {
                        let (source, rows) = ((&weight, prepared.as_slice()), WeightRows::ByOutput);
                        Ok((*part, self.pack(recorder, quantizer.as_ref(), source, part, rows)?))
                    };
                    parts.iter().map(pack).collect::<Result<Vec<_>, GraphError>>()
                })?;
                let factors = convolution.activation_factors(recorder, packed)?;
                if recorder.mode() == (Mode::Evaluate { fold: true }) && factors.is_none() {
                    let bias = bias.map(|bias| bias.value);
                    let deferred = Deferred::new(&place.name, convolution, packed.clone(), weights, bias);
                    return Ok((Value::Deferred(Box::new(deferred)), no_backward()));
                }
                let output = recorder.tensor("output", convolution.output);
                for chunk in recorder.chunks() {
                    let dst = (output.chunks[chunk.index], Output::F32);
                    bit_forward(recorder, chunk, (packed, factors.as_deref()), &weights, dst)?;
                }
                if let Some((operation, tensors)) = deployed::bit_convolution(&convolution, &weights) {
                    let factors = factors.iter().map(|factors| Origin::Buffer(factors[0]));
                    let inputs: Vec<Origin> =
                        std::iter::once(Origin::Buffer(packed.chunks[0])).chain(factors).collect();
                    recorder.describe(&place.name, operation, &inputs, tensors, Some(output.chunks[0]));
                } else {
                    recorder.describe_nothing(&place.name);
                }
                let input = Input { value: inputs[0].clone(), packed: Some(packed.clone()), factors };
                (output, input, None)
            }
            _ => {
                let dense_input = recorder.dense(&inputs[0])?;
                let weights = recorder.once(|recorder| {
                    let dense = |part| self.dense_weight(recorder, part, &weight, &prepared);
                    parts.iter().map(dense).collect::<Result<Vec<_>, GraphError>>()
                })?;
                let (weights, planes): (Vec<_>, Vec<_>) = weights.into_iter().unzip();
                // Codes stay packed for the weight gradient, which may still be a bit product.
                let packed = match &inputs[0] {
                    Value::Packed(packed) => Some(packed.clone()),
                    _ => None,
                };
                let (whole, around) = bordered(recorder, &convolution, &dense_input, &packed)?;
                let dense_parts = self.parts(recorder, &whole);
                let mut output = dense_forward(recorder, &whole, &dense_parts, &around, &weights)?;
                let planes: Option<Vec<Operand>> = planes.into_iter().collect();
                let described = match planes {
                    // A packed network holds no quantized weight in f32.
                    Some(planes) => {
                        let parts: Vec<_> = parts.iter().copied().zip(planes).collect();
                        deployed::bit_convolution(&convolution, &parts)
                    }
                    None => {
                        let outside = packed.as_ref().map_or(0.0, border);
                        let operation = deployed::convolution(&convolution, false, outside);
                        Some((operation, vec![("weight", weight.value)]))
                    }
                };
                match described {
                    Some((operation, tensors)) => {
                        let ends = ([Origin::Buffer(dense_input.chunks[0])], Some(output.chunks[0]));
                        recorder.describe(&place.name, operation, &ends.0, tensors, ends.1);
                    }
                    None => recorder.describe_nothing(&place.name),
                }
                let factors = match &packed {
                    Some(packed) => convolution.activation_factors(recorder, packed)?,
                    None => None,
                };
                if let Some(factors) = &factors {
                    let scaled = scale_positions(recorder, &output, factors)?;
                    let inputs = [Origin::Buffer(output.chunks[0]), Origin::Buffer(factors[0])];
                    let operation = DeployedOperation::ScalePositions;
                    let name = format!("{}.scaled", place.name);
                    recorder.describe(&name, operation, &inputs, Vec::new(), Some(scaled.chunks[0]));
                    output = scaled;
                }
                (output, Input { value: Value::Dense(dense_input), packed, factors }, Some(weights))
            }
        };
        if let Some(bias) = &bias {
            add_bias(recorder, &place.name, &output, bias.value)?;
        }
        recorder.check_finite("output", &output.chunks)?;
        let (layer, place) = (self.clone(), place.clone());
        let saved = Saved { layer, convolution, parts, place, weight, bias, prepared, input, dense_weights };
        Ok((Value::Dense(output), Box::new(move |recorder, grad| saved.backward(recorder, grad))))
    }
}

/// The weights of one part in f32.
pub(super) fn unpacked(
    recorder: &mut Recorder,
    part: &ChannelPart,
    operand: &Operand,
) -> Result<BufferSlice, GraphError> {
    let (convolution, rows) = (part.convolution, part.convolution.output.channels);
    let result = recorder.transient("dequantized weight", u64::from(convolution.weight_len()));
    // In the forward product the rows of the weight are the columns of the result.
    let groups = (operand.kind, operand.groups.as_slice());
    record_dequantize(recorder, groups, operand.buffer, (rows, convolution.fan_in()), result)?;
    Ok(result)
}

/// The convolution in f32, part by part.
pub(super) fn dense_forward(
    recorder: &mut Recorder,
    convolution: &Convolution,
    parts: &[ChannelPart],
    input: &Tensor,
    weights: &[BufferSlice],
) -> Result<Tensor, GraphError> {
    if let ([_], [weight]) = (parts, weights) {
        return convolution.forward(recorder, input, *weight, None);
    }
    let output = recorder.tensor("output", convolution.output);
    for (part, weight) in parts.iter().zip(weights) {
        let input = part.input(recorder, input)?;
        let result = part.convolution.forward(recorder, &input, *weight, None)?;
        part.put_output(recorder, &result, &output)?;
    }
    Ok(output)
}

/// A convolution in f32 and its input, which has a border of +1 where its values are signs.
fn bordered(
    recorder: &mut Recorder,
    convolution: &Convolution,
    input: &Tensor,
    packed: &Option<Packed>,
) -> Result<(Convolution, Tensor), GraphError> {
    match packed.as_ref().map_or(0.0, border) {
        0.0 => Ok((*convolution, input.clone())),
        border => convolution.bordered(recorder, input, border),
    }
}

/// What lies around a map: the largest value of signs, which have no 0.
fn border(packed: &Packed) -> f32 {
    match packed.kind {
        // Every group adds its value to a pixel of the border.
        kernels::Kind::Sign => packed.groups.iter().map(|group| group.factor * packed.largest() as f32).sum(),
        kernels::Kind::Unit => 0.0,
    }
}
