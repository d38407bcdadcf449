//! The contract of a layer.

use std::{fmt, sync::Arc};

use crate::{
    Bits, Codes, GraphError, LengthForm, Link, Method, ParameterSpec, Recorder, Tensor,
    tensor::{Kind, Value},
};

/// Records the backward pass of one layer: from the gradient of its output to the gradients of its inputs (`None` for an
/// input that needs none), writing parameter gradients on the way.
pub type Backward = Box<dyn FnOnce(&mut Recorder, &Tensor) -> Result<Vec<Option<Tensor>>, GraphError>>;

/// Where a layer stands in its network.
#[derive(Clone, Debug)]
pub struct Place {
    /// Layer name.
    pub name: String,
    /// Position in the network; names the layer's stream of random numbers.
    pub stream: u32,
    /// Whether each input needs a gradient.
    pub needs_grad: Vec<bool>,
}

/// A differentiable function of one or more values. Forward and backward stand in one file: `forward` records the
/// forward dispatches and returns, as a closure over what it kept, the recording of the backward pass.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The layer's type, e.g. `quantized_conv2d`.
    fn kind(&self) -> &'static str;

    /// The output for inputs of these kinds.
    ///
    /// # Errors
    /// [`GraphError::Layer`] with the sizes that do not fit.
    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError>;

    /// Parameters for inputs of these kinds.
    fn parameters(&self, _inputs: &[Kind]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Multiply-accumulates of one sample.
    fn macs(&self, _inputs: &[Kind], _output: Kind) -> u64 {
        0
    }

    /// Widths of a layer whose products are quantized.
    fn bits(&self, _inputs: &[Kind]) -> Option<Bits> {
        None
    }

    /// Bits that a deployed network stores for one value of a parameter.
    fn stored_bits(&self, _parameter: &ParameterSpec) -> f64 {
        32.0
    }

    /// Whether anything in the layer's backward pass reads its output, which must then stay as it is.
    fn keeps_output(&self) -> bool {
        true
    }

    /// What the layer does, where it may be recorded together with its neighbors.
    fn link(&self) -> Option<Link> {
        None
    }

    /// The same layer by another method, where that changes it.
    fn with_method(&self, _method: &Method) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The same layer with quantized operands, where it has such a form; its parameters keep names and shapes.
    fn quantized(&self, _inputs: &[Kind], _bits: Bits) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The same nonlinearity with its output quantized to `bits`, where it has such a form.
    fn quantized_output(&self, _bits: u32) -> Option<Arc<dyn Layer>> {
        None
    }

    /// Codes that the layer makes.
    fn codes(&self) -> Option<Codes> {
        None
    }

    /// The same layer on the upper `bits` of its codes, where it has such a form.
    fn cut(&self, _bits: u32) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The same layer with `groups` learned bit lengths for equally many channels each, where it has such a form; its other
    /// parameters keep names and shapes.
    fn with_learned_bits(&self, _form: LengthForm, _groups: u32) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The same layer with what its rule draws from a layer's name drawn from `name`, where a rule does so.
    fn drawn_from(&self, _name: &str, _inputs: &[Kind]) -> Option<Arc<dyn Layer>> {
        None
    }

    /// The layer as a saved state wants it recorded, where that is not how it is; `read` gives the values of one of its
    /// parameters.
    fn for_state(&self, _read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn Layer>> {
        None
    }

    /// Records the forward pass.
    ///
    /// # Errors
    /// Dispatches that do not fit.
    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError>;
}

/// A backward pass that an evaluation never runs.
pub(crate) fn no_backward() -> Backward {
    Box::new(|_, _| {
        Err(GraphError::Order { call: "backward", message: "an evaluation has no backward pass" })
    })
}

/// One line of a report about a network.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSummary {
    /// Layer name.
    pub name: String,
    /// Layer type.
    pub kind: &'static str,
    /// Output of one sample.
    pub output: Kind,
    /// Trainable values.
    pub parameters: u64,
    /// Bits that a deployed network stores for the layer's parameters and statistics.
    pub stored_bits: f64,
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Widths of quantized products.
    pub bits: Option<Bits>,
}
