//! Variants of DoReFa-Net's method that a network takes on as a whole.

use std::{collections::HashMap, sync::Arc};

use kernels::{ActivationForm, Rounding};
use reference::{nested::NestedForm, quantize::GradientScale};

use crate::{
    Bits, FULL_PRECISION, GraphError, Heterogeneous, Layer, LearnedBits, Network, NetworkBuilder, Node,
    layers::Quantize,
    quantizers::{ActivationQuantizer, DorefaActivation, HbnnActivation, Pixels, SignActivation},
};

/// What the quantizers and nonlinearities of a network compute; the default is the paper's text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Method {
    /// What limits activations to [0, 1].
    pub activation_form: ActivationForm,
    /// Hyperbolic tangents in place of the rectifiers of full-precision activations: what a network of binary activations
    /// may be trained with first.
    pub tanh: bool,
    /// How codes of weights and activations are rounded.
    pub rounding: Rounding,
    /// The maximum in equation 9 is differentiated too.
    pub max_gradient: bool,
    /// What the scale of a quantized gradient spans.
    pub gradient_scale: GradientScale,
    /// Widths of weights and gradients of the first layer, which reads the bytes of the pictures as 8 planes; none leaves it
    /// in f32.
    pub first: Option<Bits>,
    /// Widths of the inputs, weights and gradients of the last layer; none leaves it in f32.
    pub last: Option<Bits>,
    /// Codes whose upper bits are the codes of fewer, with one scale for weights of all widths; none leaves DoReFa-Net's.
    pub nested: Option<NestedForm>,
    /// Weights are binarized level by level, each to a depth of its own.
    pub heterogeneous: Option<Heterogeneous>,
    /// Channels of activations have bits of their own.
    pub channel_bits: Option<HbnnActivation>,
    /// Bits of weights and activations are learned; none keeps those that the network was built with.
    pub learned_bits: Option<LearnedBits>,
    /// Group-Net's quantizers, where they differ from DoReFa-Net's.
    pub group_net: GroupNetRules,
}

/// Group-Net's quantizers, equations 1 and 2; the default is what they have in common with DoReFa-Net's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupNetRules {
    /// Weights of one bit have a scale per output channel.
    pub channel_scales: bool,
    /// Upper end of the activations' range; none leaves DoReFa-Net's, [0, 1] for codes and no end in f32.
    pub clip: Option<f32>,
    /// What takes the place of 1-bit activations in {0, 1}.
    pub signs: Option<SignActivation>,
}

impl GroupNetRules {
    /// Upper end of the range of codes.
    pub fn range(&self) -> f32 {
        self.clip.unwrap_or(1.0)
    }
}

/// What takes the place of a layer.
pub(crate) struct Change {
    pub layer: Arc<dyn Layer>,
    /// A layer before it that quantizes its input, by name.
    pub before: Option<(String, Arc<dyn Layer>)>,
}

impl Network {
    /// The same network by `method`. Parameters keep their names, shapes and first values; rules may add some of their own.
    ///
    /// # Errors
    /// A first or last layer that has no quantized form; a tangent asked for where no rectifier is.
    pub fn with_method(self, method: &Method) -> Result<Self, GraphError> {
        let mut network = self;
        if method.tanh && !network.layers.iter().any(|layer| layer.layer.kind() == "relu") {
            let message =
                "no activation in full precision that a tangent could take the place of; use --bits W,32,G";
            return Err(GraphError::layer("network", message));
        }
        if let Some(bits) = method.first {
            network = network.with_first(bits)?;
        }
        if let Some(bits) = method.last {
            network = network.with_last(bits)?;
        }
        for layer in &mut network.layers {
            if layer.frozen {
                continue;
            }
            if let Some(changed) = layer.layer.with_method(method) {
                let own = if layer.shared.is_empty() { &mut layer.parameters } else { &mut layer.shared };
                *own = changed.parameters(&layer.input_kinds);
                layer.layer = changed;
            }
        }
        match method.learned_bits {
            Some(learned) => network.with_learned_bits(learned),
            None => Ok(network),
        }
    }

