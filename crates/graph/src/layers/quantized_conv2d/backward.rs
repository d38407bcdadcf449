//! The backward pass of a convolution of quantized operands: gradients of bias, weight and input.

use kernels::By;
use recording::BufferSlice;

use super::{MIN_BIT_POSITIONS, QuantizedConv2d, bordered};
use crate::{
    GraphError, Packed, Parameter, Recorder, Tensor,
    binary_input::{scale_channels, scale_positions},
    channel_parts::ChannelPart,
    convolution::Convolution,
    layer::Place,
    layers::add,
    planes::{Group, record_dequantize},
    quantizers::{GradientPlanes, WeightRows},
    tensor::Value,
};

/// The random numbers of the codes that the gradient of the input reads where weights have a scale per channel; streams of
/// layers are small numbers.
const SECOND_CODES: u32 = 1 << 31;

/// The input of one forward pass as the backward pass needs it.
pub(super) struct Input {
    pub(super) value: Value,
    pub(super) packed: Option<Packed>,
    /// A factor of each output position.
    pub(super) factors: Option<Vec<BufferSlice>>,
}

/// What the backward pass keeps.
pub(super) struct Saved {
    pub(super) layer: QuantizedConv2d,
    pub(super) convolution: Convolution,
    pub(super) parts: Vec<ChannelPart>,
    pub(super) place: Place,
    pub(super) weight: Parameter,
    pub(super) bias: Option<Parameter>,
    pub(super) prepared: Vec<BufferSlice>,
    pub(super) input: Input,
    /// The weights of each part in f32, where a product needed them.
    pub(super) dense_weights: Option<Vec<BufferSlice>>,
}

impl Saved {
    pub(super) fn backward(
        mut self,
        recorder: &mut Recorder,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>, GraphError> {
        recorder.set_pass("grad_output");
        // Largest magnitudes, where there are any, are not finite where a value is not.
        let searched = grad.maxima.as_ref().map_or(&grad.chunks, |maxima| &maxima.chunks);
        recorder.check_finite("grad_output", searched)?;
        // Factors of positions are constants: both products read the gradient of the sums that they multiply.
        let unscaled = grad;
        let grad = &match &self.input.factors {
            Some(factors) => scale_positions(recorder, grad, factors)?,
            None => grad.clone(),
        };
        let planes = self.quantized(recorder, grad, self.place.stream)?;
        let mut dense_grad = None;
        if self.weight.spec.trainable {
            self.grad_weight(recorder, grad, planes.as_deref(), &mut dense_grad)?;
        }
        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.spec.trainable) {
            let dense = match self.input.factors {
                Some(_) => unscaled.clone(),
                None => self.dense_grad(recorder, grad, planes.as_deref(), &mut dense_grad)?,
            };
            self.convolution.grad_bias(recorder, &dense, bias.gradient)?;
        }
        if !self.place.needs_grad[0] {
            return Ok(vec![None]);
        }
        let planes = self.scaled_by_channel(recorder, grad, planes)?;
        Ok(vec![Some(self.grad_input(recorder, grad, planes.as_deref(), &mut dense_grad)?)])
    }

    /// The codes of `grad`, chunk by chunk, where gradients have few bits.
    fn quantized(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        stream: u32,
    ) -> Result<Option<Vec<GradientPlanes>>, GraphError> {
        let Some(quantizer) = &self.layer.gradient else { return Ok(None) };
        let rest = (quantizer.prepare(recorder, grad)?, stream);
        let chunks = recorder.chunks().into_iter();
        chunks.map(|chunk| quantizer.pack(recorder, chunk, grad, rest)).collect::<Result<_, _>>().map(Some)
    }

