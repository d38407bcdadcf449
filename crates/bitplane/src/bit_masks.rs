//! The bits of each weight under `--bit-mix`, which a training chooses before its first step and keeps.

use std::collections::BTreeMap;

use graph::{MaskCost, NamedTensor, Network, Session, quantizers::BITS};
use pollster::block_on;
use recording::Executor;

use crate::config::Config;
use crate::exit::Failure;
use crate::output::note;
use crate::trainer::Start;

/// Gives weights their bits where `--bit-mix` asks for it and no checkpoint has them, and says what they cost.
///
/// # Errors
/// A device failure.
pub fn choose<E: Executor>(
    config: &Config,
    network: &Network,
    session: &mut Session<E>,
    start: &mut Start,
) -> Result<Option<MaskCost>, Failure> {
    if config.bit_mix.is_none() {
        return Ok(None);
    }
    if start.checkpoint.is_none() && config.cut_to.is_none() {
        let weights = match start.initial.take() {
            Some(tensors) => tensors,
            None => block_on(session.state())?,
        };
        start.initial = Some(assigned(config, network, weights));
    }
    let tensors = match (&start.checkpoint, &start.initial) {
        (Some(checkpoint), _) => &checkpoint.tensors,
        (None, initial) => initial.as_ref().expect("assigned above"),
    };
    let cost = cost(config, tensors);
    if let Some(cost) = cost {
        note(&format!(
            "  {:.3} bits a weight on average, {:.3} planes executed where empty mask words are skipped",
            cost.average_bits(),
            cost.executed_planes()
        ));
    }
    Ok(cost)
}

/// True for a tensor that a training with `config` computes itself, whatever it starts with; a cut run keeps those it has.
pub fn is_assigned(config: &Config, name: &str) -> bool {
    config.bit_mix.is_some() && config.cut_to.is_none() && layer_of(name).is_some()
}

/// `tensors` with the bits that `config` gives their weights, in the order of `network`; other parameters of it are kept.
pub fn assigned(config: &Config, network: &Network, tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let Some(rule) = config.heterogeneous() else { return tensors };
    let given: BTreeMap<&str, &NamedTensor> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut number = 0;
    let mut result = Vec::new();
    for (name, shape) in network.parameters() {
        let weight = layer_of(&name).and_then(|layer| given.get(format!("{layer}.weight").as_str()));
        if let Some(weight) = weight {
            let bits = rule.assign(&weight.values, shape[0], (config.seed, number));
            let values = bits.into_iter().map(|bits| bits as f32).collect();
            result.push(NamedTensor { name, shape, values });
            number += 1;
        } else if let Some(tensor) = given.get(name.as_str()) {
            result.push((*tensor).clone());
        }
    }
    result
}

/// What the bits among `tensors` cost, where there are any.
pub fn cost(config: &Config, tensors: &[NamedTensor]) -> Option<MaskCost> {
    config.bit_mix.as_ref()?;
    let cut = config.cut();
    let costs = tensors.iter().filter_map(|tensor| {
        let layer = layer_of(&tensor.name)?;
        let most = cut.as_ref().map_or(f32::INFINITY, |cut| cut.weight_bits(layer) as f32);
        let bits: Vec<f32> = tensor.values.iter().map(|bits| bits.min(most)).collect();
        Some(MaskCost::of(&bits, tensor.shape[0]))
    });
    costs.reduce(MaskCost::and)
}

/// The layer whose bits tensor `name` holds.
fn layer_of(name: &str) -> Option<&str> {
    name.strip_suffix(BITS)?.strip_suffix('.')
}
