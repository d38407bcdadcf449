//! Integer sums to codes by thresholds that are known already, in a network that is deployed and no longer trained.

use reference::quantize::levels;

use super::single_dense;
use crate::{
    DeployedCodes, Geometry, GraphError, Init, ParameterSpec, Recorder, Shape,
    layer::{Backward, Layer, Place, no_backward},
    tensor::{Kind, Value},
};

/// Comparisons, and the maximum of codes over a window. Parameter: `thresholds` `[1 + n][channel]`, row 0 the directions.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// Bits of a code.
    pub bits: u32,
    /// The pool.
    pub pool: Option<Geometry>,
    /// What codes stand for.
    pub codes: DeployedCodes,
}

impl Layer for Threshold {
    fn kind(&self) -> &'static str {
        "threshold"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let mut shape = single_dense(name, inputs)?.shape;
        if let Some(geometry) = self.pool {
            let window = geometry
                .window(1, shape)
                .ok_or_else(|| GraphError::layer(name, format!("pool {geometry:?} does not fit {shape}")))?;
            shape = Shape::new(window.out_height, window.out_width, shape.channels);
        }
        Ok(Kind { shape, bits: Some(self.bits) })
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let shape = vec![1 + levels(self.bits) as usize, inputs[0].shape.channels as usize];
        let (init, trainable) = (Init::Constant(0.0), false);
        vec![ParameterSpec {
            name: "thresholds",
            shape,
            init,
            trainable,
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
        let Value::Deferred(deferred) = &inputs[0] else {
            return Err(GraphError::layer(&place.name, "takes the sums of a convolution of codes"));
        };
        let thresholds = recorder.parameter("thresholds").value;
        let deferred = match self.pool {
            Some(geometry) => deferred.pooled(&place.name, geometry),
            None => deferred.as_ref().clone(),
        };
        let packed = deferred.compare(recorder, thresholds, &self.codes, self.bits)?;
        Ok((Value::Packed(packed), no_backward()))
    }
}
