//! Fully connected layer in f32: a convolution whose kernel is the whole image.

use std::sync::Arc;

use super::{conv2d::Conv2d, quantized_conv2d::QuantizedConv2d, single};
use crate::{
    Bits, Geometry, GraphError, Padding, ParameterSpec, Recorder,
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// `y = W x + b` over all values of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Outputs.
    pub outputs: u32,
    /// Decay of the weights alone: adds `weight_decay * w` to their gradient.
    pub weight_decay: f32,
}

impl Linear {
    fn conv2d(&self, input: Kind) -> Conv2d {
        let kernel = (input.shape.height, input.shape.width);
        let geometry = Geometry { kernel, stride: 1, padding: Padding::Valid };
        Conv2d { out_channels: self.outputs, geometry, bias: true }
    }
}

impl Layer for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        self.conv2d(single(name, inputs)?).infer(name, inputs)
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let mut parameters = self.conv2d(inputs[0]).parameters(inputs);
        for weight in parameters.iter_mut().filter(|p| p.name == "weight") {
            weight.weight_decay = self.weight_decay;
        }
        parameters
    }

    fn macs(&self, inputs: &[Kind], output: Kind) -> u64 {
        self.conv2d(inputs[0]).macs(inputs, output)
    }

    fn quantized(&self, inputs: &[Kind], bits: Bits) -> Option<Arc<dyn Layer>> {
        let Conv2d { out_channels, geometry, bias } = self.conv2d(inputs[0]);
        let plain = QuantizedConv2d::dorefa(out_channels, geometry, bits);
        Some(Arc::new(QuantizedConv2d { bias, weight_decay: self.weight_decay, ..plain }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let conv2d = self.conv2d(Kind::dense(input.shape));
        conv2d.forward(recorder, place, &[Value::Dense(input)])
    }
}
