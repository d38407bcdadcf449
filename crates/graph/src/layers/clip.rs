//! Nonlinearities in f32: clip to [0, 1] and ReLU.

use kernels::{ClipBackward, ClipForward, ReluBackward, ReluForward};

use super::single_dense;
use crate::{
    GraphError, Recorder,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// Which nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectifier {
    /// `min(max(x, 0), 1)`; the gradient passes where `0 <= x <= 1`.
    Clip,
    /// `max(x, 0)`; the gradient passes where `x > 0`.
    Relu,
}

/// A nonlinearity that leaves its output in f32.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Which one.
    pub rectifier: Rectifier,
}

impl Layer for Clip {
    fn kind(&self) -> &'static str {
        match self.rectifier {
            Rectifier::Clip => "clip",
            Rectifier::Relu => "relu",
        }
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        single_dense(name, inputs)
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let (rectifier, input) = (self.rectifier, recorder.dense(&inputs[0])?);
        let output = recorder.tensor("output", input.shape);
        for chunk in recorder.chunks() {
            let len = chunk.samples * input.shape.len();
            let buffers = [input.chunks[chunk.index], output.chunks[chunk.index]];
            match rectifier {
                Rectifier::Clip => recorder.dispatch(ClipForward { len }, &buffers)?,
                Rectifier::Relu => recorder.dispatch(ReluForward { len }, &buffers)?,
            }
        }
        let operation = match rectifier {
            Rectifier::Clip => DeployedOperation::Clip,
            Rectifier::Relu => DeployedOperation::Relu,
        };
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        recorder.describe(&place.name, operation, &ends.0, Vec::new(), ends.1);
        let backward: Backward = Box::new(move |recorder, grad| {
            let result = recorder.tensor("grad_input", input.shape);
            for chunk in recorder.chunks() {
                let (at, len) = (chunk.index, chunk.samples * input.shape.len());
                let buffers = [input.chunks[at], grad.chunks[at], result.chunks[at]];
                match rectifier {
                    Rectifier::Clip => recorder.dispatch(ClipBackward { len }, &buffers)?,
                    Rectifier::Relu => recorder.dispatch(ReluBackward { len }, &buffers)?,
                }
            }
            Ok(vec![Some(result)])
        });
        Ok((Value::Dense(output), backward))
    }
}
