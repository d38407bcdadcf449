//! Several outputs of one network, each with its own loss.

use std::collections::HashSet;

use crate::{GraphError, Network, NetworkBuilder, Node, network::NetworkLayer, tensor::Kind};

/// Class scores with what they are trained on: the labels, other class scores, or both. The loss of a network is the sum over
/// its heads of `labels * cross-entropy(scores, label)` and of the soft term, each a mean over the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// The class scores: one f32 value per class.
    pub scores: Node,
    /// Weight of the cross-entropy with the labels; 0 for none.
    pub labels: f32,
    /// Other class scores to come close to.
    pub soft: Option<SoftTarget>,
}

/// `weight * T^2 * -sum_c q[c] ln p[c]` with `p = softmax(scores / T)` of the head and `q = softmax(scores / T)` of the target,
/// which is a constant: no gradient goes that way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftTarget {
    /// The target's class scores, as many as the head's.
    pub scores: Node,
    /// T, above 0.
    pub temperature: f32,
    /// Weight of the term.
    pub weight: f32,
}

/// `weight` times the mean of `(node - target)^2` over the elements and the batch. The target is a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureMatch {
    /// The output that learns.
    pub node: Node,
    /// An output of the same shape.
    pub target: Node,
    /// Weight of the term.
    pub weight: f32,
}

impl FeatureMatch {
    /// The same pair where node n has become `nodes[n]`.
    pub(crate) fn moved(&self, nodes: &[Node]) -> Self {
        Self { node: nodes[self.node.0], target: nodes[self.target.0], ..*self }
    }

    fn check(&self, layers: &[NetworkLayer]) -> Result<(), GraphError> {
        let [node, target] = [self.node, self.target].map(|Node(at)| layers.get(at));
        let (Some(node), Some(target)) = (node, target) else {
            return Err(GraphError::layer("network", "the image is no feature to match"));
        };
        let fail = |message: String| Err(GraphError::layer(&node.name, message));
        if !(self.weight.is_finite() && self.weight > 0.0) {
            return fail(format!("weight {} of a feature: it is above 0", self.weight));
        }
        let (ours, theirs) = (node.output.shape, target.output.shape);
        if ours != theirs || self.node == self.target {
            return fail(format!("an output of {ours} cannot match `{}` of {theirs}", target.name));
        }
        Ok(())
    }
}

impl Head {
    /// A head that learns the labels alone.
    pub fn labeled(scores: Node) -> Self {
        Self { scores, labels: 1.0, soft: None }
    }

    /// A head that learns another's class scores alone, at temperature 1.
    pub fn distilled(scores: Node, target: Node) -> Self {
        let soft = SoftTarget { scores: target, temperature: 1.0, weight: 1.0 };
        Self { scores, labels: 0.0, soft: Some(soft) }
    }

    /// The same head where node n has become `nodes[n]`.
    pub(crate) fn moved(&self, nodes: &[Node]) -> Self {
        let to = |Node(at): Node| nodes[at];
        let soft = self.soft.map(|soft| SoftTarget { scores: to(soft.scores), ..soft });
        Self { scores: to(self.scores), soft, ..*self }
    }

    /// Nodes that the loss reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = usize> + use<> {
        [Some(self.scores), self.soft.map(|soft| soft.scores)].into_iter().flatten().map(|Node(at)| at)
    }

    fn check(&self, layers: &[NetworkLayer]) -> Result<(), GraphError> {
        let kind = class_scores(layers, self.scores)?;
        let name = &layers[self.scores.0].name;
        let fail = |message: String| Err(GraphError::layer(name, message));
        if !(self.labels.is_finite() && self.labels >= 0.0) {
            return fail(format!("weight {} of the labels: it is 0 or more", self.labels));
        }
        let Some(SoftTarget { scores, temperature, weight }) = self.soft else {
            return if self.labels > 0.0 { Ok(()) } else { fail("nothing to learn from".to_owned()) };
        };
        if !(temperature.is_finite() && temperature > 0.0) {
            return fail(format!("temperature {temperature}: it is above 0"));
        }
        if !(weight.is_finite() && weight > 0.0) {
            return fail(format!("weight {weight} of a soft target: it is above 0"));
        }
        let target = class_scores(layers, scores)?;
        if target != kind || scores == self.scores {
            let (ours, theirs) = (kind.shape, target.shape);
            return fail(format!("scores of {ours} cannot learn `{}` of {theirs}", layers[scores.0].name));
        }
        Ok(())
    }
}

