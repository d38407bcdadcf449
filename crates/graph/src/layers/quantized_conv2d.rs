//! Convolution whose operands are quantized, with the forward and both backward products on bit planes.

use std::sync::Arc;

use kernels::{By, Dequantize, Output, ScaleIndex};
use recording::BufferSlice;

use super::single;
use crate::{
    Bits, FULL_PRECISION, Geometry, GraphError, Packed, Parameter, ParameterSpec, Recorder, Tensor,
    convolution::Convolution,
    deploy::Deferred,
    layer::{Backward, Layer, Place, no_backward},
    planes::Operand,
    quantizers::{GradientPlanes, GradientQuantizer, WeightQuantizer, WeightRows},
    recorder::Mode,
    tensor::{Kind, Value},
};

/// Weight gradients contract over the positions of one sample; below this many, packed words are mostly padding and the
/// product runs on the dequantized operands in f32.
pub const MIN_BIT_POSITIONS: u32 = 25;

/// A convolution without bias. A product runs on bit planes where both of its operands are quantized; where one is in
/// full precision the other is dequantized and the product runs in f32.
#[derive(Clone, Debug)]
pub struct QuantizedConv2d {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Weights, or `None` for f32.
    pub weight: Option<Arc<dyn WeightQuantizer>>,
    /// Gradient of the output, or `None` for f32.
    pub gradient: Option<Arc<dyn GradientQuantizer>>,
}

/// The input of one forward pass as the backward pass needs it.
struct Input {
    value: Value,
    packed: Option<Packed>,
}

/// What the backward pass keeps.
struct Saved {
    layer: QuantizedConv2d,
    convolution: Convolution,
    place: Place,
    weight: Parameter,
    prepared: Vec<BufferSlice>,
    input: Input,
    dense_weight: Option<BufferSlice>,
}

