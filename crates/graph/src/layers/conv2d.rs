//! Convolution in f32.

use std::sync::Arc;

use super::{quantized_conv2d::QuantizedConv2d, single};
use crate::{
    Bits, Geometry, GraphError, ParameterSpec, Recorder,
    convolution::Convolution,
    deployed::{self, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// Convolution of an f32 tensor with f32 weights OHWI, with or without a bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel, stride and padding.
    pub geometry: Geometry,
    /// Adds a bias per output channel.
    pub bias: bool,
}

impl Conv2d {
    fn convolution(&self, layer: &str, inputs: &[Kind]) -> Result<Convolution, GraphError> {
        Convolution::new(layer, self.geometry, single(layer, inputs)?.shape, self.out_channels)
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        Ok(Kind::dense(self.convolution(name, inputs)?.output))
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let Ok(convolution) = self.convolution("", inputs) else { return Vec::new() };
        let weight = ParameterSpec::weight(convolution.weight_shape(), convolution.fan_in());
        let bias = self.bias.then(|| ParameterSpec::vector("bias", self.out_channels, 0.0));
        [Some(weight), bias].into_iter().flatten().collect()
    }

    fn keeps_output(&self) -> bool {
        false
    }

    fn macs(&self, inputs: &[Kind], _: Kind) -> u64 {
        self.convolution("", inputs).map_or(0, |convolution| convolution.macs())
    }

    fn quantized(&self, _: &[Kind], bits: Bits) -> Option<Arc<dyn Layer>> {
        let Self { out_channels, geometry, bias } = *self;
        Some(Arc::new(QuantizedConv2d { bias, ..QuantizedConv2d::dorefa(out_channels, geometry, bits) }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let convolution = Convolution::new(&place.name, self.geometry, input.shape, self.out_channels)?;
        let weight = recorder.parameter("weight");
        let bias = self.bias.then(|| recorder.parameter("bias"));
        let output = convolution.forward(recorder, &input, weight.value, bias.as_ref().map(|b| b.value))?;
        recorder.check_finite("output", &output.chunks)?;
        let mut tensors = vec![("weight", weight.value)];
        tensors.extend(bias.as_ref().map(|bias| ("bias", bias.value)));
        let operation = deployed::convolution(&convolution, self.bias, 0.0);
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        recorder.describe(&place.name, operation, &ends.0, tensors, ends.1);
        let needs_grad = place.needs_grad[0];
        let backward: Backward = Box::new(move |recorder, grad| {
            if weight.spec.trainable {
                recorder.set_pass("grad_weight");
                convolution.grad_weight(recorder, grad, &input, weight.gradient, None)?;
                recorder.check_finite("grad_weight", &[weight.gradient])?;
            }
            if let Some(bias) = bias.as_ref().filter(|bias| bias.spec.trainable) {
                convolution.grad_bias(recorder, grad, bias.gradient)?;
            }
            if !needs_grad {
                return Ok(vec![None]);
            }
            recorder.set_pass("grad_input");
            Ok(vec![Some(convolution.grad_input(recorder, grad, weight.value)?)])
        });
        Ok((Value::Dense(output), backward))
    }
}
