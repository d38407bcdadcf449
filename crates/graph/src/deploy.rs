//! The deployed form: batch norm, pooling, clip and quantization after a quantized convolution become integer thresholds.
//!
//! Between two quantized layers only monotone per-channel operations occur, so the code is a step function of the integer
//! accumulator. The convolution is therefore kept open until its consumer is known: an activation quantizer closes it
//! with thresholds, anything else closes it in f32.

use std::sync::Arc;

use kernels::{AddBias, BatchNormForward, By, Output, PlaneGroup, ScaleIndex, ThresholdPack, Window};
use recording::BufferSlice;
use reference::{quantize::levels, threshold};

use crate::{
    Geometry, GraphError, Packed, Recorder, Shape, Tensor, Value,
    bit_convolution::Rows,
    channel_parts::ChannelPart,
    convolution::Convolution,
    deployed::{self, DeployedCodes, DeployedOperation, Origin},
    fold::Fold,
    layers::max_pool,
    planes::{Group, Operand, record_dequantize},
    quantizers::ActivationQuantizer,
    recorder::Chunk,
};

/// A quantized convolution in an evaluation whose epilogue is still open.
#[derive(Clone, Debug)]
pub struct Deferred {
    /// Name of the convolution.
    pub(crate) layer: String,
    pub(crate) convolution: Convolution,
    pub(crate) input: Packed,
    /// Weights by output channel, of each part of the convolution.
    pub(crate) weights: Vec<(ChannelPart, Operand)>,
    pub(crate) bias: Option<BufferSlice>,
    pub(crate) batch_norm: Option<Normalization>,
    pub(crate) pool: Option<Geometry>,
    /// Name of the pool.
    pub(crate) pool_layer: String,
    pub(crate) pool_first: bool,
    pub(crate) shape: Shape,
}

/// Batch norm with running statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalization {
    pub mean: BufferSlice,
    pub variance: BufferSlice,
    pub gamma: BufferSlice,
    pub beta: BufferSlice,
    pub epsilon: f32,
}

impl Normalization {
    /// Records `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
    pub(crate) fn record(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Tensor, GraphError> {
        let output = recorder.tensor("normalized", input.shape);
        for chunk in recorder.chunks() {
            let kernel = BatchNormForward {
                rows: chunk.samples * input.shape.pixels(),
                channels: input.shape.channels,
                epsilon: self.epsilon,
            };
            let (x, y) = (input.chunks[chunk.index], output.chunks[chunk.index]);
            recorder.dispatch(kernel, &[x, self.mean, self.variance, self.gamma, self.beta, y])?;
        }
        let name = recorder.owner(self.gamma).unwrap_or_else(|| recorder.scope.layer.clone());
        let tensors = vec![
            ("gamma", self.gamma),
            ("beta", self.beta),
            ("mean", self.mean),
            ("variance", self.variance),
        ];
        let operation = DeployedOperation::BatchNorm { epsilon: self.epsilon };
        recorder.describe(
            &name,
            operation,
            &[Origin::Buffer(input.chunks[0])],
            tensors,
            Some(output.chunks[0]),
        );
        Ok(output)
    }
}

impl Deferred {
    /// A convolution without anything behind it yet.
    pub(crate) fn new(
        layer: &str,
        convolution: Convolution,
        input: Packed,
        weights: Vec<(ChannelPart, Operand)>,
        bias: Option<BufferSlice>,
    ) -> Self {
        let (layer, shape) = (layer.to_owned(), convolution.output);
        let (batch_norm, pool, pool_layer, pool_first) = (None, None, String::new(), false);
        Self { layer, convolution, input, weights, bias, batch_norm, pool, pool_layer, pool_first, shape }
    }

    /// The same with a maximum pool behind it.
    pub(crate) fn pooled(&self, layer: &str, geometry: Geometry) -> Self {
        Self {
            pool: Some(geometry),
            pool_layer: layer.to_owned(),
            pool_first: self.batch_norm.is_none(),
            shape: max_pool::pooled_shape(geometry, self.shape),
            ..self.clone()
        }
    }

    /// Describes the convolution alone, with what it writes where it does not give sums.
    fn describe(&self, recorder: &mut Recorder, output: Option<BufferSlice>) -> Option<usize> {
        match deployed::bit_convolution(&self.convolution, &self.weights) {
            Some((operation, tensors)) => {
                let input = [Origin::Buffer(self.input.chunks[0])];
                recorder.describe(&self.layer, operation, &input, tensors, output)
            }
            None => {
                recorder.describe_nothing(&self.layer);
                None
            }
        }
    }

