//! Learned bit lengths (BitPruning): which lengths a network has, what they cost, and how it is recorded for them.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use kernels::{LengthCost, LengthPenalty};
use reference::bit_length::Grid;

use crate::{
    GraphError, NamedTensor, Network, Recorder,
    arena::Arena,
    method::Change,
    network::NetworkLayer,
    quantizers::learned::{ACTIVATION, WEIGHT, clamp},
};

/// How a length between two whole ones is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthForm {
    /// Codes whose upper bits are those of smaller widths; the fraction weighs the last plane.
    #[default]
    Nested,
    /// The paper's grids of both neighboring widths, weighted.
    Exact,
    /// Nested codes, of the larger width with the fraction as its probability, drawn every step.
    Stochastic,
}

impl LengthForm {
    pub(crate) fn grid(self) -> Grid {
        if self == Self::Exact { Grid::Ends } else { Grid::Nested }
    }
}

/// What a bit of a length costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Penalty {
    /// Every length the same.
    #[default]
    Equal,
    /// Its share of the values that are stored: weights, and activations of one sample.
    Memory,
    /// Its share of the multiply-accumulates that read the values.
    Ops,
    /// Products of both lengths of a convolution, by its share of the multiply-accumulates.
    BitOps,
}

/// Lengths as a network's method has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedBits {
    /// One length for the whole network; otherwise one for the weights and one for the activations of every layer.
    pub tied: bool,
    /// Neighboring channels of weights' outputs and of activations that have a length of their own, where a layer has more; none
    /// for all channels of a layer.
    pub channels: Option<u32>,
    /// Between whole lengths.
    pub form: LengthForm,
    /// What a bit costs.
    pub penalty: Penalty,
    /// Weight of the penalty in the loss; the costs of a bit in all lengths add up to 1.
    pub gamma: f32,
    /// Learning rate of the lengths over that of the weights.
    pub rate: f64,
}

/// The lengths of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lengths {
    pub method: LearnedBits,
    /// All are whole and stay.
    pub frozen: bool,
}

/// One learned length.
#[derive(Clone, Debug, PartialEq)]
pub struct BitLength {
    /// Layer and parameter, e.g. `conv1.weight_length`.
    pub name: String,
    /// Place in the parameter, and how many groups of channels have a length there.
    pub group: (usize, usize),
    /// The length.
    pub length: f32,
    /// Values that it stores: weights, or activations of one sample.
    pub values: u64,
    /// Multiply-accumulates of one sample that read them.
    pub macs: u64,
}

impl Network {
    /// The same network with learned lengths where layers have quantized weights and activations of at most 8 bits.
    pub(crate) fn with_learned_bits(self, method: LearnedBits) -> Result<Self, GraphError> {
        let groups = |layer: &NetworkLayer| -> Result<u32, GraphError> {
            let channels = layer.output.shape.channels;
            let of_group = method.channels.unwrap_or(channels).min(channels);
            match channels.is_multiple_of(of_group) {
                true => Ok(channels / of_group),
                false => {
                    let message = format!("groups of {of_group} channels do not divide its {channels}");
                    Err(GraphError::layer(&layer.name, message))
                }
            }
        };
        let learns = |layer: &&NetworkLayer| layer.layer.with_learned_bits(method.form, 1).is_some();
        self.layers.iter().filter(learns).try_for_each(|layer| groups(layer).map(drop))?;
        let changes =
            self.changes(|layer| layer.layer.with_learned_bits(method.form, groups(layer).unwrap_or(1)));
        if changes.is_empty() {
            return Err(GraphError::layer(
                "network",
                "no weights or activations whose bits could be learned",
            ));
        }
        Ok(Self { lengths: Some(Lengths { method, frozen: false }), ..self.rebuilt(&changes)? })
    }

