//! Means over windows of a single channel, in a network that is deployed and no longer trained.

use super::single_dense;
use crate::{
    Convolution, Geometry, GraphError, Recorder, Tensor,
    binary_input::window_means,
    layer::{Backward, Layer, Place, no_backward},
    tensor::{Kind, Value},
};

/// The sum of one channel over each window by the number of the window's taps; what lies outside counts 0.
#[derive(Clone, Copy, Debug)]
pub struct WindowMean {
    /// The windows.
    pub geometry: Geometry,
}

impl Layer for WindowMean {
    fn kind(&self) -> &'static str {
        "window_mean"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let input = single_dense(name, inputs)?;
        if input.shape.channels != 1 {
            let message = format!("takes one channel, not {}", input.shape.channels);
            return Err(GraphError::layer(name, message));
        }
        Ok(Kind::dense(Convolution::new(name, self.geometry, input.shape, 1)?.output))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let input = recorder.dense(&inputs[0])?;
        let windows = Convolution::new(&place.name, self.geometry, input.shape, 1)?;
        let chunks = window_means(recorder, &windows, &input.chunks)?;
        Ok((Value::Dense(Tensor { shape: windows.output, chunks, maxima: None }), no_backward()))
    }
}
