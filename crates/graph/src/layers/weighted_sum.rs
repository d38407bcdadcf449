//! Linear combination of bases, Group-Net's equations 3, 5 and 6.

use kernels::CopyChannels;
use recording::BufferSlice;

use crate::{
    GraphError, Link, ParameterSpec, Recorder, Tensor,
    deployed::{DeployedOperation, Origin},
    layer::{Backward, Layer, Place},
    quantizers::average,
    reduction::{row_dots, sum_partials},
    structure::BaseScales,
    tensor::{Kind, Value},
};

/// `sum over i of lambda[i] * T_i` over K tensors of one shape, lambda learned from 1/K on or fixed there.
///
/// The gradient of `T_i` is `lambda[i] * dF`, that of `lambda[i]` the dot product `<dF, T_i>`, summed within each sample and
/// then over the samples in their order.
#[derive(Clone, Copy, Debug)]
pub struct WeightedSum {
    /// Whether lambda is learned.
    pub scales: BaseScales,
}

impl Layer for WeightedSum {
    fn kind(&self) -> &'static str {
        "weighted_sum"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        match inputs {
            [first, rest @ ..] if first.bits.is_none() && rest.iter().all(|kind| kind == first) => Ok(*first),
            _ => Err(GraphError::layer(name, format!("adds f32 tensors of one shape, not {inputs:?}"))),
        }
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let bases = u32::try_from(inputs.len()).expect("few bases");
        match self.scales {
            BaseScales::Learned => vec![ParameterSpec::vector("lambda", bases, 1.0 / bases as f32)],
            BaseScales::Average => Vec::new(),
        }
    }

    fn keeps_output(&self) -> bool {
        false
    }

    fn link(&self) -> Option<Link> {
        Some(Link::Sum(self.scales))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let bases = inputs.iter().map(|input| recorder.dense(input)).collect::<Result<Vec<_>, _>>()?;
        let lambda = (self.scales == BaseScales::Learned).then(|| recorder.parameter("lambda"));
        let weights = match &lambda {
            Some(lambda) => lambda.value,
            None => average(recorder, bases.len()),
        };
        let sum = described_sum(recorder, place, &bases, weights)?;
        let needs_grad = place.needs_grad.clone();
        let backward: Backward = Box::new(move |recorder, grad| {
            if let Some(lambda) = lambda.as_ref().filter(|lambda| lambda.spec.trainable) {
                recorder.set_pass("grad_lambda");
                let rows = dots_by_sample(recorder, grad, &bases)?;
                sum_partials(recorder, &rows, lambda.len(), 1.0, lambda.gradient)?;
                recorder.set_pass("backward");
            }
            let scaled = |recorder: &mut Recorder, at: usize| {
                combine(recorder, "grad_input", std::slice::from_ref(grad), weights, at)
            };
            // With equal weights all bases have one gradient.
            let shared = if lambda.is_none() { Some(scaled(recorder, 0)?) } else { None };
            let mut results = Vec::new();
            for (at, needed) in needs_grad.iter().enumerate() {
                results.push(match (&shared, needed) {
                    (_, false) => None,
                    (Some(shared), _) => Some(shared.clone()),
                    (None, _) => Some(scaled(recorder, at)?),
                });
            }
            Ok(results)
        });
        Ok((Value::Dense(sum), backward))
    }
}

/// Records `sum over i of weights[i] * tensors[i]`, the output of a layer, and describes it for a packed network.
pub(super) fn described_sum(
    recorder: &mut Recorder,
    place: &Place,
    tensors: &[Tensor],
    weights: BufferSlice,
) -> Result<Tensor, GraphError> {
    let sum = combine(recorder, "output", tensors, weights, 0)?;
    let inputs: Vec<Origin> = tensors.iter().map(|tensor| Origin::Buffer(tensor.chunks[0])).collect();
    let (operation, factors) = (DeployedOperation::WeightedSum, vec![("factors", weights)]);
    recorder.describe(&place.name, operation, &inputs, factors, Some(sum.chunks[0]));
    Ok(sum)
}

/// Records `sum over i of weights[first + i] * tensors[i]`.
pub(super) fn combine(
    recorder: &mut Recorder,
    label: &str,
    tensors: &[Tensor],
    weights: BufferSlice,
    first: usize,
) -> Result<Tensor, GraphError> {
    let result = recorder.tensor(label, tensors[0].shape);
    let most = kernels::WeightedSum::MOST_SOURCES;
    for chunk in recorder.chunks() {
        let len = chunk.samples * result.shape.len();
        for (run, tensors) in (0..).zip(tensors.chunks(most as usize)) {
            let sources = u32::try_from(tensors.len()).expect("at most four");
            let first = u32::try_from(first).expect("few bases") + run * most;
            let kernel = kernels::WeightedSum { len, sources, first, accumulate: run > 0 };
            // A source beyond the last is not read.
            let source = |at: usize| tensors.get(at).unwrap_or(&tensors[0]).chunks[chunk.index];
            let [a, b, c, d] = [0, 1, 2, 3].map(source);
            recorder.dispatch(kernel, &[weights, a, b, c, d, result.chunks[chunk.index]])?;
        }
    }
    Ok(result)
}

/// Records `<grad, tensors[i]>` for each sample: per chunk `[sample][i]`, and its samples.
pub(super) fn dots_by_sample(
    recorder: &mut Recorder,
    grad: &Tensor,
    tensors: &[Tensor],
) -> Result<Vec<(BufferSlice, u32)>, GraphError> {
    let count = u32::try_from(tensors.len()).expect("few tensors");
    let mut rows = Vec::new();
    for chunk in recorder.chunks() {
        let words = u64::from(chunk.samples) * u64::from(count);
        let of_samples = recorder.per_sample("dots", chunk, words);
        for (at, tensor) in (0..count).zip(tensors) {
            let pair = [grad.chunks[chunk.index], tensor.chunks[chunk.index]];
            let dots = row_dots(recorder, (chunk.samples, grad.shape.len()), pair, Some(chunk))?;
            let (source, target) = ((1, 0), (count, at));
            let kernel = CopyChannels { rows: chunk.samples, count: 1, source, target };
            recorder.dispatch(kernel, &[dots, of_samples])?;
        }
        rows.push((of_samples, chunk.samples));
    }
    Ok(rows)
}