impl QuantizedConv2d {
    fn convolution(&self, layer: &str, inputs: &[Kind]) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, single(layer, inputs)?.shape, self.out_channels)
    }

    /// The weight in f32: latent, or quantized and unpacked again.
    fn dense_weight(
        &self,
        recorder: &mut Recorder,
        convolution: &Convolution,
        weight: &Parameter,
        prepared: &[BufferSlice],
    ) -> Result<BufferSlice, GraphError> {
        let Some(quantizer) = &self.weight else { return Ok(weight.value) };
        let operand = quantizer.pack(recorder, weight, prepared, convolution, WeightRows::ByOutput)?;
        let group = match operand.groups.as_slice() {
            [group] if group.planes.first_plane == 0 && group.planes.mask.is_none() => *group,
            _ => return Err(GraphError::layer(&weight.name, "several plane groups have no f32 product")),
        };
        // In the forward product the rows of the weight are the columns of the result.
        let (scale, rows_per_scale) = match group.scale {
            None => (recorder.one(), self.out_channels),
            Some((scale, ScaleIndex { by: By::One, .. })) => (scale, self.out_channels),
            Some((scale, ScaleIndex { by: By::Column, div })) => (scale, div),
            Some(_) => {
                return Err(GraphError::layer(
                    &weight.name,
                    "its scale is neither per tensor nor per channel",
                ));
            }
        };
        let result = recorder.transient("dequantized weight", u64::from(weight.len()));
        let kernel = Dequantize {
            rows: self.out_channels,
            k: convolution.fan_in(),
            bits: group.planes.planes,
            kind: kernels::Kind::Sign,
            factor: group.factor,
            rows_per_scale,
        };
        recorder.dispatch(kernel, &[operand.buffer, scale, result])?;
        Ok(result)
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
        Ok(Kind::dense(self.convolution(name, inputs)?.output))
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs) else { return Vec::new() };
        let mut parameters = vec![ParameterSpec::weight(convolution.weight_shape(), convolution.fan_in())];
        parameters.extend(self.weight.iter().flat_map(|quantizer| quantizer.parameters(&convolution)));
        parameters
    }

    fn keeps_output(&self) -> bool {
        false
    }

    fn macs(&self, inputs: &[Kind], _: Kind) -> u64 {
        self.convolution("", inputs).map_or(0, |convolution| convolution.macs())
    }

    fn bits(&self, inputs: &[Kind]) -> Option<Bits> {
        Some(Bits {
            weight: self.weight_planes().unwrap_or(FULL_PRECISION),
            activation: inputs[0].bits.unwrap_or(FULL_PRECISION),
            gradient: self.gradient_planes().unwrap_or(FULL_PRECISION),
        })
    }

    fn stored_bits(&self, name: &str) -> f64 {
        self.weight.as_ref().filter(|_| name == "weight").map_or(32.0, |w| w.stored_bits())
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
        let convolution = Convolution::new(&place.name, self.geometry, shape, self.out_channels)?;

        let (output, input, dense_weight) = match (&inputs[0], &self.weight) {
            (Value::Packed(packed), Some(quantizer)) => {
                let operand = recorder.once(|recorder| {
                    quantizer.pack(recorder, &weight, &prepared, &convolution, WeightRows::ByOutput)
                })?;
                if recorder.mode() == (Mode::Evaluate { fold: true }) {
                    let deferred = Deferred::new(convolution, packed.clone(), operand);
                    return Ok((Value::Deferred(Box::new(deferred)), no_backward()));
                }
                let output = bit_forward(recorder, &convolution, packed, &operand)?;
                let input = Input { value: inputs[0].clone(), packed: Some(packed.clone()) };
                (output, input, None)
            }
            _ => {
                let dense_input = recorder.dense(&inputs[0])?;
                let dense_weight = recorder
                    .once(|recorder| self.dense_weight(recorder, &convolution, &weight, &prepared))?;
                let output = convolution.forward(recorder, &dense_input, dense_weight, None)?;
                // Codes stay packed for the weight gradient, which may still be a bit product.
                let packed = match &inputs[0] {
                    Value::Packed(packed) => Some(packed.clone()),
                    _ => None,
                };
                (output, Input { value: Value::Dense(dense_input), packed }, Some(dense_weight))
            }
        };
        recorder.check_finite("output", &output.chunks)?;
        let (layer, place) = (self.clone(), place.clone());
        let saved = Saved { layer, convolution, place, weight, prepared, input, dense_weight };
        Ok((Value::Dense(output), Box::new(move |recorder, grad| saved.backward(recorder, grad))))
    }
}

fn bit_forward(
    recorder: &mut Recorder,
    convolution: &Convolution,
    input: &Packed,
    weight: &Operand,
) -> Result<Tensor, GraphError> {
    let output = recorder.tensor("output", convolution.output);
    for chunk in recorder.chunks() {
        let unfolded = convolution.unfold(recorder, chunk, input)?;
        let dst = (output.chunks[chunk.index], Output::F32);
        convolution.bit_forward(recorder, chunk, unfolded, weight, dst)?;
    }
    Ok(output)
}