fn class_scores(layers: &[NetworkLayer], node: Node) -> Result<Kind, GraphError> {
    let Some(layer) = layers.get(node.0) else {
        return Err(GraphError::layer("network", "the image has no class scores"));
    };
    match layer.output {
        kind if kind.shape.pixels() == 1 && kind.bits.is_none() => Ok(kind),
        kind => Err(GraphError::layer(
            &layer.name,
            format!("class scores must be 1x1 in f32, not {}", kind.shape),
        )),
    }
}

/// Classes of `heads`, whose first is the main one.
///
/// # Errors
/// A head that is no class scores, has nothing to learn from or stands twice; a layer that no loss reads, or that has
/// parameters and only serves as a target.
pub(crate) fn check(
    layers: &[NetworkLayer],
    heads: &[Head],
    matches: &[FeatureMatch],
) -> Result<u32, GraphError> {
    matches.iter().try_for_each(|pair| pair.check(layers))?;
    let mut seen = HashSet::new();
    for head in heads {
        head.check(layers)?;
        let name = &layers[head.scores.0].name;
        if !seen.insert(head.scores.0) {
            return Err(GraphError::layer(name, "is two heads"));
        }
        let [ours, first] = [head, &heads[0]].map(|head| layers[head.scores.0].output.shape.channels);
        if ours != first {
            return Err(GraphError::layer(name, format!("{ours} classes, the first head has {first}")));
        }
    }
    let learning = heads.iter().map(|head| head.scores).chain(matches.iter().map(|pair| pair.node));
    let trained = ancestors(layers, learning.map(|Node(at)| at));
    let read = ancestors(layers, reads(heads, matches));
    for (at, layer) in layers.iter().enumerate() {
        if !read.contains(&at) {
            return Err(GraphError::layer(&layer.name, "nobody uses its output"));
        }
        if !trained.contains(&at) && layer.reads().any(|spec| layer.trains(spec)) {
            return Err(GraphError::layer(&layer.name, "has parameters that no loss trains"));
        }
    }
    Ok(layers[heads[0].scores.0].output.shape.channels)
}

/// Positions of the layers whose outputs the loss reads.
fn reads(heads: &[Head], matches: &[FeatureMatch]) -> impl Iterator<Item = usize> {
    let pairs = matches.iter().flat_map(|pair| [pair.node.0, pair.target.0]);
    heads.iter().flat_map(Head::reads).chain(pairs)
}

/// Positions of `nodes` and of all layers before them.
fn ancestors(layers: &[NetworkLayer], nodes: impl Iterator<Item = usize>) -> HashSet<usize> {
    let mut found: HashSet<usize> = nodes.collect();
    for at in (0..layers.len()).rev() {
        if found.contains(&at) {
            found.extend(layers[at].inputs.iter().flatten());
        }
    }
    found
}

impl NetworkBuilder {
    /// Adds an output with its loss; the first one is the main head, whose hits are counted and which is evaluated. Without
    /// any, the last layer is the only head and learns the labels. What fits is checked by [`NetworkBuilder::build`].
    pub fn head(&mut self, head: Head) {
        self.heads.push(head);
    }

    /// The heads that were added, the main one first.
    pub fn heads_mut(&mut self) -> &mut [Head] {
        &mut self.heads
    }

    /// Adds a term to the loss by which an output comes close to another.
    pub fn match_features(&mut self, pair: FeatureMatch) {
        self.matches.push(pair);
    }
}

