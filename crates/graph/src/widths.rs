//! One network for several widths (FlexNet): a subnetwork for each, on weights that are shared and packed once.

use crate::{Cut, FULL_PRECISION, GraphError, Head, Network, NetworkBuilder, Node, network::NetworkLayer};

/// What the subnetworks are trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WidthLoss {
    /// The widest learns the labels, each narrower one the class scores of the next wider, as constants.
    #[default]
    Recursive,
    /// Every one learns the labels.
    Joint,
    /// A step trains the widest on the labels and one other, drawn anew each time, on the class scores of the widest, as
    /// constants.
    Sampled,
}

/// Subnetworks that are trained together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Bits of weights and activations, the widest first.
    pub bits: Vec<u32>,
    /// What they learn from.
    pub loss: WidthLoss,
    /// Each has batch norms of its own; otherwise they share factors, offsets and running statistics.
    pub own_batch_norms: bool,
}

/// What layer `layer` of the widest subnetwork is called in that of `bits` bits.
pub fn name_at_width(layer: &str, bits: u32) -> String {
    format!("{layer}@{bits}")
}

/// The layer and the bits of a name by [`name_at_width`]; none for a layer of the widest subnetwork.
pub fn width_of_name(name: &str) -> Option<(&str, u32)> {
    let (layer, bits) = name.rsplit_once('@')?;
    Some((layer, bits.parse().ok()?))
}

impl NetworkLayer {
    fn is_batch_norm(&self) -> bool {
        self.layer.kind() == "batch_norm"
    }
}

impl Network {
    /// This network as the widest of `widths`, and narrower ones beside it, with a head each. Layers before the first codes are
    /// common to all; the others compute with the parameters of the widest, but for batch norms that each has of its own.
    ///
    /// # Errors
    /// As [`Network::cut`].
    pub fn with_widths(&self, widths: &Widths) -> Result<Self, GraphError> {
        let mut builder = NetworkBuilder::new(self.input);
        let differs = self.differing_layers(widths.own_batch_norms);
        let mut widest: Vec<Node> = Vec::new();
        let mut scores: Vec<Node> = Vec::new();
        for &bits in &widths.bits {
            let network = self.cut(&Cut::uniform(bits))?;
            let mut nodes: Vec<Node> = Vec::new();
            for (at, layer) in network.layers.iter().enumerate() {
                let inputs = layer.inputs.iter().map(|input| input.map_or(builder.input(), |at| nodes[at]));
                let inputs: Vec<Node> = inputs.collect();
                let (rule, name) = (layer.layer.clone(), name_at_width(&layer.name, bits));
                let own = layer.parameters.is_empty() || (layer.is_batch_norm() && widths.own_batch_norms);
                nodes.push(match scores.is_empty() {
                    true => builder.add_layer(&layer.name, rule, &inputs)?,
                    false if !differs[at] => widest[at],
                    false if own => builder.add_layer(&name, rule, &inputs)?,
                    false => builder.add_shared_layer(&name, rule, &inputs, &layer.name)?,
                });
            }
            let last = *nodes.last().expect("a network has layers");
            builder.head(match (widths.loss, scores.last()) {
                (WidthLoss::Recursive, Some(&wider)) => Head::distilled(last, wider),
                (WidthLoss::Sampled, Some(_)) => Head::distilled(last, scores[0]),
                _ => Head::labeled(last),
            });
            scores.push(last);
            widest = if widest.is_empty() { nodes } else { widest };
        }
        if widths.loss == WidthLoss::Sampled {
            builder.draw_heads((1..scores.len()).map(|narrower| vec![0, narrower]).collect());
        }
        builder.build()
    }

    /// Whether each layer computes something else at another width.
    fn differing_layers(&self, own_batch_norms: bool) -> Vec<bool> {
        let mut differs: Vec<bool> = Vec::new();
        for layer in &self.layers {
            let itself = layer.layer.codes().is_some() || (own_batch_norms && layer.is_batch_norm());
            differs.push(itself || layer.inputs.iter().flatten().any(|&input| differs[input]));
        }
        differs
    }

    /// Every batch norm with the bits of the wider operand of the quantized convolution before it, where there is one.
    pub fn batch_norm_widths(&self) -> Vec<(&str, Option<u32>)> {
        let norms = self.layers.iter().enumerate().filter(|(_, layer)| layer.is_batch_norm());
        norms.map(|(at, layer)| (layer.name.as_str(), self.product_width_before(at))).collect()
    }

    fn product_width_before(&self, at: usize) -> Option<u32> {
        let before = |&input: &usize| {
            let layer = &self.layers[input];
            match layer.layer.bits(&layer.input_kinds) {
                Some(bits) => Some(bits.weight.max(bits.activation)).filter(|bits| *bits < FULL_PRECISION),
                None => self.product_width_before(input),
            }
        };
        self.layers[at].inputs.iter().flatten().filter_map(before).max()
    }
}
