//! Sum of two tensors, the joint of residual networks.

use crate::{
    GraphError, Recorder, Tensor,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// `a + b` elementwise; both gradients are the output's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Add;

impl Layer for Add {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        match inputs {
            [a, b] if a == b && a.bits.is_none() => Ok(*a),
            _ => Err(GraphError::layer(name, format!("adds two f32 tensors of one shape, not {inputs:?}"))),
        }
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let (a, b) = (recorder.dense(&inputs[0])?, recorder.dense(&inputs[1])?);
        let sum = record(recorder, &a, &b)?;
        let inputs = [&a, &b].map(|tensor| Origin::Buffer(tensor.chunks[0]));
        recorder.describe(&place.name, DeployedOperation::Add, &inputs, Vec::new(), Some(sum.chunks[0]));
        Ok((Value::Dense(sum), Box::new(|_, grad| Ok(vec![Some(grad.clone()), Some(grad.clone())]))))
    }
}

/// Records `a + b`.
pub(crate) fn record(recorder: &mut Recorder, a: &Tensor, b: &Tensor) -> Result<Tensor, GraphError> {
    let sum = recorder.tensor("sum", a.shape);
    for chunk in recorder.chunks() {
        let (at, len) = (chunk.index, chunk.samples * a.shape.len());
        recorder.dispatch(kernels::Add { len }, &[a.chunks[at], b.chunks[at], sum.chunks[at]])?;
    }
    Ok(sum)
}