    /// Closes with an f32 epilogue.
    pub(crate) fn materialize(&self, recorder: &mut Recorder) -> Result<Tensor, GraphError> {
        let mut value = recorder.tensor("output", self.convolution.output);
        for chunk in recorder.chunks() {
            let dst = (value.chunks[chunk.index], Output::F32);
            bit_forward(recorder, chunk, (&self.input, None), &self.weights, dst)?;
        }
        let output = Some(value.chunks[0]);
        if self.is_single() {
            if let Some(sums) = self.describe(recorder, None) {
                let name = format!("{}.rescale", self.layer);
                let operation = DeployedOperation::Rescale;
                recorder.describe(&name, operation, &[Origin::Layer(sums)], Vec::new(), output);
            }
        } else {
            self.describe(recorder, output);
        }
        if let Some(bias) = self.bias {
            let layer = self.layer.clone();
            add_bias(recorder, &layer, &value, bias)?;
        }
        let pool = |recorder: &mut Recorder, value: Tensor| match self.pool {
            Some(geometry) => {
                max_pool::record(recorder, &self.pool_layer, geometry, &value).map(|(pooled, _)| pooled)
            }
            None => Ok(value),
        };
        if self.pool_first {
            value = pool(recorder, value)?;
        }
        if let Some(normalization) = self.batch_norm {
            value = normalization.record(recorder, &value)?;
        }
        if self.pool_first { Ok(value) } else { pool(recorder, value) }
    }

    /// Closes with integer thresholds and packs codes of `quantizer`.
    ///
    /// Only where [`Deferred::has_thresholds`] holds.
    pub(crate) fn threshold(
        &self,
        recorder: &mut Recorder,
        quantizer: &Arc<dyn ActivationQuantizer>,
    ) -> Result<Packed, GraphError> {
        let (bits, channels) = (quantizer.bits(), self.convolution.output.channels);
        let words = u64::from(channels) * u64::from(1 + levels(bits));
        let thresholds = recorder.frozen("thresholds", words);
        let group = self.group();
        recorder.folds.push(Fold {
            thresholds,
            channels,
            quantizer: quantizer.clone(),
            factor: self.input.groups[0].factor * group.factor,
            scales: self.scales(),
            bias: self.bias,
            batch_norm: self.batch_norm,
            range: self.range(),
        });
        let groups = vec![(PlaneGroup::first(bits), quantizer.factor())];
        self.compare(recorder, thresholds, &DeployedCodes::new(quantizer.kind(), groups), bits)
    }

    /// Closes with the integer `thresholds` and packs codes of `bits` bits that stand for `codes`.
    pub(crate) fn compare(
        &self,
        recorder: &mut Recorder,
        thresholds: BufferSlice,
        codes: &DeployedCodes,
        bits: u32,
    ) -> Result<Packed, GraphError> {
        let channels = self.convolution.output.channels;
        let mut weights = self.weights.clone();
        weights.iter_mut().for_each(|(_, weight)| weight.groups[0].scale = None);
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let len = u64::from(chunk.samples) * u64::from(self.convolution.output.len());
            let accumulators = recorder.per_sample("accumulators", chunk, len);
            bit_forward(recorder, chunk, (&self.input, None), &weights, (accumulators, Output::I32))?;
            let planes = recorder.per_sample("codes", chunk, Packed::words(self.shape, bits, chunk.samples));
            let window = self.pool_window(chunk.samples);
            recorder
                .dispatch(ThresholdPack { window, channels, bits }, &[accumulators, thresholds, planes])?;
            chunks.push(planes);
        }
        let name = recorder.scope.layer.clone();
        if let Some(sums) = self.describe(recorder, None) {
            let codes = codes.clone();
            let pool = self.pool.map(|_| self.pool_window(1));
            let operation = DeployedOperation::Threshold { bits, pool, codes };
            let tensors = vec![("thresholds", thresholds)];
            recorder.describe(&name, operation, &[Origin::Layer(sums)], tensors, Some(chunks[0]));
        }
        Ok(codes.packed(self.shape, chunks))
    }

    /// True where the code is a step function of one integer per channel: a single plane group on both sides, a scale of the
    /// weights per tensor or per channel, a rule with thresholds, and no pool before a batch norm, whose negative factors would
    /// turn its maximum into a minimum.
    pub(crate) fn has_thresholds(&self, quantizer: &dyn ActivationQuantizer) -> bool {
        if self.input.single().is_none() || self.weights.iter().any(|(_, weight)| weight.groups.len() != 1) {
            return false;
        }
        let group = self.group();
        let per_channel = self.scales().iter().all(|(_, index)| matches!(index.by, By::One | By::Column));
        // Parts of a convolution may have scales of their own, but one factor.
        let same_factor = self.weights.iter().all(|(_, weight)| weight.groups[0].factor == group.factor);
        let probe =
            threshold::BatchNormChannel { scale: 1.0, mean: 0.0, var: 1.0, gamma: 1.0, beta: 0.0, eps: 0.0 };
        per_channel
            && same_factor
            && !(self.pool_first && self.batch_norm.is_some())
            && quantizer.thresholds(&probe, -1..=1).is_some()
    }