impl Saved {
    fn backward(mut self, recorder: &mut Recorder, grad: &Tensor) -> Result<Vec<Option<Tensor>>, GraphError> {
        recorder.set_pass("grad_output");
        // Largest magnitudes, where there are any, are not finite where a value is not.
        let searched = grad.maxima.as_ref().map_or(&grad.chunks, |maxima| &maxima.chunks);
        recorder.check_finite("grad_output", searched)?;
        let planes = match &self.layer.gradient {
            Some(quantizer) => Some(
                recorder
                    .chunks()
                    .into_iter()
                    .map(|chunk| quantizer.pack(recorder, chunk, grad, self.place.stream))
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        let mut dense_grad = None;
        self.grad_weight(recorder, grad, planes.as_deref(), &mut dense_grad)?;
        if !self.place.needs_grad[0] {
            return Ok(vec![None]);
        }
        Ok(vec![Some(self.grad_input(recorder, grad, planes.as_deref(), &mut dense_grad)?)])
    }

    fn grad_weight(
        &mut self,
        recorder: &mut Recorder,
        grad: &Tensor,
        planes: Option<&[GradientPlanes]>,
        dense_grad: &mut Option<Tensor>,
    ) -> Result<(), GraphError> {
        recorder.set_pass("grad_weight");
        let quantizer = self.layer.weight.clone();
        let target = match &quantizer {
            Some(quantizer) if !quantizer.passes_gradient() => {
                recorder.transient("grad of the quantized weight", u64::from(self.weight.len()))
            }
            _ => self.weight.gradient,
        };
        let positions = self.convolution.output.pixels();
        match (&self.input.packed, planes) {
            (Some(packed), Some(planes)) if positions >= MIN_BIT_POSITIONS => {
                for chunk in recorder.chunks() {
                    // Kept since the forward pass, the patches would take many times the memory of the codes.
                    let unfolded = self.convolution.unfold(recorder, chunk, packed)?;
                    let gradient = &planes[chunk.index];
                    self.convolution.bit_grad_weight(recorder, chunk, gradient, unfolded, target)?;
                }
            }
            _ => {
                let dense = self.dense_grad(recorder, grad, planes, dense_grad)?;
                let input = recorder.dense(&self.input.value)?;
                let both_quantized = self.input.packed.is_some() && planes.is_some();
                let reason = both_quantized
                    .then(|| format!("{positions} positions a sample, fewer than {MIN_BIT_POSITIONS}"));
                self.convolution.grad_weight(recorder, &dense, &input, target, reason)?;
            }
        }
        if let Some(quantizer) = &quantizer
            && !quantizer.passes_gradient()
        {
            quantizer.backward(recorder, &self.weight, &self.prepared, target)?;
        }
        recorder.check_finite("grad_weight", &[self.weight.gradient])
    }

    fn grad_input(
        &mut self,
        recorder: &mut Recorder,
        grad: &Tensor,
        planes: Option<&[GradientPlanes]>,
        dense_grad: &mut Option<Tensor>,
    ) -> Result<Tensor, GraphError> {
        recorder.set_pass("grad_input");
        let convolution = self.convolution;
        if let (Some(quantizer), Some(planes)) = (self.layer.weight.clone(), planes) {
            let (rows, flattened) = (WeightRows::ByInput, convolution.flattened());
            let operand = quantizer.pack(recorder, &self.weight, &self.prepared, &flattened, rows)?;
            let result = recorder.tensor("grad_input", convolution.input);
            for chunk in recorder.chunks() {
                flattened.bit_grad_input(recorder, chunk, &planes[chunk.index], &operand, &result)?;
            }
            return Ok(result);
        }
        let dense = self.dense_grad(recorder, grad, planes, dense_grad)?;
        let weight = match self.dense_weight {
            Some(weight) => weight,
            None => self.layer.dense_weight(recorder, &convolution, &self.weight, &self.prepared)?,
        };
        convolution.grad_input(recorder, &dense, weight)
    }

    /// The gradient of the output in f32: as it came, or quantized and unpacked again.
    fn dense_grad(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        planes: Option<&[GradientPlanes]>,
        kept: &mut Option<Tensor>,
    ) -> Result<Tensor, GraphError> {
        let Some(planes) = planes else { return Ok(grad.clone()) };
        if let Some(tensor) = kept {
            return Ok(tensor.clone());
        }
        let result = recorder.tensor("dequantized gradient", grad.shape);
        for chunk in recorder.chunks() {
            let GradientPlanes { planes, scale, bits, factor } = planes[chunk.index];
            let kernel = Dequantize {
                rows: chunk.samples * grad.shape.pixels(),
                k: grad.shape.channels,
                bits,
                kind: kernels::Kind::Sign,
                factor,
                rows_per_scale: grad.shape.pixels(),
            };
            recorder.dispatch(kernel, &[planes, scale, result.chunks[chunk.index]])?;
        }
        *kept = Some(result.clone());
        Ok(result)
    }
}
