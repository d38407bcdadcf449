//! A constant factor.

use kernels::ColumnSum;

use super::single_dense;
use crate::{
    GraphError, Recorder, Tensor,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// `factor * x` in f32.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The factor.
    pub factor: f32,
}

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
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
        let scale = *self;
        let input = recorder.dense(&inputs[0])?;
        let output = scale.record(recorder, &input, "output")?;
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        let operation = DeployedOperation::Scale { factor: self.factor };
        recorder.describe(&place.name, operation, &ends.0, Vec::new(), ends.1);
        let backward: Backward =
            Box::new(move |recorder, grad| Ok(vec![Some(scale.record(recorder, grad, "grad_input")?)]));
        Ok((Value::Dense(output), backward))
    }
}

impl Scale {
    /// Sums of single rows, times the factor.
    pub(super) fn record(
        self,
        recorder: &mut Recorder,
        values: &Tensor,
        label: &str,
    ) -> Result<Tensor, GraphError> {
        let result = recorder.tensor(label, values.shape);
        for chunk in recorder.chunks() {
            let rows = chunk.samples * values.shape.pixels();
            let kernel = ColumnSum { factor: self.factor, ..ColumnSum::new(rows, values.shape.channels, 1) };
            recorder.dispatch(kernel, &[values.chunks[chunk.index], result.chunks[chunk.index]])?;
        }
        Ok(result)
    }
}
