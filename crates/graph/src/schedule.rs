//! From a network to recordings: forward, backward, apply, freeze and evaluate.

mod gather;
mod ports;

use std::collections::{HashMap, HashSet, hash_map};

use kernels::{ColorGather, LightGather, Metrics, StepToken};
use recording::{BufferSlice, Limits};

pub(crate) use self::ports::Ports;
use self::{
    gather::gather,
    ports::{declare_ports, declare_results, declare_stores, persistent_copies},
};
use crate::{
    GraphError, Network, Node, Parameter, Recorder, Tensor, Value,
    arena::{add_contributions, declare_parameters},
    base_sum::base_sums,
    bit_length::{record_bounds, record_penalty},
    fusion::{Chain, chains},
    layer::{Backward, Place},
    layers::add,
    loss::record_loss,
    network::NetworkLayer,
    recorder::{MAX_FLAGS, Mode, Phase, TOKEN_OFFSET},
    session::{Change, InputSpec, SessionOptions},
};

/// A network recorded for one batch size and chunk size.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub recorder: Recorder,
    pub ports: Ports,
    /// Gradients that a step of each part of the heads leaves alone; they must be 0.
    pub idle: Vec<Vec<BufferSlice>>,
}

impl Schedule {
    /// Records every phase of `network` in chunks of `chunk` samples, for an executor with these limits.
    pub fn record(
        limits: Limits,
        network: &Network,
        options: &SessionOptions,
        chunk: u32,
    ) -> Result<Self, GraphError> {
        let limit = binding_limit(limits, options);
        check_change(options)?;
        let mut recorder = Recorder::new(options.batch_size, chunk, limits.subgroup);
        recorder.first_sample = options.first_sample;
        recorder.limit = limit;
        recorder.kernels = options.kernels.clone();
        let most = limit.min(recorder.most_weights());
        declare_parameters(&mut recorder, network, options.optimizer.moments(), most);
        if network.lengths.is_some() {
            recorder.shared.length_step = Some(recorder.persistent("step of bit lengths", 8));
        }
        let mut ports = declare_ports(&mut recorder, network, options);
        ports.stores = declare_stores(&mut recorder, options, limit)?;
        if network.deployed {
            let fused = if options.fuse { chains(network) } else { HashMap::new() };
            recorder.notes_evaluation = true;
            record_evaluation(&mut recorder, network, options, &mut ports, fused)?;
            return Ok(Self { recorder, ports, idle: Vec::new() });
        }

        recorder.mode = if options.frozen_batch_norm { Mode::TrainFrozen } else { Mode::Train };
        record_passes(&mut recorder, network, (options, &ports), [Phase::Forward, Phase::Backward])?;
        let mut idle = Vec::new();
        for (part, heads) in (0..).zip(&network.parts) {
            let phases = [false, true].map(|backward| Phase::Part { part, backward });
            record_passes(&mut recorder, &network.part(heads), (options, &ports), phases)?;
            let trained = recorder.parameters.values().filter(|parameter| parameter.spec.trainable);
            let gradients = trained.map(|parameter| parameter.gradient);
            idle.push(gradients.filter(|gradient| !recorder.writes(phases[1], *gradient)).collect());
        }

        recorder.phase = Phase::Apply;
        apply(&mut recorder, network, options)?;
        recorder.place_checks()?;

        let main = network.head(0);
        let fused = if options.fuse { chains(&main) } else { HashMap::new() };
        record_evaluation(&mut recorder, &main, options, &mut ports, fused)?;
        Ok(Self { recorder, ports, idle })
    }
}

/// Records the forward and the backward pass of a step in these phases.
fn record_passes(
    recorder: &mut Recorder,
    network: &Network,
    (options, ports): (&SessionOptions, &Ports),
    [before, behind]: [Phase; 2],
) -> Result<(), GraphError> {
    recorder.phase = before;
    let fused = if options.fuse { chains(network) } else { HashMap::new() };
    let tape = forward(recorder, network, (options, ports), fused)?;
    recorder.set_scope("loss", "forward");
    let loss = record_loss(recorder, network, ports, &tape.read)?;
    for (chunk, (losses, hits)) in recorder.chunks().iter().zip(loss.losses.iter().zip(&loss.hits)) {
        let metrics = recorder.status(0, 4);
        recorder.dispatch(Metrics { samples: chunk.samples }, &[*losses, *hits, metrics])?;
    }
    recorder.phase = behind;
    backward(recorder, network, tape.entries, loss.gradients)?;
    add_contributions(recorder)
}

