//! Batch normalization over samples and pixels, per channel.

use kernels::{BatchNormBackward, BatchNormBackwardSums, BatchNormStats, ColumnSum, RunningUpdate};
use recording::BufferSlice;

use super::single_dense;
use crate::{
    GraphError, ParameterSpec, Recorder, Tensor,
    deploy::Normalization,
    layer::{Backward, Layer, Place, no_backward},
    parameter::Parameter,
    recorder::Mode,
    reduction::{rows_per_partial, sum_partials},
    tensor::{Kind, Value},
};

/// Rows of one partial sum, about.
const PARTIAL_ROWS: u32 = 1024;

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the biased variance of the batch, taken in two passes. The
/// running average, `running = momentum * running + (1 - momentum) * batch`, takes the unbiased one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Share of the old running value.
    pub momentum: f32,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.9, epsilon: 1e-4 }
    }
}

struct Parameters {
    gamma: Parameter,
    beta: Parameter,
    mean: Parameter,
    variance: Parameter,
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        single_dense(name, inputs)
    }

    fn parameters(&self, inputs: &[Kind]) -> Vec<ParameterSpec> {
        let channels = inputs[0].shape.channels;
        vec![
            ParameterSpec::vector("gamma", channels, 1.0),
            ParameterSpec::vector("beta", channels, 0.0),
            ParameterSpec::statistic("running_mean", channels, 0.0),
            ParameterSpec::statistic("running_variance", channels, 1.0),
        ]
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        _: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let parameters = Parameters {
            gamma: recorder.parameter("gamma"),
            beta: recorder.parameter("beta"),
            mean: recorder.parameter("running_mean"),
            variance: recorder.parameter("running_variance"),
        };
        let mut normalization = Normalization {
            mean: parameters.mean.value,
            variance: parameters.variance.value,
            gamma: parameters.gamma.value,
            beta: parameters.beta.value,
            epsilon: self.epsilon,
        };
        if let Value::Deferred(deferred) = &inputs[0]
            && deferred.batch_norm.is_none()
        {
            let mut normalized = deferred.clone();
            normalized.batch_norm = Some(normalization);
            return Ok((Value::Deferred(normalized), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        if recorder.mode() == Mode::Train {
            (normalization.mean, normalization.variance) =
                self.batch_statistics(recorder, &input, &parameters)?;
        }
        let output = normalization.record(recorder, &input)?;
        recorder.check_finite("output", &output.chunks)?;
        let frozen = recorder.mode() != Mode::Train;
        let backward: Backward = Box::new(move |recorder, grad| {
            let grad_input = backward(recorder, (&input, grad), normalization, &parameters, frozen)?;
            Ok(vec![Some(grad_input)])
        });
        Ok((Value::Dense(output), backward))
    }
}

impl BatchNorm {
    /// Records mean and variance of the batch and the update of the running averages.
    fn batch_statistics(
        &self,
        recorder: &mut Recorder,
        input: &Tensor,
        parameters: &Parameters,
    ) -> Result<(BufferSlice, BufferSlice), GraphError> {
        let channels = input.shape.channels;
        let rows = recorder.batch() * input.shape.pixels();
        // The first pass does not read its mean operand; any buffer of the right size will do.
        let mean = moment(recorder, input, parameters.mean.value, false)?;
        let variance = moment(recorder, input, mean, true)?;
        let unbiased = if rows > 1 { rows as f32 / (rows - 1) as f32 } else { 1.0 };
        for (batch, running, factor) in
            [(mean, &parameters.mean, 1.0), (variance, &parameters.variance, unbiased)]
        {
            let kernel = RunningUpdate { len: channels, momentum: self.momentum, factor };
            recorder.dispatch(kernel, &[batch, running.value])?;
        }
        Ok((mean, variance))
    }
}

/// Records the mean of x, or of (x - mean)^2, per channel over the whole batch.
fn moment(
    recorder: &mut Recorder,
    input: &Tensor,
    mean: BufferSlice,
    centered: bool,
) -> Result<BufferSlice, GraphError> {
    let (pixels, channels) = (input.shape.pixels(), input.shape.channels);
    let group = rows_per_partial(pixels, PARTIAL_ROWS);
    let mut partials = Vec::new();
    for chunk in recorder.chunks() {
        let rows = chunk.samples * pixels;
        let groups = rows.div_ceil(group);
        let partial = recorder.per_sample("moment partials", chunk, u64::from(groups) * u64::from(channels));
        let kernel = BatchNormStats { rows, channels, group, centered };
        recorder.dispatch(kernel, &[input.chunks[chunk.index], mean, partial])?;
        partials.push((partial, groups));
    }
    let result = recorder.transient(if centered { "variance" } else { "mean" }, u64::from(channels));
    let factor = 1.0 / (recorder.batch() * pixels) as f32;
    sum_partials(recorder, &partials, channels, factor, result)?;
    Ok(result)
}

fn backward(
    recorder: &mut Recorder,
    (input, grad): (&Tensor, &Tensor),
    normalization: Normalization,
    parameters: &Parameters,
    frozen: bool,
) -> Result<Tensor, GraphError> {
    let (pixels, channels) = (input.shape.pixels(), input.shape.channels);
    let Normalization { mean, variance, gamma, epsilon, .. } = normalization;
    let group = rows_per_partial(pixels, PARTIAL_ROWS);
    let mut partials = Vec::new();
    for chunk in recorder.chunks() {
        let rows = chunk.samples * pixels;
        let groups = rows.div_ceil(group);
        let partial = recorder.per_sample("sum partials", chunk, 2 * u64::from(groups) * u64::from(channels));
        let kernel = BatchNormBackwardSums { rows, channels, group, epsilon };
        recorder.dispatch(
            kernel,
            &[input.chunks[chunk.index], grad.chunks[chunk.index], mean, variance, partial],
        )?;
        partials.push((partial, groups));
    }
    let sums = recorder.transient("sums", 2 * u64::from(channels));
    sum_partials(recorder, &partials, 2 * channels, 1.0, sums)?;
    for (first, gradient) in [(0, parameters.beta.gradient), (channels, parameters.gamma.gradient)] {
        let copy = ColumnSum { stride: 2 * channels, first, ..ColumnSum::new(1, channels, 1) };
        recorder.dispatch(copy, &[sums, gradient])?;
    }
    let result = recorder.tensor("grad_input", input.shape);
    let total_rows = recorder.batch() * pixels;
    for chunk in recorder.chunks() {
        let kernel =
            BatchNormBackward { rows: chunk.samples * pixels, channels, epsilon, frozen, total_rows };
        let (x, dy, dx) = (input.chunks[chunk.index], grad.chunks[chunk.index], result.chunks[chunk.index]);
        recorder.dispatch(kernel, &[x, dy, mean, variance, gamma, sums, dx])?;
    }
    Ok(result)
}
