//! The loss of all heads: what is reported, and the gradients that the backward pass begins with.

use std::collections::HashMap;

use kernels::{Reduce, ReduceMap, ReduceOp, SoftCrossEntropy, SoftmaxCrossEntropy, SquaredError};
use recording::BufferSlice;

use crate::{
    FeatureMatch, GraphError, Head, Network, Recorder, SoftTarget, Tensor, arena::accumulate, layers::add,
    reduction::reduce_to_one, schedule::Ports,
};

/// What a recorded loss leaves.
pub(crate) struct Loss {
    /// The loss of each sample, of all heads together, and the main head's hits, per chunk.
    pub losses: Vec<BufferSlice>,
    pub hits: Vec<BufferSlice>,
    /// Gradients of what the loss reads, by position of their layer.
    pub gradients: HashMap<usize, Tensor>,
}

/// Records the terms of every head on what the network gave, `read`. Losses and hits go to the ports where those have a place
/// for them, else to transients.
pub(crate) fn record_loss(
    recorder: &mut Recorder,
    network: &Network,
    ports: &Ports,
    read: &HashMap<usize, Tensor>,
) -> Result<Loss, GraphError> {
    let (mut losses, mut hits) = (ports.losses.clone(), ports.hits.clone());
    if ports.results.is_none() {
        losses = per_sample(recorder, "losses");
        hits = per_sample(recorder, "hits");
    }
    let (main, others) = network.heads.split_first().expect("a network has a head");
    let grad = record_head(recorder, main, (ports, read), (&losses, Some(&hits)))?;
    let mut gradients = HashMap::from([(main.scores.0, grad)]);
    for head in others {
        let own = per_sample(recorder, "losses of a head");
        let hits = (head.labels > 0.0).then(|| per_sample(recorder, "hits of a head"));
        let grad = record_head(recorder, head, (ports, read), (&own, hits.as_deref()))?;
        gradients.insert(head.scores.0, grad);
        for (part, total) in own.into_iter().zip(&losses) {
            accumulate(recorder, part, *total)?;
        }
    }
    for pair in &network.matches {
        let grad = record_match(recorder, pair, read, &losses)?;
        let sum = match gradients.remove(&pair.node.0) {
            Some(other) => add::record(recorder, &other, &grad)?,
            None => grad,
        };
        gradients.insert(pair.node.0, sum);
    }
    Ok(Loss { losses, hits, gradients })
}

fn per_sample(recorder: &mut Recorder, label: &str) -> Vec<BufferSlice> {
    let chunks = recorder.chunks();
    chunks.into_iter().map(|chunk| recorder.per_sample(label, chunk, u64::from(chunk.samples))).collect()
}

/// Records one head's losses, and hits where they are asked for or the labels are learned, and returns the gradient of its
/// class scores.
fn record_head(
    recorder: &mut Recorder,
    head: &Head,
    (ports, read): (&Ports, &HashMap<usize, Tensor>),
    (losses, hits): (&[BufferSlice], Option<&[BufferSlice]>),
) -> Result<Tensor, GraphError> {
    let logits = &read[&head.scores.0];
    let (classes, total_samples) = (logits.shape.len(), recorder.batch());
    let grad = recorder.tensor("grad_logits", logits.shape);
    for chunk in recorder.chunks() {
        let (at, samples) = (chunk.index, chunk.samples);
        if let Some(hits) = hits {
            let kernel = SoftmaxCrossEntropy { samples, classes, total_samples, weight: head.labels };
            let buffers = [logits.chunks[at], ports.labels[at], losses[at], hits[at], grad.chunks[at]];
            recorder.dispatch(kernel, &buffers)?;
        }
        if let Some(SoftTarget { scores, temperature, weight }) = head.soft {
            let accumulate = hits.is_some();
            let kernel =
                SoftCrossEntropy { samples, classes, total_samples, temperature, weight, accumulate };
            let target = read[&scores.0].chunks[at];
            recorder.dispatch(kernel, &[logits.chunks[at], target, losses[at], grad.chunks[at]])?;
        }
    }
    Ok(grad)
}

/// Records a mean squared error, which is added to `losses`, and returns its gradient.
fn record_match(
    recorder: &mut Recorder,
    &FeatureMatch { node, target, weight }: &FeatureMatch,
    read: &HashMap<usize, Tensor>,
    losses: &[BufferSlice],
) -> Result<Tensor, GraphError> {
    let (node, target) = (&read[&node.0], &read[&target.0]);
    let (len, total_samples) = (node.shape.len(), recorder.batch());
    let grad = recorder.tensor("grad_features", node.shape);
    for chunk in recorder.chunks() {
        let (at, samples) = (chunk.index, chunk.samples);
        let kernel = SquaredError { samples, len, total_samples, weight };
        let parts = kernel.parts();
        let words = u64::from(samples) * u64::from(parts);
        let partial = recorder.per_sample("squared errors", chunk, words);
        recorder.dispatch(kernel, &[node.chunks[at], target.chunks[at], partial, grad.chunks[at]])?;
        let (map, op) = (ReduceMap::Identity, ReduceOp::Sum);
        let mean = Reduce { rows: samples, len: parts, map, op, factor: weight / len as f32 };
        let own = reduce_to_one(recorder, "mean squared error", mean, partial, Some(chunk))?;
        accumulate(recorder, own, losses[at])?;
    }
    Ok(grad)
}