fn record_evaluation(
    recorder: &mut Recorder,
    network: &Network,
    options: &SessionOptions,
    ports: &mut Ports,
    fused: HashMap<usize, Chain>,
) -> Result<(), GraphError> {
    recorder.phase = Phase::Evaluate;
    recorder.mode = Mode::Evaluate { fold: options.fold || network.deployed };
    let tape = forward(recorder, network, (options, ports), fused)?;
    recorder.set_scope("loss", "forward");
    let Node(scores) = network.heads[0].scores;
    let logits = tape.read[&scores].clone();
    ports.logits = persistent_copies(recorder, &logits, network)?;
    let logits = Tensor { chunks: ports.logits.clone(), ..logits };
    declare_results(recorder, ports);
    record_loss(recorder, network, ports, &HashMap::from([(scores, logits)]))?;
    Ok(())
}

/// Words of the largest buffer that a kernel may bind.
pub(crate) fn binding_limit(limits: Limits, options: &SessionOptions) -> u64 {
    options.max_binding_words.unwrap_or(u64::MAX).min(limits.binding_words).min(limits.buffer_words)
}

/// The kernels that change pictures sum over whole ones, and colors have three channels.
fn check_change(options: &SessionOptions) -> Result<(), GraphError> {
    let InputSpec { resize_height, resize_width, out_height, out_width, .. } = options.input;
    let (height, width, limit) = match options.change {
        Change::None => (0, 0, 0),
        Change::Light => (resize_height, resize_width, LightGather::MOST_PIXELS),
        Change::Color => (out_height, out_width, ColorGather::MOST_PIXELS),
    };
    let needed = u64::from(height) * u64::from(width);
    if needed > limit {
        let tensor = "pictures that change in brightness, in pixels,".to_owned();
        return Err(GraphError::TooLarge { tensor, samples: 0, needed, limit });
    }
    if options.change == Change::Color && options.input.channels != 3 {
        let message = format!("pictures of {} channels have no colors to change", options.input.channels);
        return Err(GraphError::Batch { message });
    }
    Ok(())
}

struct Tape {
    /// What the loss reads, by position of its layer.
    read: HashMap<usize, Tensor>,
    entries: Vec<Entry>,
}

/// The backward pass of one layer, or of several that were recorded together.
struct Entry {
    /// Position of the first layer, whose inputs receive gradients.
    first: usize,
    /// Position of the last layer, whose output brings one.
    last: usize,
    backward: Backward,
}

fn forward(
    recorder: &mut Recorder,
    network: &Network,
    (options, ports): (&SessionOptions, &Ports),
    mut chains: HashMap<usize, Chain>,
) -> Result<Tape, GraphError> {
    recorder.set_scope("input", "forward");
    let image = Value::Dense(gather(recorder, network, &options.input, (ports, options.change))?);
    let trained = trained(network);
    let mut sums = base_sums(recorder, network);
    let of_sums = sums.values().flat_map(|sum| sum.bases.iter().copied());
    let fused: HashSet<usize> = chains.values().flat_map(Chain::inner).chain(of_sums).collect();
    let mut values: HashMap<usize, Value> = HashMap::new();
    let mut entries = Vec::new();
    let mode = recorder.mode;
    for last in (0..network.layers.len()).filter(|at| !fused.contains(at)) {
        let input_of = |first: usize, values: &HashMap<usize, Value>| -> Vec<Value> {
            let inputs = network.layers[first].inputs.iter();
            inputs.map(|at| at.map_or(&image, |at| &values[&at]).clone()).collect()
        };
        recorder.mode = if network.layers[last].frozen { Mode::Frozen } else { mode };
        if let Some(sum) = sums.remove(&last) {
            let (first, inputs) = (sum.bases[0], input_of(sum.bases[0], &values));
            let at = &network.layers[last];
            let needs_grad = place(&network.layers[first], first, &trained).needs_grad;
            let place = Place { needs_grad, ..place(at, last, &trained) };
            let (value, backward) = sum.forward(recorder, network, &place, &inputs)?;
            values.insert(last, value);
            entries.push(Entry { first, last, backward });
            continue;
        }
        let mut alone = vec![last];
        if let Some(chain) = chains.remove(&last) {
            let (first, inputs) = (chain.first(), input_of(chain.first(), &values));
            if chain.computes(recorder.mode(), &inputs[0]) {
                let (value, backward) = chain.forward(recorder, network, &inputs[0])?;
                values.insert(last, value);
                entries.push(Entry { first, last, backward });
                continue;
            }
            alone.splice(0..0, chain.inner());
        }
        for at in alone {
            let layer = &network.layers[at];
            recorder.set_scope(&layer.name, "forward");
            let inputs = input_of(at, &values);
            recorder.tap_input(layer, &inputs);
            let (value, backward) = layer.layer.forward(recorder, &place(layer, at, &trained), &inputs)?;
            values.insert(at, value);
            entries.push(Entry { first: at, last: at, backward });
        }
    }
    let mut read = HashMap::new();
    recorder.mode = mode;
    for at in network.read_by_loss() {
        if let hash_map::Entry::Vacant(place) = read.entry(at) {
            place.insert(recorder.dense(&values[&at])?);
        }
    }
    Ok(Tape { read, entries })
}

