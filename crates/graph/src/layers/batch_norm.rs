//! Batch normalization over samples and pixels, per channel.

use kernels::{
    BatchNormBackward, BatchNormBackwardSums, BatchNormCoefficients, BatchNormStats, ColumnSum, RunningUpdate,
};
use recording::BufferSlice;

use super::single_dense;
use crate::{
    GraphError, Link, ParameterSpec, Recorder, Tensor,
    deploy::Normalization,
    layer::{Backward, Layer, Place, no_backward},
    parameter::Parameter,
    recorder::Mode,
    reduction::{rows_per_partial, sum_partials},
    tensor::{Kind, Value},
};

/// Rows of one partial sum, about.
pub(crate) const PARTIAL_ROWS: u32 = 1024;

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

impl Parameters {
    /// Those of the recorder's current layer.
    fn current(recorder: &Recorder) -> Self {
        Self {
            gamma: recorder.parameter("gamma"),
            beta: recorder.parameter("beta"),
            mean: recorder.parameter("running_mean"),
            variance: recorder.parameter("running_variance"),
        }
    }

    /// The normalization by running statistics.
    fn running(&self, epsilon: f32) -> Normalization {
        Normalization {
            mean: self.mean.value,
            variance: self.variance.value,
            gamma: self.gamma.value,
            beta: self.beta.value,
            epsilon,
        }
    }
}

/// The statistics that a training step normalizes with.
pub(crate) struct Statistics {
    parameters: Parameters,
    normalization: Normalization,
    /// Mean and variance are the running ones, as constants.
    pub frozen: bool,
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

    fn link(&self) -> Option<Link> {
        Some(Link::Normalize(*self))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        _: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        if let Value::Deferred(deferred) = &inputs[0]
            && deferred.batch_norm.is_none()
        {
            let mut normalized = deferred.clone();
            normalized.batch_norm = Some(Parameters::current(recorder).running(self.epsilon));
            return Ok((Value::Deferred(normalized), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        let statistics = self.statistics(recorder, &input)?;
        let output = statistics.normalization.record(recorder, &input)?;
        recorder.check_finite("output", &output.chunks)?;
        let backward: Backward =
            Box::new(move |recorder, grad| Ok(vec![Some(statistics.backward(recorder, &input, grad)?)]));
        Ok((Value::Dense(output), backward))
    }
}

impl BatchNorm {
    /// Records the statistics of the current layer for `input`: those of the batch, with the update of the running ones,
    /// or the running ones where they are constants.
    pub(crate) fn statistics(
        &self,
        recorder: &mut Recorder,
        input: &Tensor,
    ) -> Result<Statistics, GraphError> {
        let parameters = Parameters::current(recorder);
        let mut normalization = parameters.running(self.epsilon);
        let frozen = recorder.mode() != Mode::Train;
        if !frozen {
            (normalization.mean, normalization.variance) =
                self.batch_statistics(recorder, input, &parameters)?;
        }
        Ok(Statistics { parameters, normalization, frozen })
    }

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

impl Statistics {
    /// Records what [`kernels::NormalizeQuantize`] and its backward kernels need per channel.
    pub(crate) fn coefficients(
        &self,
        recorder: &mut Recorder,
        channels: u32,
    ) -> Result<BufferSlice, GraphError> {
        let Normalization { mean, variance, gamma, beta, epsilon } = self.normalization;
        let result = recorder.transient("coefficients", 4 * u64::from(channels));
        let kernel = BatchNormCoefficients { channels, epsilon };
        recorder.dispatch(kernel, &[mean, variance, gamma, beta, result])?;
        Ok(result)
    }

    /// Records the sums over all `partials`, of dy and of dy * xhat: the gradients of beta and gamma. Returns both.
    pub(crate) fn finish_gradients(
        &self,
        recorder: &mut Recorder,
        partials: &[(BufferSlice, u32)],
        channels: u32,
    ) -> Result<BufferSlice, GraphError> {
        let sums = recorder.transient("sums", 2 * u64::from(channels));
        sum_partials(recorder, partials, 2 * channels, 1.0, sums)?;
        let gradients = [(0, self.parameters.beta.gradient), (channels, self.parameters.gamma.gradient)];
        for (first, gradient) in gradients {
            let copy = ColumnSum { stride: 2 * channels, first, ..ColumnSum::new(1, channels, 1) };
            recorder.dispatch(copy, &[sums, gradient])?;
        }
        Ok(sums)
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        let (pixels, channels) = (input.shape.pixels(), input.shape.channels);
        let Normalization { mean, variance, gamma, epsilon, .. } = self.normalization;
        let group = rows_per_partial(pixels, PARTIAL_ROWS);
        let mut partials = Vec::new();
        for chunk in recorder.chunks() {
            let rows = chunk.samples * pixels;
            let groups = rows.div_ceil(group);
            let words = 2 * u64::from(groups) * u64::from(channels);
            let partial = recorder.per_sample("sum partials", chunk, words);
            let kernel = BatchNormBackwardSums { rows, channels, group, epsilon };
            let (x, dy) = (input.chunks[chunk.index], grad.chunks[chunk.index]);
            recorder.dispatch(kernel, &[x, dy, mean, variance, partial])?;
            partials.push((partial, groups));
        }
        let sums = self.finish_gradients(recorder, &partials, channels)?;
        let result = recorder.tensor("grad_input", input.shape);
        let (frozen, total_rows) = (self.frozen, recorder.batch() * pixels);
        for chunk in recorder.chunks() {
            let kernel =
                BatchNormBackward { rows: chunk.samples * pixels, channels, epsilon, frozen, total_rows };
            let at = chunk.index;
            let (x, dy, dx) = (input.chunks[at], grad.chunks[at], result.chunks[at]);
            recorder.dispatch(kernel, &[x, dy, mean, variance, gamma, sums, dx])?;
        }
        Ok(result)
    }
}
