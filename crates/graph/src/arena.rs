//! Parameters that lie one behind the other, so that one dispatch updates or searches them all.

use std::collections::{BTreeMap, HashSet};

use kernels::{ColumnSum, DecayRun};
use recording::{BufferSlice, SLICE_ALIGNMENT};

use crate::{GraphError, Network, Parameter, ParameterSpec, Recorder};

/// Trainable parameters in the same order and at the same offsets in a buffer of values, one of gradients and one of each
/// moment. The zeros between them, which their alignment leaves, are updated too and belong to none.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pub value: BufferSlice,
    pub gradient: BufferSlice,
    pub moments: Vec<BufferSlice>,
    /// Bit lengths, which have a learning rate of their own.
    pub is_length: bool,
    /// Decays that layers ask for, by position.
    pub decays: Vec<DecayRun>,
}

/// Declares the parameters of `network` with `moments` each. No arena has more than `limit` words, unless a parameter of its
/// own has.
pub(crate) fn declare_parameters(
    recorder: &mut Recorder,
    network: &Network,
    moments: &[&'static str],
    limit: u64,
) {
    let mut places: BTreeMap<String, (Arena, u64)> = BTreeMap::new();
    for members in groups(network, limit) {
        let arena = Arena::declare(recorder, &members, moments);
        let mut offset = 0;
        for (name, spec) in members {
            places.insert(name, (arena.clone(), offset));
            offset += room(spec);
        }
        recorder.arenas.push(arena);
    }
    let frozen: HashSet<String> = network
        .layers
        .iter()
        .filter(|layer| layer.frozen)
        .flat_map(|layer| layer.parameters.iter().map(|spec| layer.parameter_name(spec)))
        .collect();
    for (position, (name, spec, trains)) in (0..).zip(specs(network)) {
        let words = spec.len() as u64;
        let (value, gradient, moments) = match places.get(&name) {
            Some((arena, offset)) => {
                let part = |whole: &BufferSlice| BufferSlice { offset: *offset, words, ..*whole };
                (part(&arena.value), part(&arena.gradient), arena.moments.iter().map(part).collect())
            }
            None => {
                let value = recorder.persistent(&name, words);
                (value, value, Vec::new())
            }
        };
        let spec = ParameterSpec { trainable: trains, ..spec.clone() };
        let frozen = frozen.contains(&name);
        let parameter = Parameter { name: name.clone(), position, spec, value, gradient, frozen, moments };
        recorder.parameters.insert(name, parameter);
    }
    declare_shared(recorder, network);
}

/// Gives every layer that computes with another's parameters a place of its own for their gradients.
fn declare_shared(recorder: &mut Recorder, network: &Network) {
    for layer in network.layers.iter().filter(|layer| layer.prefix != layer.name) {
        for spec in layer.reads() {
            let mut parameter = recorder.parameters[&layer.parameter_name(spec)].clone();
            let name = format!("{}.{}", layer.name, spec.name);
            if layer.trains(spec) && layer.parameters.is_empty() && !network.deployed {
                let total = parameter.gradient;
                parameter.gradient = recorder.transient(&format!("{name}.gradient"), total.words);
                recorder.contributions.push((parameter.name.clone(), parameter.gradient, total));
            }
            recorder.shared_parameters.insert(name, parameter);
        }
    }
}

/// Records the sums of the gradients of shared parameters: to the owner's are added those that the current phase wrote, in the
/// order of the layers, once all are written.
pub(crate) fn add_contributions(recorder: &mut Recorder) -> Result<(), GraphError> {
    for (name, part, total) in recorder.contributions.clone() {
        if !recorder.writes(recorder.phase, part) {
            continue;
        }
        let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
        recorder.set_scope(owner, "backward");
        for (part, total) in recorder.pieces(part).into_iter().zip(recorder.pieces(total)) {
            accumulate(recorder, part, total)?;
        }
    }
    Ok(())
}

/// Records `total += part`.
pub(crate) fn accumulate(
    recorder: &mut Recorder,
    part: BufferSlice,
    total: BufferSlice,
) -> Result<(), GraphError> {
    let len = u32::try_from(part.words).expect("a binding has fewer than 2^32 words");
    let kernel = ColumnSum { accumulate: true, ..ColumnSum::new(1, len, 1) };
    recorder.dispatch(kernel, &[part, total])
}

/// All parameters with their names and whether they are trained, in the network's order.
fn specs(network: &Network) -> impl Iterator<Item = (String, &ParameterSpec, bool)> {
    network.layers.iter().flat_map(|layer| {
        let of = move |spec| (layer.parameter_name(spec), spec, layer.trains(spec));
        layer.parameters.iter().map(of)
    })
}

/// Words from the start of a parameter to that of the next.
fn room(spec: &ParameterSpec) -> u64 {
    (spec.len() as u64).next_multiple_of(SLICE_ALIGNMENT)
}

/// The trainable parameters of each arena: those of equal decay are neighbors, otherwise they have the network's order.
fn groups(network: &Network, limit: u64) -> Vec<Vec<(String, &ParameterSpec)>> {
    let trained = specs(network).filter(|(_, _, trains)| *trains && !network.deployed);
    let mut trained: Vec<(String, &ParameterSpec)> = trained.map(|(name, spec, _)| (name, spec)).collect();
    let order = |(_, a): &(String, &ParameterSpec), (_, b): &(String, &ParameterSpec)| {
        a.is_length.cmp(&b.is_length).then(a.weight_decay.total_cmp(&b.weight_decay))
    };
    trained.sort_by(order);
    let mut groups: Vec<Vec<(String, &ParameterSpec)>> = Vec::new();
    let mut used = 0;
    for (name, spec) in trained {
        let last = groups.last().and_then(|group| group.last());
        let other = last.is_none_or(|(_, last)| last.is_length != spec.is_length);
        if other || used + room(spec) > limit {
            groups.push(Vec::new());
            used = 0;
        }
        used += room(spec);
        groups.last_mut().expect("there is one now").push((name, spec));
    }
    groups
}

impl Arena {
    fn declare(
        recorder: &mut Recorder,
        members: &[(String, &ParameterSpec)],
        moments: &[&'static str],
    ) -> Self {
        let words = members.iter().map(|(_, spec)| room(spec)).sum();
        let whole = match members {
            [(name, _)] => name.as_str(),
            [(_, spec), ..] if spec.is_length => "bit lengths",
            _ => "parameters",
        };
        let value = recorder.persistent(whole, words);
        let gradient = recorder.persistent(&format!("{whole}.gradient"), words);
        let moments =
            moments.iter().map(|moment| recorder.persistent(&format!("{whole}.{moment}"), words)).collect();
        let mut decays: Vec<DecayRun> = Vec::new();
        let mut first = 0;
        for (_, spec) in members {
            let decay = spec.weight_decay;
            if decays.last().is_none_or(|run| run.decay.to_bits() != decay.to_bits()) {
                let first = u32::try_from(first).expect("a binding has fewer than 2^32 words");
                decays.push(DecayRun { first, decay });
            }
            first += room(spec);
        }
        let is_length = members.iter().any(|(_, spec)| spec.is_length);
        Self { value, gradient, moments, is_length, decays }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkBuilder, Shape, layers::Linear};

    fn network() -> Network {
        let mut net = NetworkBuilder::new(Shape::new(1, 1, 10));
        let x = net.input();
        let x = net.linear("a", x, Linear { outputs: 7, weight_decay: 0.5 }).expect("fits");
        let x = net.batch_norm("b", x).expect("fits");
        net.linear("c", x, Linear { outputs: 5, weight_decay: 0.5 }).expect("fits");
        net.build().expect("builds")
    }

    fn declared(limit: u64) -> Recorder {
        let mut recorder = Recorder::new(1, 1, None);
        declare_parameters(&mut recorder, &network(), &["velocity"], limit);
        recorder
    }

    #[test]
    fn parameters_of_equal_decay_are_neighbors_and_none_overlap() {
        let recorder = declared(1 << 20);
        let [arena] = recorder.arenas.as_slice() else { panic!("one arena") };
        // Weights of 70 and 35 values, and four vectors of 5 or 7, each in whole units of 64.
        assert_eq!((arena.value.words, arena.gradient.words, arena.moments.len()), (448, 448, 1));
        let runs: Vec<(u32, f32)> = arena.decays.iter().map(|run| (run.first, run.decay)).collect();
        assert_eq!(runs, [(0, 0.0), (256, 0.5)]);
        let trained: Vec<_> = recorder.parameters.values().filter(|p| p.spec.trainable).collect();
        assert_eq!(trained.len(), 6);
        for (at, a) in trained.iter().enumerate() {
            assert_eq!((a.gradient.offset, a.moments[0].offset), (a.value.offset, a.value.offset));
            assert!(trained[..at].iter().all(|b| !a.value.overlaps(&b.value)), "{}", a.name);
        }
        let positions: BTreeMap<&str, u32> =
            recorder.parameters.values().map(|p| (p.name.as_str(), p.position)).collect();
        assert_eq!((positions["a.weight"], positions["c.bias"]), (0, 7), "streams of random numbers stay");
    }

    #[test]
    fn arenas_stay_within_the_limit_where_parameters_do() {
        let words: Vec<u64> = declared(192).arenas.iter().map(|arena| arena.value.words).collect();
        assert_eq!(words, [192, 192, 64]);
        let words: Vec<u64> = declared(100).arenas.iter().map(|arena| arena.value.words).collect();
        assert_eq!(words, [64, 64, 64, 64, 128, 64]);
    }
}