/// Whether the output of each layer depends on a trainable parameter.
fn trained(network: &Network) -> Vec<bool> {
    let mut trained: Vec<bool> = Vec::new();
    for layer in &network.layers {
        let own = layer.reads().any(|parameter| layer.trains(parameter));
        let through = layer.inputs.iter().flatten().any(|&input| trained[input]);
        trained.push(own || through);
    }
    trained
}

fn place(layer: &NetworkLayer, at: usize, trained: &[bool]) -> Place {
    let stream = u32::try_from(at + 1).expect("few layers");
    let needs_grad = layer.inputs.iter().map(|input| input.is_some_and(|at| trained[at])).collect();
    Place { name: layer.name.clone(), stream, needs_grad }
}

fn backward(
    recorder: &mut Recorder,
    network: &Network,
    entries: Vec<Entry>,
    mut gradients: HashMap<usize, Tensor>,
) -> Result<(), GraphError> {
    let trained = trained(network);
    for Entry { first, last, backward } in entries.into_iter().rev() {
        // A layer before all trained parameters receives none.
        let Some(grad) = gradients.remove(&last) else { continue };
        recorder.set_scope(&network.layers[last].name, "backward");
        recorder.tap_gradient(&network.layers[last], &grad);
        let results = backward(recorder, &grad)?;
        for (input, grad) in network.layers[first].inputs.iter().zip(results) {
            let (Some(input), Some(grad)) = (input.filter(|&at| trained[at]), grad) else { continue };
            // A tensor with several consumers receives the sum of their gradients.
            let sum = match gradients.remove(&input) {
                Some(other) => add::record(recorder, &other, &grad)?,
                None => grad,
            };
            gradients.insert(input, sum);
        }
    }
    Ok(())
}

fn apply(recorder: &mut Recorder, network: &Network, options: &SessionOptions) -> Result<(), GraphError> {
    let parameters: Vec<Parameter> =
        recorder.parameters.values().filter(|p| p.spec.trainable).cloned().collect();
    recorder.set_scope("step", "update");
    for arena in recorder.arenas.clone() {
        match network.lengths.filter(|_| arena.is_length) {
            Some(lengths) if lengths.frozen => {}
            Some(lengths) => {
                record_penalty(recorder, network, &arena, lengths.method)?;
                options.optimizer.record(recorder, &arena)?;
                record_bounds(recorder, &arena)?;
            }
            None => options.optimizer.record(recorder, &arena)?,
        }
    }
    for parameter in parameters {
        let layer = parameter.name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned();
        recorder.set_scope(&layer, "update");
        recorder.check_finite(parameter.spec.name, &[parameter.value])?;
    }
    recorder.set_scope("step", "update");
    let (step, token) = (recorder.step(), recorder.status(TOKEN_OFFSET, 1));
    recorder.dispatch(StepToken, &[step, token])
}

/// Words of the status buffer that the host reads after a step.
pub(crate) fn status_words(recorder: &Recorder) -> u64 {
    crate::recorder::FLAGS_OFFSET + (recorder.checks.len() as u64).min(u64::from(MAX_FLAGS))
}