    /// The network as it is recorded for a saved state, where that is another than this one.
    pub(crate) fn for_state(&self, tensors: &[NamedTensor]) -> Result<Option<Self>, GraphError> {
        let Some(lengths) = self.lengths else { return Ok(None) };
        let values: HashMap<&str, &[f32]> =
            tensors.iter().map(|t| (t.name.as_str(), t.values.as_slice())).collect();
        let read =
            |layer: &str, name: &str| values.get(format!("{layer}.{name}").as_str()).map(|v| v.to_vec());
        let changes = self.changes(|layer| layer.layer.for_state(&|name| read(&layer.name, name)));
        let frozen = |layer: &NetworkLayer| {
            let known = [WEIGHT, ACTIVATION]
                .iter()
                .filter_map(|names| Some(*read(&layer.name, names.frozen)?.first()? == 1.0));
            known.reduce(|one, other| one || other)
        };
        // What says nothing about lengths leaves them, and those of a teacher do not move anyway.
        let known = self.layers.iter().filter(|layer| !layer.frozen).filter_map(frozen);
        let frozen = known.reduce(|one, other| one || other).unwrap_or(lengths.frozen);
        if changes.is_empty() && frozen == lengths.frozen {
            return Ok(None);
        }
        Ok(Some(Self { lengths: Some(Lengths { frozen, ..lengths }), ..self.rebuilt(&changes)? }))
    }

    fn changes(
        &self,
        changed: impl Fn(&NetworkLayer) -> Option<std::sync::Arc<dyn crate::Layer>>,
    ) -> HashMap<usize, Change> {
        let change = |(at, layer)| Some((at, Change { layer: changed(layer)?, before: None }));
        self.layers.iter().enumerate().filter_map(change).collect()
    }

