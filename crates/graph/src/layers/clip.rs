//! Nonlinearities in f32: clip, ReLU and hyperbolic tangent.

use std::sync::Arc;

use kernels::{
    ActivationForm as Form, ClipBackward, ClipForward, ReluBackward, ReluForward, TanhBackward, TanhForward,
};

use super::{quantize::Quantize, single_dense};
use crate::{
    GraphError, Method, Recorder,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    quantizers::DorefaActivation,
    tensor::{Kind, Value},
};

/// Which nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectifier {
    /// `min(max(x, 0), limit)`; the gradient passes where `0 <= x <= limit`.
    Clip,
    /// `min(limit, |x|)`; the gradient passes times the sign of x where `0 < |x| < limit`.
    Cabs,
    /// `max(x, 0)`; the gradient passes where `x > 0`.
    Relu,
    /// `tanh(x)`; its gradient.
    Tanh,
}

/// A nonlinearity that leaves its output in f32.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Which one.
    pub rectifier: Rectifier,
    /// Upper end of the range; ReLU has none.
    pub limit: f32,
}

impl Clip {
    /// A nonlinearity that ends at 1, where it ends.
    pub fn new(rectifier: Rectifier) -> Self {
        Self { rectifier, limit: 1.0 }
    }
}

impl Layer for Clip {
    fn kind(&self) -> &'static str {
        match self.rectifier {
            Rectifier::Clip => "clip",
            Rectifier::Cabs => "cabs",
            Rectifier::Relu => "relu",
            Rectifier::Tanh => "tanh",
        }
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        single_dense(name, inputs)
    }

    fn with_method(&self, method: &Method) -> Option<Arc<dyn Layer>> {
        let rectifier = match (self.rectifier, method.activation_form) {
            (Rectifier::Relu, _) if method.tanh => Rectifier::Tanh,
            (Rectifier::Tanh, _) => return None,
            // A range that is asked for holds for activations in f32 too.
            (Rectifier::Relu, _) if method.group_net.clip.is_none() => return None,
            (_, Form::Clip) => Rectifier::Clip,
            (_, Form::Cabs) => Rectifier::Cabs,
        };
        Some(Arc::new(Self { rectifier, limit: method.group_net.range() }))
    }

    fn quantized_output(&self, bits: u32) -> Option<Arc<dyn Layer>> {
        let form = match self.rectifier {
            Rectifier::Clip => Form::Clip,
            Rectifier::Cabs => Form::Cabs,
            Rectifier::Relu | Rectifier::Tanh => return None,
        };
        Some(Arc::new(Quantize {
            quantizer: Arc::new(DorefaActivation { form, range: self.limit, ..DorefaActivation::new(bits) }),
        }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let Self { rectifier, limit } = *self;
        let input = recorder.dense(&inputs[0])?;
        let output = recorder.tensor("output", input.shape);
        for chunk in recorder.chunks() {
            let len = chunk.samples * input.shape.len();
            let buffers = [input.chunks[chunk.index], output.chunks[chunk.index]];
            match rectifier {
                Rectifier::Clip => {
                    recorder.dispatch(ClipForward { len, form: Form::Clip, limit }, &buffers)?
                }
                Rectifier::Cabs => {
                    recorder.dispatch(ClipForward { len, form: Form::Cabs, limit }, &buffers)?
                }
                Rectifier::Relu => recorder.dispatch(ReluForward { len }, &buffers)?,
                Rectifier::Tanh => recorder.dispatch(TanhForward { len }, &buffers)?,
            }
        }
        let operation = match rectifier {
            Rectifier::Clip => Some(DeployedOperation::Clip { limit }),
            Rectifier::Relu => Some(DeployedOperation::Relu),
            Rectifier::Cabs => Some(DeployedOperation::Magnitude { limit }),
            Rectifier::Tanh => None,
        };
        let ends = ([Origin::Buffer(input.chunks[0])], Some(output.chunks[0]));
        match operation {
            Some(operation) => {
                recorder.describe(&place.name, operation, &ends.0, Vec::new(), ends.1);
            }
            None => recorder.describe_nothing(&place.name),
        }
        let kept = if rectifier == Rectifier::Tanh { output.clone() } else { input };
        let backward: Backward = Box::new(move |recorder, grad| {
            let result = recorder.tensor("grad_input", kept.shape);
            for chunk in recorder.chunks() {
                let (at, len) = (chunk.index, chunk.samples * kept.shape.len());
                let buffers = [kept.chunks[at], grad.chunks[at], result.chunks[at]];
                match rectifier {
                    Rectifier::Clip => {
                        recorder.dispatch(ClipBackward { len, form: Form::Clip, limit }, &buffers)?;
                    }
                    Rectifier::Cabs => {
                        recorder.dispatch(ClipBackward { len, form: Form::Cabs, limit }, &buffers)?;
                    }
                    Rectifier::Relu => recorder.dispatch(ReluBackward { len }, &buffers)?,
                    Rectifier::Tanh => recorder.dispatch(TanhBackward { len }, &buffers)?,
                }
            }
            Ok(vec![Some(result)])
        });
        Ok((Value::Dense(output), backward))
    }
}
