//! Average pool in f32.

use kernels::{AvgPoolBackward, AvgPoolForward};

use super::single_dense;
use crate::{
    Geometry, GraphError, Recorder, Shape,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    tensor::{Kind, Value},
};

/// Mean over windows; padding does not take part.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool {
    /// Kernel, stride and padding.
    pub geometry: Geometry,
}

impl Layer for AvgPool {
    fn kind(&self) -> &'static str {
        "avg_pool"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let input = single_dense(name, inputs)?.shape;
        let square = self.geometry.kernel.0 == self.geometry.kernel.1;
        let window = self.geometry.window(1, input).filter(|_| square).ok_or_else(|| {
            GraphError::layer(name, format!("pool {:?} does not fit {input}", self.geometry))
        })?;
        Ok(Kind::dense(Shape::new(window.out_height, window.out_width, input.channels)))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let (geometry, shape) = (self.geometry, input.shape);
        let window =
            move |samples: u32| geometry.window(samples, shape).expect("the pool was checked by infer");
        let output = recorder.tensor("output", self.infer(&place.name, &[Kind::dense(shape)])?.shape);
        for chunk in recorder.chunks() {
            let kernel = AvgPoolForward { window: window(chunk.samples), channels: shape.channels };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], output.chunks[chunk.index]])?;
        }
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        recorder.describe(&place.name, DeployedOperation::AvgPool(window(1)), &ends.0, Vec::new(), ends.1);
        let backward: Backward = Box::new(move |recorder, grad| {
            let result = recorder.tensor("grad_input", shape);
            for chunk in recorder.chunks() {
                let kernel = AvgPoolBackward { window: window(chunk.samples), channels: shape.channels };
                recorder.dispatch(kernel, &[grad.chunks[chunk.index], result.chunks[chunk.index]])?;
            }
            Ok(vec![Some(result)])
        });
        Ok((Value::Dense(output), backward))
    }
}
