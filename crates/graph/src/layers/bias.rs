//! A number added to each channel, in a network that is deployed and no longer trained.

use super::{Scale, single_dense};
use crate::{
    GraphError, Init, ParameterSpec, Recorder,
    deploy::add_bias,
    layer::{Backward, Layer, Place, no_backward},
    tensor::{Kind, Value},
};

/// `x + bias` in f32. Parameter: `bias` `[channel]`.
#[derive(Clone, Copy, Debug)]
pub struct Bias;

impl Layer for Bias {
    fn kind(&self) -> &'static str {
        "bias"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        single_dense(name, inputs)
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let (shape, init) = (vec![inputs[0].shape.channels as usize], Init::Constant(0.0));
        vec![ParameterSpec {
            name: "bias",
            shape,
            init,
            trainable: false,
            is_length: false,
            weight_decay: 0.0,
        }]
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        // Others may read the input, so that a copy is changed.
        let output = Scale { factor: 1.0 }.record(recorder, &input, "output")?;
        let bias = recorder.parameter("bias").value;
        add_bias(recorder, &place.name, &output, bias)?;
        Ok((Value::Dense(output), no_backward()))
    }
}