impl NetworkBuilder {
    /// Lets each training step draw one of these lists of heads, by the order in which they were added, and leave the others
    /// out. Gradients of what it leaves out are 0.
    pub fn draw_heads(&mut self, parts: Vec<Vec<usize>>) {
        self.parts = parts;
    }
}

impl Network {
    /// Positions of the layers whose outputs the loss reads, once for each term.
    pub(crate) fn read_by_loss(&self) -> impl Iterator<Item = usize> {
        reads(&self.heads, &self.matches)
    }

    /// Outputs with a loss of their own.
    pub fn head_count(&self) -> usize {
        self.heads.len()
    }

    /// The part of the network that head `at` needs, as a network with that head alone, which learns the labels. Its layers
    /// keep their names, and its parameters theirs: a layer that shared those of a layer which is left out declares them
    /// itself, under the same name. So a session of it can be given the parameters of a session of the whole network
    /// ([`Session::load_parameters`](crate::Session::load_parameters)).
    ///
    /// # Panics
    /// When there is no such head.
    pub fn head(&self, at: usize) -> Self {
        let kept = ancestors(&self.layers, std::iter::once(self.heads[at].scores.0));
        let part = self.restricted(&[at], &[], &kept);
        let heads = part.heads.iter().map(|head| Head::labeled(head.scores)).collect();
        Self { heads, ..part }
    }

    /// The part of the network that these heads need and what they learn from, with their losses.
    pub(crate) fn part(&self, heads: &[usize]) -> Self {
        let mut kept = ancestors(&self.layers, heads.iter().map(|&at| self.heads[at].scores.0));
        let matches: Vec<&FeatureMatch> =
            self.matches.iter().filter(|pair| kept.contains(&pair.node.0)).collect();
        // A frozen target goes along, whatever else does.
        let soft = heads.iter().filter_map(|&at| self.heads[at].soft).map(|soft| soft.scores);
        let targets = soft.chain(matches.iter().map(|pair| pair.target)).map(|Node(at)| at);
        kept.extend(ancestors(&self.layers, targets.filter(|&at| self.layers[at].frozen)));
        self.restricted(heads, &matches, &kept)
    }

    /// The layers at `kept`, with these heads and pairs.
    fn restricted(&self, heads: &[usize], matches: &[&FeatureMatch], kept: &HashSet<usize>) -> Self {
        let chosen = || heads.iter().map(|&at| &self.heads[at]);
        let mut places = vec![None; self.layers.len()];
        let mut layers: Vec<NetworkLayer> = Vec::new();
        for (at, layer) in self.layers.iter().enumerate().filter(|(at, _)| kept.contains(at)) {
            let mut layer = layer.clone();
            layer.inputs = layer.inputs.iter().map(|input| input.and_then(|input| places[input])).collect();
            if !layers.iter().any(|other| other.prefix == layer.prefix) {
                layer.parameters.append(&mut layer.shared);
            }
            places[at] = Some(layers.len());
            layers.push(layer);
        }
        let place = |Node(at): Node| places[at].map(Node);
        let heads = chosen().map(|head| Head {
            scores: place(head.scores).expect("its layers are kept"),
            soft: head.soft.and_then(|soft| Some(SoftTarget { scores: place(soft.scores)?, ..soft })),
            ..*head
        });
        let matches = matches.iter().filter_map(|pair| {
            Some(FeatureMatch { node: place(pair.node)?, target: place(pair.target)?, ..**pair })
        });
        let (heads, matches, parts) = (heads.collect(), matches.collect(), Vec::new());
        let Self { input, classes, pixel_scale, deployed, lengths, .. } = *self;
        // Blocks are positions of the whole network.
        Self {
            layers,
            heads,
            matches,
            parts,
            blocks: Vec::new(),
            input,
            classes,
            pixel_scale,
            deployed,
            lengths,
        }
    }
}
