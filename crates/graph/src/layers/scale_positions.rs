//! A factor of each pixel, in a network that is deployed and no longer trained.

use crate::{
    GraphError, Recorder, Shape, binary_input,
    layer::{Backward, Layer, Place, no_backward},
    tensor::{Kind, Value},
};

/// Every pixel of the first input times its factor, the second, which has one channel.
#[derive(Clone, Copy, Debug)]
pub struct ScalePositions;

impl Layer for ScalePositions {
    fn kind(&self) -> &'static str {
        "scale_positions"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        match inputs {
            [x, factors] if x.bits.is_none() && *factors == Kind::dense(Shape { channels: 1, ..x.shape }) => {
                Ok(*x)
            }
            _ => {
                Err(GraphError::layer(name, format!("takes f32 and a factor of each pixel, not {inputs:?}")))
            }
        }
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        _: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let (x, factors) = (recorder.dense(&inputs[0])?, recorder.dense(&inputs[1])?);
        let scaled = binary_input::scale_positions(recorder, &x, &factors.chunks)?;
        Ok((Value::Dense(scaled), no_backward()))
    }
}
