//! Mean over all pixels.

use kernels::{GlobalAvgPoolBackward, GlobalAvgPoolForward};

use super::single_dense;
use crate::{
    GraphError, Recorder, Shape,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// One value per channel.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

impl Layer for GlobalAvgPool {
    fn kind(&self) -> &'static str {
        "global_avg_pool"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        Ok(Kind::dense(Shape::new(1, 1, single_dense(name, inputs)?.shape.channels)))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let shape = input.shape;
        let (pixels, channels) = (shape.pixels(), shape.channels);
        let output = recorder.tensor("output", Shape::new(1, 1, channels));
        for chunk in recorder.chunks() {
            let kernel = GlobalAvgPoolForward { samples: chunk.samples, pixels, channels };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], output.chunks[chunk.index]])?;
        }
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        recorder.describe(&place.name, DeployedOperation::GlobalAvgPool, &ends.0, Vec::new(), ends.1);
        let backward: Backward = Box::new(move |recorder, grad| {
            let result = recorder.tensor("grad_input", shape);
            for chunk in recorder.chunks() {
                let kernel = GlobalAvgPoolBackward { samples: chunk.samples, pixels, channels };
                recorder.dispatch(kernel, &[grad.chunks[chunk.index], result.chunks[chunk.index]])?;
            }
            Ok(vec![Some(result)])
        });
        Ok((Value::Dense(output), backward))
    }
}
