//! Max-pooling in f32; the gradient goes to the first maximum of each window.

use kernels::{MaxPoolBackward, MaxPoolForward};

use super::single_dense;
use crate::{
    Geometry, GraphError, Link, Recorder, Shape, Tensor,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place, no_backward},
    recorder::Mode,
    tensor::{Kind, Value},
};

/// Maximum over windows; padding never wins.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// Kernel, stride and padding.
    pub geometry: Geometry,
}

impl Layer for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let input = single_dense(name, inputs)?.shape;
        let window = self.geometry.window(1, input).ok_or_else(|| {
            GraphError::layer(name, format!("pool {:?} does not fit {input}", self.geometry))
        })?;
        Ok(Kind::dense(Shape::new(window.out_height, window.out_width, input.channels)))
    }

    fn link(&self) -> Option<Link> {
        Some(Link::Pool(self.geometry))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let geometry = self.geometry;
        if let Value::Deferred(deferred) = &inputs[0]
            && deferred.pool.is_none()
        {
            // Quantization commutes with the maximum, so the pool acts on codes.
            let pooled = deferred.pooled(&place.name, geometry);
            return Ok((Value::Deferred(Box::new(pooled)), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        let (output, argmax) = record(recorder, &place.name, geometry, &input)?;
        let shape = input.shape;
        let backward: Backward = Box::new(move |recorder, grad| {
            let result = recorder.tensor("grad_input", shape);
            for chunk in recorder.chunks() {
                let window = geometry.window(chunk.samples, shape).expect("the pool was checked by infer");
                let (at, channels) = (chunk.index, shape.channels);
                let buffers = [grad.chunks[at], argmax.chunks[at], result.chunks[at]];
                recorder.dispatch(MaxPoolBackward { window, channels }, &buffers)?;
            }
            Ok(vec![Some(result)])
        });
        Ok((Value::Dense(output), backward))
    }
}

pub(crate) fn pooled_shape(geometry: Geometry, shape: Shape) -> Shape {
    let window = geometry.window(1, shape).expect("the pool was checked by infer");
    Shape::new(window.out_height, window.out_width, shape.channels)
}

/// Records the pool `name`; returns its output and, per output of a training step, the tap that won.
pub(crate) fn record(
    recorder: &mut Recorder,
    name: &str,
    geometry: Geometry,
    input: &Tensor,
) -> Result<(Tensor, Tensor), GraphError> {
    let shape = pooled_shape(geometry, input.shape);
    // An evaluation has no backward pass that asks which tap won.
    let keep_taps = !matches!(recorder.mode(), Mode::Evaluate { .. });
    let taps = if keep_taps { shape } else { Shape::new(1, 1, 4) };
    let (output, argmax) = (recorder.tensor("output", shape), recorder.tensor("argmax", taps));
    for chunk in recorder.chunks() {
        let window = geometry.window(chunk.samples, input.shape).expect("the pool was checked by infer");
        let (at, channels) = (chunk.index, input.shape.channels);
        let buffers = [input.chunks[at], output.chunks[at], argmax.chunks[at]];
        recorder.dispatch(MaxPoolForward { window, channels, keep_taps }, &buffers)?;
    }
    let window = geometry.window(1, input.shape).expect("the pool was checked by infer");
    let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
    recorder.describe(name, DeployedOperation::MaxPool(window), &ends.0, Vec::new(), ends.1);
    Ok((output, argmax))
}
