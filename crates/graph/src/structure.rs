//! Group-Net's structures: a network whose quantized layers, blocks or groups of blocks become K bases, whose outputs are
//! combined with learned scales.
//!
//! A group's first layers, up to the first one with weights, compute the same for every base, so that one normalization,
//! quantization and packing serves all of them.

use std::{fmt, ops::Range, str::FromStr, sync::Arc};

use crate::{
    GraphError, Network, NetworkBuilder, Node,
    layers::{SoftConnection, WeightedSum},
    network::NetworkLayer,
};

/// Bases of a group at most.
pub const MOST_BASES: u32 = 64;

/// Consecutive layers of a network from one tensor to the next, such as a residual block or a pair of plain layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Name, with which those of its layers may begin.
    pub name: String,
    /// Positions of its layers; the last one's output is the block's.
    pub layers: Range<usize>,
    /// Positions of the layers with weights that its shortcut has.
    pub shortcut: Vec<usize>,
}

/// Which parts of a network are approximated by bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Every quantized layer by itself (equation 3).
    LayerWise,
    /// Groups of so many blocks, the last one of those that are left: 1 is equation 5, 2 equation 6.
    Every(u32),
    /// All blocks as one group, an ensemble up to the classifier.
    Whole,
    /// Groups of these numbers of blocks.
    Groups(Vec<u32>),
}

/// What the outputs of the bases are multiplied with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseScales {
    /// Learned factors, which start at 1/K.
    #[default]
    Learned,
    /// 1/K.
    Average,
}

/// Whose the layers in the shortcut of a group's first block are. Blocks behind it read another input in every base, so that
/// their shortcuts are always the base's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shortcut {
    /// One for all bases.
    #[default]
    Shared,
    /// One for each base.
    Own,
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// What is approximated.
    pub partition: Partition,
    /// K, the bases of each part.
    pub bases: u32,
    /// How their outputs are combined.
    pub scales: BaseScales,
    /// Shortcuts with weights.
    pub shortcut: Shortcut,
    /// Between the blocks of a group every base reads its own output and the mean of all, in a learned ratio.
    pub soft: bool,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LayerWise => f.write_str("layer-wise"),
            Self::Every(blocks) => write!(f, "v{blocks}"),
            Self::Whole => f.write_str("v3"),
            Self::Groups(groups) => {
                let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
                f.write_str(&groups.join(","))
            }
        }
    }
}

impl FromStr for Partition {
    type Err = GraphError;

    fn from_str(text: &str) -> Result<Self, GraphError> {
        Ok(match text {
            "layer-wise" => Self::LayerWise,
            "v1" => Self::Every(1),
            "v2" => Self::Every(2),
            "v3" => Self::Whole,
            list => {
                let groups: Result<Vec<u32>, _> = list.split(',').map(|part| part.trim().parse()).collect();
                match groups {
                    Ok(groups) if !groups.contains(&0) => Self::Groups(groups),
                    _ => return Err(GraphError::StructureText { text: text.to_owned() }),
                }
            }
        })
    }
}

impl Partition {
    /// Blocks of each group of a network of `blocks`.
    ///
    /// # Errors
    /// No blocks, or groups of another number of them.
    fn groups(&self, blocks: usize) -> Result<Vec<usize>, GraphError> {
        if blocks == 0 {
            let message = "this model declares no blocks; only --structure layer-wise fits it".to_owned();
            return Err(GraphError::Structure { message });
        }
        match self {
            Self::LayerWise => Ok(Vec::new()),
            Self::Whole => Ok(vec![blocks]),
            Self::Every(size) => {
                let size = *size as usize;
                Ok((0..blocks).step_by(size).map(|first| size.min(blocks - first)).collect())
            }
            Self::Groups(groups) => {
                let sum: u64 = groups.iter().map(|&size| u64::from(size)).sum();
                if sum != blocks as u64 {
                    let message = format!("{self} makes {sum} blocks, and this model has {blocks}");
                    return Err(GraphError::Structure { message });
                }
                Ok(groups.iter().map(|&size| size as usize).collect())
            }
        }
    }
}