    fn with_first(self, bits: Bits) -> Result<Self, GraphError> {
        self.single_head("first")?;
        let readers: Vec<usize> =
            (0..self.layers.len()).filter(|&at| self.layers[at].inputs.contains(&None)).collect();
        let [at] = readers[..] else {
            return Err(GraphError::layer("network", "several layers read the picture; none is quantized"));
        };
        if bits.weight == FULL_PRECISION && bits.gradient == FULL_PRECISION {
            return Ok(self);
        }
        let layer = self.quantized(at, bits)?;
        let before = Some(quantize(&self.layers[at].name, "pixels", Arc::new(Pixels)));
        self.rebuilt(&HashMap::from([(at, Change { layer, before })]))
    }

    /// A network with one head and no shared parameters, whose layers can be exchanged one by one.
    fn single_head(&self, which: &str) -> Result<(), GraphError> {
        let shared = self.layers.iter().find(|layer| layer.prefix != layer.name);
        if self.heads.len() == 1 && shared.is_none() {
            return Ok(());
        }
        let layer = shared.map_or("network", |layer| layer.name.as_str());
        let message =
            format!("the {which} layer of a network of several heads is quantized when it is built");
        Err(GraphError::layer(layer, message))
    }

    fn with_last(self, bits: Bits) -> Result<Self, GraphError> {
        self.single_head("last")?;
        let at = self.layers.len() - 1;
        let mut changes = HashMap::from([(at, Change { layer: self.quantized(at, bits)?, before: None })]);
        let is_code = self.layers[at].input_kinds[0].bits.is_some();
        if bits.activation != FULL_PRECISION && !is_code {
            let source = self.layers[at].inputs[0];
            let readers =
                self.layers.iter().flat_map(|layer| &layer.inputs).filter(|&&input| input == source);
            let alone = readers.count() == 1;
            let codes = source.filter(|_| alone).and_then(|source| {
                Some((source, self.layers[source].layer.quantized_output(bits.activation)?))
            });
            match codes {
                Some((source, layer)) => {
                    changes.insert(source, Change { layer, before: None });
                }
                None => {
                    let rule = Arc::new(DorefaActivation::new(bits.activation));
                    let before = Some(quantize(&self.layers[at].name, "codes", rule));
                    changes.entry(at).and_modify(|change| change.before = before);
                }
            }
        }
        self.rebuilt(&changes)
    }

    fn quantized(&self, at: usize, bits: Bits) -> Result<Arc<dyn Layer>, GraphError> {
        let layer = &self.layers[at];
        layer.layer.quantized(&layer.input_kinds, bits).ok_or_else(|| {
            GraphError::layer(
                &layer.name,
                format!("a layer of kind {} has no quantized form", layer.layer.kind()),
            )
        })
    }

    pub(crate) fn rebuilt(&self, changes: &HashMap<usize, Change>) -> Result<Self, GraphError> {
        let mut builder = NetworkBuilder::new(self.input);
        let mut nodes: Vec<Node> = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let mut inputs: Vec<Node> = layer
                .inputs
                .iter()
                .map(|input| input.map_or(builder.input(), |input| nodes[input]))
                .collect();
            let change = changes.get(&at);
            if let Some((name, before)) = change.and_then(|change| change.before.as_ref()) {
                inputs = vec![builder.add_layer(name, before.clone(), &inputs)?];
            }
            let kept = change.map_or(&layer.layer, |change| &change.layer);
            nodes.push(builder.add_layer(&layer.name, kept.clone(), &inputs)?);
            builder.inherit(layer);
        }
        self.heads.iter().for_each(|head| builder.head(head.moved(&nodes)));
        self.matches.iter().for_each(|pair| builder.match_features(pair.moved(&nodes)));
        Ok(Self { lengths: self.lengths, pixel_scale: self.pixel_scale, ..builder.build()? })
    }
}

/// A layer that quantizes the input of layer `name`.
fn quantize(name: &str, what: &str, quantizer: Arc<dyn ActivationQuantizer>) -> (String, Arc<dyn Layer>) {
    (format!("{name}.{what}"), Arc::new(Quantize { quantizer }))
}