    /// Both sides have a single plane group, and so one accumulator.
    fn is_single(&self) -> bool {
        self.input.groups.len() == 1 && self.weights.iter().all(|(_, weight)| weight.groups.len() == 1)
    }

    /// The only plane group of the first part.
    fn group(&self) -> Group {
        self.weights[0].1.groups[0]
    }

    /// The scales of all parts in order, or the one that they have in common.
    fn scales(&self) -> Vec<(BufferSlice, ScaleIndex)> {
        let mut scales: Vec<_> =
            self.weights.iter().filter_map(|(_, weight)| weight.groups[0].scale).collect();
        if scales.iter().all(|scale| *scale == scales[0]) {
            scales.truncate(1);
        }
        scales
    }

    /// Largest absolute accumulator.
    fn range(&self) -> i64 {
        let planes = self.weights.iter().map(|(_, weight)| weight.groups[0].planes.planes);
        let planes = planes.max().expect("at least one part");
        i64::from(self.input.largest()) * i64::from(levels(planes)) * i64::from(self.convolution.fan_in())
    }

    fn pool_window(&self, samples: u32) -> Window {
        let single = Geometry::square(1, 1, crate::Padding::Valid);
        let geometry = self.pool.unwrap_or(single);
        geometry
            .window(samples, self.convolution.output)
            .expect("the pool was checked when the network was built")
    }
}

/// Records the product of packed activations and weights of all parts for one chunk, times a factor of each position.
pub(crate) fn bit_forward(
    recorder: &mut Recorder,
    chunk: Chunk,
    (input, factors): (&Packed, Option<&[BufferSlice]>),
    weights: &[(ChannelPart, Operand)],
    (dst, output): (BufferSlice, Output),
) -> Result<(), GraphError> {
    let mut unfolded = input.rows(chunk);
    for (part, weight) in weights {
        // The parts of a group read the same patches.
        if part.of_group == 0 {
            let factors = factors.map(|factors| factors[chunk.index]);
            let rows = Rows { factors, ..part.input_rows(recorder, chunk, input.rows(chunk))? };
            unfolded = part.convolution.unfold(recorder, chunk, rows)?;
        }
        part.record_output(recorder, chunk, dst, |recorder, columns| {
            part.convolution.bit_forward(recorder, chunk, unfolded, weight, (columns, output))
        })?;
    }
    Ok(())
}

/// Records `values += bias` per channel, the bias of layer `layer`.
pub(crate) fn add_bias(
    recorder: &mut Recorder,
    layer: &str,
    values: &Tensor,
    bias: BufferSlice,
) -> Result<(), GraphError> {
    for chunk in recorder.chunks() {
        let (rows, channels) = (chunk.samples * values.shape.pixels(), values.shape.channels);
        recorder.dispatch(AddBias { rows, channels }, &[bias, values.chunks[chunk.index]])?;
    }
    let (name, place) = (format!("{layer}.bias"), values.chunks[0]);
    let operation = DeployedOperation::Bias;
    recorder.describe(&name, operation, &[Origin::Buffer(place)], vec![("bias", bias)], Some(place));
    Ok(())
}

impl Recorder {
    /// `value` in f32.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub fn dense(&mut self, value: &Value) -> Result<Tensor, GraphError> {
        match value {
            Value::Dense(tensor) => Ok(tensor.clone()),
            Value::Deferred(deferred) => deferred.materialize(self),
            Value::Packed(packed) => {
                let result = self.tensor("dequantized", packed.shape);
                for chunk in self.chunks() {
                    let rows = chunk.samples * packed.shape.pixels();
                    let (source, dst) = (packed.chunks[chunk.index], result.chunks[chunk.index]);
                    let values = (packed.kind, packed.groups.as_slice());
                    record_dequantize(self, values, source, (rows, packed.shape.channels), dst)?;
                }
                let name = format!("{}.dequantize", self.scope.layer);
                if deployed::codes(packed).is_some() {
                    let (input, output) = ([Origin::Buffer(packed.chunks[0])], Some(result.chunks[0]));
                    self.describe(&name, DeployedOperation::Dequantize, &input, Vec::new(), output);
                } else {
                    self.describe_nothing(&name);
                }
                Ok(result)
            }
        }
    }
}
