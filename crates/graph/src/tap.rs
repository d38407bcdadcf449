//! What of a training step can be looked at: where each layer's weights, activations and gradients lie while
//! it runs.
//!
//! Taps are notes made while a step is recorded; they add no dispatch. A transient is read right behind the
//! dispatch that wrote it last, when no other has taken its memory.

use kernels::Kind;
use recording::{BufferSlice, Dispatch};

use crate::{
    Network, Recorder, Tensor, Value,
    network::NetworkLayer,
    quantizers::GradientPlanes,
    recorder::{Chunk, Mode, Phase},
};

/// What is looked at of a layer with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Its weights, as they are before the optimizer's update.
    Weights,
    /// What its forward product reads.
    Activations,
    /// The gradient of its output.
    Gradients,
}

/// Where one of them lies, for one chunk of samples or for all.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    pub layer: String,
    pub quantity: Quantity,
    pub phase: Phase,
    pub form: Form,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// f32 values of so many samples.
    Values { values: BufferSlice, samples: u32 },
    /// Packed codes `[plane][row][words(k)]`, and a scale of them all or of each sample.
    Codes { planes: BufferSlice, rows: u32, k: u32, bits: u32, kind: Kind, scale: Option<BufferSlice> },
}

impl Form {
    fn source(&self) -> BufferSlice {
        match self {
            Self::Values { values, .. } => *values,
            Self::Codes { planes, .. } => *planes,
        }
    }
}

impl Tap {
    /// Dispatches of its phase after which it can be read: none where an earlier phase wrote it for this one.
    pub(crate) fn ready(&self, dispatches: &[Dispatch]) -> usize {
        let source = self.form.source().buffer;
        let writes = |dispatch: &Dispatch| dispatch.outputs().any(|output| output.buffer == source);
        dispatches.iter().rposition(writes).map_or(0, |at| at + 1)
    }
}

impl Network {
    /// Names of the layers that have weights, whose values [`Session::observe`](crate::Session::observe)
    /// shows.
    pub fn weighted_layers(&self) -> Vec<&str> {
        self.layers
            .iter()
            .filter(|layer| has_weight(layer) && !layer.frozen)
            .map(|layer| layer.name.as_str())
            .collect()
    }
}

fn has_weight(layer: &NetworkLayer) -> bool {
    layer.parameters.iter().any(|parameter| parameter.name == WEIGHT)
}

/// The parameter that makes a layer one with weights.
pub(crate) const WEIGHT: &str = "weight";

impl Recorder {
    fn tap(&mut self, quantity: Quantity, form: Form) {
        // What an evaluation, a frozen part or a drawn one computes is not looked at.
        let skipped = matches!(self.mode, Mode::Evaluate { .. } | Mode::Frozen);
        if !skipped && !matches!(self.phase, Phase::Part { .. }) {
            let (layer, phase) = (self.scope.layer.clone(), self.phase);
            self.taps.push(Tap { layer, quantity, phase, form });
        }
    }

    /// Notes the input of `layer`, which is about to be recorded.
    pub(crate) fn tap_input(&mut self, layer: &NetworkLayer, inputs: &[Value]) {
        if !has_weight(layer) {
            return;
        }
        for chunk in self.chunks() {
            let form = match inputs.first() {
                Some(Value::Dense(tensor)) => {
                    Form::Values { values: tensor.chunks[chunk.index], samples: chunk.samples }
                }
                Some(Value::Packed(packed)) => match packed.single() {
                    Some(group) => Form::Codes {
                        planes: packed.chunks[chunk.index],
                        rows: chunk.samples * packed.shape.pixels(),
                        k: packed.shape.channels,
                        bits: group.planes.planes,
                        kind: packed.kind,
                        scale: None,
                    },
                    // Several groups have no common code.
                    None => continue,
                },
                _ => continue,
            };
            self.tap(Quantity::Activations, form);
        }
    }

    /// Notes the gradient of the output of `layer`, whose backward pass is about to be recorded.
    pub(crate) fn tap_gradient(&mut self, layer: &NetworkLayer, grad: &Tensor) {
        if has_weight(layer) {
            for chunk in self.chunks() {
                let (values, samples) = (grad.chunks[chunk.index], chunk.samples);
                self.tap(Quantity::Gradients, Form::Values { values, samples });
            }
        }
    }

    /// Notes the codes of a gradient with `channels` channels, one scale a sample.
    pub(crate) fn tap_gradient_codes(
        &mut self,
        chunk: Chunk,
        (pixels, channels): (u32, u32),
        gradient: &GradientPlanes,
    ) {
        let GradientPlanes { planes, scale, bits, .. } = *gradient;
        let rows = chunk.samples * pixels;
        let form = Form::Codes { planes, rows, k: channels, bits, kind: Kind::Sign, scale: Some(scale) };
        self.tap(Quantity::Gradients, form);
    }

    /// Notes the codes of the weights in `rows` rows, and their common scale.
    pub(crate) fn tap_weight_codes(
        &mut self,
        planes: BufferSlice,
        (rows, k): (u32, u32),
        bits: u32,
        scale: Option<BufferSlice>,
    ) {
        let known = |tap: &Tap| tap.quantity == Quantity::Weights && tap.layer == self.scope.layer;
        if self.phase == Phase::Forward && !self.taps.iter().any(known) {
            self.tap(Quantity::Weights, Form::Codes { planes, rows, k, bits, kind: Kind::Sign, scale });
        }
    }
}