impl Network {
    /// The blocks that the model declared, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The same network with the parts that `structure` names made of bases.
    ///
    /// Base i of layer `conv1` of block `group0.0` is called `group0.0.base<i>.conv1`, in the layer-wise form `conv1.base<i>`.
    ///
    /// # Errors
    /// No bases or too many, a partition that does not fit the blocks, a network without quantized layers.
    pub fn with_structure(&self, structure: &Structure) -> Result<Self, GraphError> {
        if !(1..=MOST_BASES).contains(&structure.bases) {
            let message = format!("{} bases; 1 to {MOST_BASES} can be combined", structure.bases);
            return Err(GraphError::Structure { message });
        }
        let shared = |layer: &NetworkLayer| layer.prefix != layer.name;
        if self.heads.len() != 1 || self.layers.iter().any(shared) {
            let message =
                "networks with several outputs or with shared parameters are not made of bases".to_owned();
            return Err(GraphError::Structure { message });
        }
        let mut expansion = Expansion {
            network: self,
            structure,
            builder: NetworkBuilder::new(self.input),
            nodes: Vec::new(),
        };
        if structure.partition == Partition::LayerWise {
            if !self.layers.iter().any(is_quantized_product) {
                let message = "this model has no quantized layers".to_owned();
                return Err(GraphError::Structure { message });
            }
            (0..self.layers.len()).try_for_each(|at| expansion.layer_wise(at))?;
        } else {
            let (mut blocks, sizes) =
                (self.blocks.as_slice(), structure.partition.groups(self.blocks.len())?);
            if structure.soft && sizes.iter().all(|size| *size == 1) {
                let message = format!(
                    "soft connections join the bases between the blocks of a group, and no group of {} has two here",
                    structure.partition
                );
                return Err(GraphError::Structure { message });
            }
            for size in sizes {
                let (group, rest) = blocks.split_at(size);
                expansion.copy_until(group[0].layers.start)?;
                expansion.group(group)?;
                blocks = rest;
            }
            expansion.copy_until(self.layers.len())?;
        }
        expansion.builder.build()
    }
}

/// A layer's output in the new network: one for all bases, or one for each.
#[derive(Clone, Debug)]
enum Output {
    One(Node),
    Each(Vec<Node>),
}

impl Output {
    fn of(&self, base: usize) -> Node {
        match self {
            Self::One(node) => *node,
            Self::Each(nodes) => nodes[base],
        }
    }
}

struct Expansion<'a> {
    network: &'a Network,
    structure: &'a Structure,
    builder: NetworkBuilder,
    /// Outputs of the layers seen so far.
    nodes: Vec<Output>,
}