    /// The learned lengths in the network's order, at the values that a training starts with.
    pub fn bit_lengths(&self) -> Vec<BitLength> {
        let mut result = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            for spec in layer.parameters.iter().filter(|spec| spec.is_length && spec.trainable) {
                let own = spec.name == WEIGHT.length;
                let readers = self.layers.iter().filter(|reader| self.length_before(reader) == Some(at));
                let weights = layer.parameters.iter().find(|spec| spec.name == "weight");
                let length = match spec.init {
                    crate::Init::Constant(value) => value,
                    crate::Init::Normal(_) => 0.0,
                };
                let values =
                    if own { weights.map_or(0, |w| w.len() as u64) } else { layer.output.shape.words() };
                let macs: u64 = if own { macs(layer) } else { readers.map(macs).sum() };
                let groups = spec.len();
                result.extend((0..groups).map(|at| BitLength {
                    name: format!("{}.{}", layer.name, spec.name),
                    group: (at, groups),
                    length,
                    values: values / groups as u64,
                    macs: macs / groups as u64,
                }));
            }
        }
        result
    }

    /// Parameters and statistics of learned lengths, by name.
    pub fn length_parameters(&self) -> Vec<String> {
        let own = |layer: &NetworkLayer, name: &str| format!("{}.{name}", layer.name);
        let of = |layer: &NetworkLayer| {
            let specs = layer.parameters.iter().filter(|spec| spec.is_length);
            specs.map(|spec| own(layer, spec.name)).collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(of).collect()
    }

    /// The layer whose learned activations `layer` reads, through layers that leave codes what they are.
    fn length_before(&self, layer: &NetworkLayer) -> Option<usize> {
        let mut at = (macs(layer) > 0).then_some(layer)?.inputs.first().copied().flatten()?;
        loop {
            let source = &self.layers[at];
            if source.parameters.iter().any(|spec| spec.name == ACTIVATION.length && spec.is_length) {
                return Some(at);
            }
            source.output.bits?;
            at = source.inputs.first().copied().flatten()?;
        }
    }

    /// The costs of all lengths, each at its word of the arena.
    fn costs(&self, recorder: &Recorder, arena: &Arena, method: LearnedBits) -> Vec<LengthCost> {
        let words = |name: &str| {
            let value = recorder.parameters[name].value;
            assert_eq!(value.buffer, arena.value.buffer, "a length that is trained lies in the arena");
            let word = |word: u64| u32::try_from(word - arena.value.offset).expect("few lengths");
            word(value.offset)..word(value.offset + value.words)
        };
        let lengths = self.bit_lengths();
        let gamma = f64::from(method.gamma);
        let share = |of: &dyn Fn(&BitLength) -> f64| {
            let all: f64 = lengths.iter().map(of).sum();
            lengths.iter().map(|length| gamma * of(length) / all.max(1.0)).collect::<Vec<f64>>()
        };
        let constant = match method.penalty {
            Penalty::Equal => share(&|_| 1.0),
            Penalty::Memory => share(&|length| length.values as f64),
            Penalty::Ops => share(&|length| length.macs as f64),
            Penalty::BitOps => vec![0.0; lengths.len()],
        };
        let word = |length: &BitLength| words(&length.name).start + length.group.0 as u32;
        let constants = lengths.iter().zip(constant).map(|(length, constant)| (word(length), constant));
        let mut costs: BTreeMap<u32, LengthCost> = constants
            .map(|(at, constant)| (at, LengthCost { at, constant: constant as f32, pairs: Vec::new() }))
            .collect();
        if method.penalty == Penalty::BitOps {
            self.add_products(&mut costs, gamma, &words);
        }
        costs.into_values().collect()
    }

    /// `gamma * sum of macs * weight length * activation length / sum of macs`; a side that is not learned counts its bits.
    /// Of a layer's groups each pair has the same share of its multiply-accumulates.
    fn add_products(
        &self,
        costs: &mut BTreeMap<u32, LengthCost>,
        gamma: f64,
        words: &dyn Fn(&str) -> Range<u32>,
    ) {
        let sides = |layer: &NetworkLayer| {
            let learns = layer.parameters.iter().any(|spec| spec.name == WEIGHT.length && spec.is_length);
            let weight = learns.then(|| words(&format!("{}.{}", layer.name, WEIGHT.length)));
            let before = self.length_before(layer).map(|at| &self.layers[at].name);
            (weight, before.map(|name| words(&format!("{name}.{}", ACTIVATION.length))))
        };
        // A teacher's lengths stay what they are.
        let learned: Vec<&NetworkLayer> =
            self.layers.iter().filter(|layer| !layer.frozen && sides(layer) != (None, None)).collect();
        let all: f64 = learned.iter().map(|layer| macs(layer) as f64).sum();
        for layer in learned {
            let coefficient = gamma * macs(layer) as f64 / all;
            let bits = layer.layer.bits(&layer.input_kinds);
            match sides(layer) {
                (Some(weights), Some(activations)) => {
                    let coefficient = coefficient / (weights.len() * activations.len()) as f64;
                    for (ones, others) in [(&weights, &activations), (&activations, &weights)] {
                        for one in ones.clone() {
                            let cost = costs.get_mut(&one).expect("every length has a cost");
                            cost.pairs.extend(others.clone().map(|other| (other, coefficient as f32)));
                        }
                    }
                }
                (Some(ones), None) | (None, Some(ones)) => {
                    let is_weight = sides(layer).0.is_some();
                    let other = bits.map_or(32, |bits| if is_weight { bits.activation } else { bits.weight });
                    let coefficient = coefficient / ones.len() as f64;
                    for one in ones {
                        let cost = costs.get_mut(&one).expect("every length has a cost");
                        cost.constant += (coefficient * f64::from(other)) as f32;
                    }
                }
                (None, None) => {}
            }
        }
    }
}

fn macs(layer: &NetworkLayer) -> u64 {
    layer.layer.macs(&layer.input_kinds, layer.output)
}

/// Records the gradient of the penalty on the lengths in `arena`.
pub(crate) fn record_penalty(
    recorder: &mut Recorder,
    network: &Network,
    arena: &Arena,
    method: LearnedBits,
) -> Result<(), GraphError> {
    let costs = network.costs(recorder, arena, method);
    let entries = costs.iter().map(|cost| cost.pairs.len()).sum::<usize>();
    let small = |count: usize| u32::try_from(count).expect("few lengths");
    let kernel = LengthPenalty {
        count: small(costs.len()),
        entries: small(entries),
        words: small(arena.value.words as usize),
        tied: method.tied,
    };
    let table = recorder.constant("costs of bits", LengthCost::words(&costs));
    recorder.dispatch(kernel, &[arena.value, table, arena.gradient])
}

/// Records that the lengths in `arena` stay within their bounds.
pub(crate) fn record_bounds(recorder: &mut Recorder, arena: &Arena) -> Result<(), GraphError> {
    clamp(recorder, arena.value)
}