    /// What the gradient of the input reads: the codes of `grad`, or with weights that have a scale per output channel codes of
    /// their own, of the gradient times that scale.
    fn scaled_by_channel(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        planes: Option<Vec<GradientPlanes>>,
    ) -> Result<Option<Vec<GradientPlanes>>, GraphError> {
        let scales = self.layer.weight.as_ref().and_then(|weight| weight.channel_scales(&self.prepared));
        let (Some(scales), Some(_)) = (scales, &planes) else { return Ok(planes) };
        recorder.set_pass("grad_output");
        let scaled = scale_channels(recorder, grad, scales)?;
        let taps = recorder.taps.len();
        let planes = self.quantized(recorder, &scaled, self.place.stream | SECOND_CODES)?;
        // Whoever looks at the layer's gradients sees one set of codes.
        recorder.taps.truncate(taps);
        Ok(planes)
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
            (Some(packed), Some(planes))
                if positions * self.convolution.segment_samples(recorder, &planes[0], packed)
                    >= MIN_BIT_POSITIONS =>
            {
                // Both operands are those of all weights, whatever rules these have.
                for part in &self.convolution.parts(recorder.most_weights(), 1) {
                    part.record_weight(recorder, target, |recorder, target| {
                        for chunk in recorder.chunks() {
                            // Kept since the forward pass, the patches would take many times the memory of the codes.
                            let rows = part.input_rows(recorder, chunk, packed.rows(chunk))?;
                            let unfolded = part.convolution.unfold(recorder, chunk, rows)?;
                            let gradient = part.gradient(recorder, chunk, &planes[chunk.index])?;
                            part.convolution.bit_grad_weight(recorder, chunk, &gradient, unfolded, target)?;
                        }
                        Ok(())
                    })?;
                }
            }
            _ => {
                let dense = self.dense_grad(recorder, grad, planes, dense_grad)?;
                let input = recorder.dense(&self.input.value)?;
                let both_quantized = self.input.packed.is_some() && planes.is_some();
                let reason = both_quantized
                    .then(|| format!("{positions} positions a sample, fewer than {MIN_BIT_POSITIONS}"));
                let (convolution, input) = bordered(recorder, &self.convolution, &input, &self.input.packed)?;
                for part in &convolution.parts(recorder.most_weights(), 1) {
                    let dense = part.dense_gradient(recorder, &dense)?;
                    let input = part.input(recorder, &input)?;
                    let reason = reason.clone();
                    part.record_weight(recorder, target, |recorder, target| {
                        part.convolution.grad_weight(recorder, &dense, &input, target, reason)
                    })?;
                }
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
        if let (Some(quantizer), Some(planes)) = (self.layer.weight.clone(), planes) {
            let mut weights = Vec::new();
            for part in &self.parts {
                let source = (&self.weight, self.prepared.as_slice());
                let rows = WeightRows::ByInput;
                weights.push(self.layer.pack(recorder, quantizer.as_ref(), source, part, rows)?);
            }
            let result = recorder.tensor("grad_input", self.convolution.input);
            for chunk in recorder.chunks() {
                let dst = result.chunks[chunk.index];
                for (part, weight) in self.parts.iter().zip(&weights) {
                    let gradient = part.gradient(recorder, chunk, &planes[chunk.index])?;
                    part.bit_grad_input(recorder, chunk, &gradient, weight, dst)?;
                }
            }
            return Ok(result);
        }
        let dense = self.dense_grad(recorder, grad, planes, dense_grad)?;
        let weights = match self.dense_weights.take() {
            Some(weights) => weights,
            None => self.layer.dense_weights(recorder, &self.parts, &self.weight, &self.prepared)?,
        };
        self.dense_grad_input(recorder, &dense, &weights)
    }

    fn dense_grad_input(
        &self,
        recorder: &mut Recorder,
        grad: &Tensor,
        weights: &[BufferSlice],
    ) -> Result<Tensor, GraphError> {
        if let ([_], [weight]) = (self.parts.as_slice(), weights) {
            return self.convolution.grad_input(recorder, grad, *weight);
        }
        let mut groups: Vec<(ChannelPart, Tensor)> = Vec::new();
        for (part, weight) in self.parts.iter().zip(weights) {
            let grad = part.dense_gradient(recorder, grad)?;
            let mut result = part.convolution.grad_input(recorder, &grad, *weight)?;
            if part.of_group > 0 {
                let (_, before) = groups.pop().expect("the first part of the group");
                result = add::record(recorder, &before, &result)?;
            }
            groups.push((*part, result));
        }
        if self.convolution.groups == 1 {
            return Ok(groups.remove(0).1);
        }
        let result = recorder.tensor("grad_input", self.convolution.input);
        for (part, grad_input) in &groups {
            part.put_input(recorder, grad_input, &result)?;
        }
        Ok(result)
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
            let gradient = planes[chunk.index];
            let size = (chunk.samples * grad.shape.pixels(), grad.shape.channels);
            let scale = Some((gradient.scale, gradient.index(By::Row, grad.shape.pixels())));
            let groups = [Group { scale, ..Group::codes(gradient.bits, gradient.factor) }];
            let (groups, dst) = ((kernels::Kind::Sign, groups.as_slice()), result.chunks[chunk.index]);
            record_dequantize(recorder, groups, gradient.planes, size, dst)?;
        }
        *kept = Some(result.clone());
        Ok(result)
    }
}