impl Expansion<'_> {
    fn inputs(&self, layer: &NetworkLayer, base: usize) -> Vec<Node> {
        let node = |input: &Option<usize>| input.map_or(self.builder.input(), |at| self.nodes[at].of(base));
        layer.inputs.iter().map(node).collect()
    }

    fn copy(&mut self, at: usize) -> Result<(), GraphError> {
        let layer = &self.network.layers[at];
        let inputs = self.inputs(layer, 0);
        let node = self.builder.add_layer(&layer.name, layer.layer.clone(), &inputs)?;
        self.nodes.push(Output::One(node));
        Ok(())
    }

    fn copy_until(&mut self, end: usize) -> Result<(), GraphError> {
        (self.nodes.len()..end).try_for_each(|at| self.copy(at))
    }

    /// `lambda[0] * bases[0] + ...`, or the only base itself where there is nothing to learn.
    fn combine(&mut self, name: &str, bases: &[Node]) -> Result<Node, GraphError> {
        let scales = self.structure.scales;
        match bases {
            [only] if scales == BaseScales::Average => Ok(*only),
            _ => self.builder.add_layer(name, Arc::new(WeightedSum { scales }), bases),
        }
    }

    fn layer_wise(&mut self, at: usize) -> Result<(), GraphError> {
        let layer = &self.network.layers[at];
        if !is_quantized_product(layer) {
            return self.copy(at);
        }
        let inputs = self.inputs(layer, 0);
        let bases = (0..self.structure.bases)
            .map(|base| {
                self.builder.add_layer(&format!("{}.base{base}", layer.name), layer.layer.clone(), &inputs)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let sum = self.combine(&layer.name, &bases)?;
        self.nodes.push(Output::One(sum));
        Ok(())
    }

    fn group(&mut self, blocks: &[Block]) -> Result<(), GraphError> {
        for (number, block) in blocks.iter().enumerate() {
            if number > 0 && self.structure.soft {
                self.soften(block)?;
            }
            for at in block.layers.clone() {
                self.of_group(block, at)?;
            }
        }
        let last = &blocks[blocks.len() - 1];
        let Some(Output::Each(bases)) = self.nodes.pop() else {
            let message = format!("group {} has no weights in its bases", last.name);
            return Err(GraphError::Structure { message });
        };
        let sum = self.combine(&format!("{}.bases", last.name), &bases)?;
        self.nodes.push(Output::One(sum));
        Ok(())
    }

    /// Puts soft connections between the block before and `block`, which share one theta.
    fn soften(&mut self, block: &Block) -> Result<(), GraphError> {
        let Some(Output::Each(bases)) = self.nodes.pop() else {
            let message = format!("nothing of a base comes before {}", block.name);
            return Err(GraphError::Structure { message });
        };
        let name = |base: usize| format!("{}.base{base}.soft", block.name);
        let mean = Arc::new(WeightedSum { scales: BaseScales::Average });
        let mean = self.builder.add_layer(&format!("{}.mean", block.name), mean, &bases)?;
        let mut softened = Vec::new();
        for (base, own) in bases.iter().enumerate() {
            let (layer, inputs) = (Arc::new(SoftConnection), [*own, mean]);
            softened.push(match base {
                0 => self.builder.add_layer(&name(base), layer, &inputs)?,
                _ => self.builder.add_shared_layer(&name(base), layer, &inputs, &name(0))?,
            });
        }
        self.nodes.push(Output::Each(softened));
        Ok(())
    }

    /// A layer of a group: once where it reads nothing of a base and has no weights of one, otherwise for each base. All
    /// bases of a layer come before the next layer, so that what they share is needed for a short time.
    fn of_group(&mut self, block: &Block, at: usize) -> Result<(), GraphError> {
        let layer = &self.network.layers[at];
        let of_base =
            |input: &Option<usize>| input.is_some_and(|at| matches!(self.nodes[at], Output::Each(_)));
        let shared = self.structure.shortcut == Shortcut::Shared && block.shortcut.contains(&at);
        let weights = is_product(layer) && !shared;
        if !weights && !layer.inputs.iter().any(of_base) {
            return self.copy(at);
        }
        let within = layer.name.strip_prefix(&format!("{}.", block.name)).unwrap_or(&layer.name);
        let bases = (0..self.structure.bases)
            .map(|base| {
                let inputs = self.inputs(layer, base as usize);
                let name = format!("{}.base{base}.{within}", block.name);
                self.builder.add_layer(&name, layer.layer.clone(), &inputs)
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.nodes.push(Output::Each(bases));
        Ok(())
    }
}

/// True for convolutions and linear layers.
fn is_product(layer: &NetworkLayer) -> bool {
    layer.layer.macs(&layer.input_kinds, layer.output) > 0
}

fn is_quantized_product(layer: &NetworkLayer) -> bool {
    is_product(layer) && layer.layer.bits(&layer.input_kinds).is_some()
}

#[cfg(test)]
#[path = "structure_tests.rs"]
mod tests;
