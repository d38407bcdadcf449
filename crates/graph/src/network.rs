//! Networks: a directed acyclic graph of layers, built input first.

use std::sync::Arc;

use kernels::PixelScale;

use crate::{
    Bits, Block, FULL_PRECISION, FeatureMatch, Head, LayerSummary, Shape,
    bit_length::Lengths,
    layer::Layer,
    layers::QuantizedConv2d,
    parameter::ParameterSpec,
    quantizers::{DorefaGradient, DorefaWeight, GradientQuantizer, WeightQuantizer},
    shape::Geometry,
    tensor::Kind,
};

/// The output of a layer, to be the input of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(pub(crate) usize);

#[derive(Clone, Debug)]
pub(crate) struct NetworkLayer {
    pub name: String,
    pub layer: Arc<dyn Layer>,
    /// Positions of the inputs in [`Network::layers`]; `None` is the image.
    pub inputs: Vec<Option<usize>>,
    pub input_kinds: Vec<Kind>,
    pub output: Kind,
    /// Names its parameters: its own name, or that of the layer whose parameters it shares.
    pub prefix: String,
    /// Parameters that it declares.
    pub parameters: Vec<ParameterSpec>,
    /// Parameters that another layer declares.
    pub shared: Vec<ParameterSpec>,
    /// Goes along and stays as it is.
    pub frozen: bool,
    /// Its parameters stay as they are; gradients go through it to layers before it.
    pub fixed: bool,
}

/// A network from an image to class scores.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) layers: Vec<NetworkLayer>,
    /// Shape of the image that the first layers read.
    pub input: Shape,
    /// Number of classes.
    pub classes: u32,
    /// Outputs with a loss, the main one first.
    pub(crate) heads: Vec<Head>,
    /// Lists of heads of which each training step draws one; none where all are trained in every step.
    pub(crate) parts: Vec<Vec<usize>>,
    /// Outputs that are to come close to others.
    pub(crate) matches: Vec<FeatureMatch>,
    /// In order, each beginning where the one before ends.
    pub(crate) blocks: Vec<Block>,
    /// What becomes of the pictures' values.
    pub pixel_scale: PixelScale,
    /// Evaluated only: there are no gradients.
    pub(crate) deployed: bool,
    /// Learned bit lengths.
    pub(crate) lengths: Option<Lengths>,
}

impl Network {
    /// Trainable values.
    pub fn parameter_count(&self) -> u64 {
        let trainable = self.layers.iter().flat_map(|l| &l.parameters).filter(|p| p.trainable);
        trainable.map(|p| p.len() as u64).sum()
    }

    /// Parameters with a decay of their own, by name.
    pub fn weight_decays(&self) -> Vec<(String, f32)> {
        let named = |l: &NetworkLayer, p: &ParameterSpec| (l.parameter_name(p), p.weight_decay);
        let all = self.layers.iter().flat_map(|l| l.parameters.iter().map(move |p| named(l, p)));
        all.filter(|(_, decay)| *decay != 0.0).collect()
    }

    /// Parameters and running statistics with their shapes, `(layer.name, shape)`, in the order of the layers; what several
    /// layers share stands once.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let of =
            |layer: &NetworkLayer, spec: &ParameterSpec| (layer.parameter_name(spec), spec.shape.clone());
        self.layers
            .iter()
            .flat_map(|layer| layer.parameters.iter().map(move |spec| of(layer, spec)))
            .collect()
    }

    /// One line per layer.
    pub fn summary(&self) -> Vec<LayerSummary> {
        self.layers.iter().map(NetworkLayer::summary).collect()
    }
}

impl NetworkLayer {
    /// Parameters that it computes with, its own or shared ones.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &ParameterSpec> {
        self.parameters.iter().chain(&self.shared)
    }

    /// Whether the optimizer updates a parameter that it reads.
    pub(crate) fn trains(&self, spec: &ParameterSpec) -> bool {
        spec.trainable && !self.fixed
    }

    pub(crate) fn parameter_name(&self, spec: &ParameterSpec) -> String {
        format!("{}.{}", self.prefix, spec.name)
    }

    fn summary(&self) -> LayerSummary {
        let trainable = self.parameters.iter().filter(|p| p.trainable);
        LayerSummary {
            name: self.name.clone(),
            kind: self.layer.kind(),
            output: self.output,
            parameters: trainable.map(|p| p.len() as u64).sum(),
            // A length is the number of planes, not something that is stored beside them.
            stored_bits: (self.parameters.iter().filter(|p| !p.is_length))
                .map(|p| p.len() as f64 * self.layer.stored_bits(p))
                .sum(),
            macs: self.layer.macs(&self.input_kinds, self.output),
            bits: self.layer.bits(&self.input_kinds),
        }
    }
}

impl QuantizedConv2d {
    /// DoReFa-Net's quantizers of `bits`, without bias, groups and decay.
    pub fn dorefa(out_channels: u32, geometry: Geometry, bits: Bits) -> Self {
        let weight = (bits.weight != FULL_PRECISION)
            .then(|| Arc::new(DorefaWeight::new(bits.weight)) as Arc<dyn WeightQuantizer>);
        let gradient = (bits.gradient != FULL_PRECISION)
            .then(|| Arc::new(DorefaGradient::new(bits.gradient)) as Arc<dyn GradientQuantizer>);
        Self { out_channels, geometry, groups: 1, bias: false, weight_decay: 0.0, weight, gradient }
    }
}
