//! Batch norm, maximum pool and activation quantization between two convolutions, in training one kernel a pass, and in an
//! evaluation where the convolution before is in f32.
//!
//! Layers stay independent: each says its [`Link`], and a chain of links without other consumers is recorded here instead
//! of by its layers. Kept for the backward pass are the input in f32 and, per output, the bits of its route: whether its
//! gradient passes the clip, and which tap of the pool it goes to. Names, parameters and streams of random numbers are
//! those of the layers.

use std::{collections::HashMap, sync::Arc};

use kernels::{
    NormalizeQuantize, NormalizeQuantizeBackward, NormalizeQuantizeBackwardSums, NormalizeRule, Rounding,
    Window,
};
use recording::BufferSlice;

use crate::{
    BaseScales, Geometry, GraphError, Mode, Network, Packed, Padding, Recorder, Shape, Tensor, Value,
    deployed::{self, DeployedOperation, Origin},
    layer::Backward,
    layers::{
        BatchNorm, QuantizedConv2d,
        batch_norm::{PARTIAL_ROWS, Statistics},
    },
    quantizers::ActivationQuantizer,
    reduction::rows_per_partial,
    tensor::Maxima,
};

/// What a layer does, where it may be recorded together with its neighbors: those between one convolution and the codes that the
/// next one reads, or the convolutions of a sum of bases.
#[derive(Clone, Debug)]
pub enum Link {
    /// Batch norm.
    Normalize(BatchNorm),
    /// Maximum pool.
    Pool(Geometry),
    /// Activation quantization.
    Quantize(Arc<dyn ActivationQuantizer>),
    /// Convolution of quantized operands.
    Product(QuantizedConv2d),
    /// Sum of bases.
    Sum(BaseScales),
}

impl Link {
    /// The convolution of quantized operands.
    pub(crate) fn product(self) -> Option<QuantizedConv2d> {
        if let Self::Product(product) = self { Some(product) } else { None }
    }
}

/// Links that follow each other, by position in the network.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    batch_norm: Option<(usize, BatchNorm)>,
    pool: Option<(usize, Geometry)>,
    quantizer: Arc<dyn ActivationQuantizer>,
    rounding: Rounding,
    last: usize,
    /// Nobody else reads the first layer's input, so that its gradient may take its place.
    in_place: bool,
}

/// How many layers read the output of each, and the loss.
pub(crate) fn consumers(network: &Network) -> Vec<usize> {
    let mut consumers = vec![0; network.layers.len()];
    network.layers.iter().flat_map(|l| l.inputs.iter().flatten()).for_each(|&at| consumers[at] += 1);
    network.read_by_loss().for_each(|at| consumers[at] += 1);
    consumers
}

/// The chains of `network`, by the position of their last layer.
pub(crate) fn chains(network: &Network) -> HashMap<usize, Chain> {
    let consumers = consumers(network);
    let link = |at: usize| network.layers[at].layer.link();
    // The one layer before another, if it has no other consumer.
    let before = |at: usize| match network.layers[at].inputs.as_slice() {
        [Some(before)] if consumers[*before] == 1 => Some(*before),
        _ => None,
    };
    let mut found = HashMap::new();
    for last in 0..network.layers.len() {
        let Some(Link::Quantize(quantizer)) = link(last) else { continue };
        let Some(rounding) = quantizer.unit_clip() else { continue };
        let mut chain = Chain { batch_norm: None, pool: None, quantizer, rounding, last, in_place: false };
        if let Some(at) = before(chain.first())
            && let Some(Link::Pool(geometry)) = link(at)
            && windows_are_apart(geometry)
        {
            chain.pool = Some((at, geometry));
        }
        if let Some(at) = before(chain.first())
            && let Some(Link::Normalize(batch_norm)) = link(at)
        {
            chain.batch_norm = Some((at, batch_norm));
        }
        chain.in_place = before(chain.first()).is_some_and(|at| !network.layers[at].layer.keeps_output());
        if chain.first() != last {
            found.insert(last, chain);
        }
    }
    found
}

/// Square windows without overlap, so that each input has at most one.
fn windows_are_apart(Geometry { kernel: (height, width), stride, .. }: Geometry) -> bool {
    height == width && height > 1 && height <= stride
}

/// What the backward pass keeps.
struct Saved {
    input: Tensor,
    codes: Packed,
    route: Vec<BufferSlice>,
    normalization: Option<Normalized>,
}

/// A batch norm with its coefficients.
struct Normalized {
    name: String,
    statistics: Statistics,
    coefficients: BufferSlice,
}

impl Chain {
    /// Position of the first layer.
    pub(crate) fn first(&self) -> usize {
        let pool = self.pool.map_or(self.last, |(at, _)| at);
        self.batch_norm.map_or(pool, |(at, _)| at)
    }

    /// Positions of the layers that are recorded with the last one.
    pub(crate) fn inner(&self) -> impl Iterator<Item = usize> + use<> {
        self.batch_norm.map(|(at, _)| at).into_iter().chain(self.pool.map(|(at, _)| at))
    }

    /// The fused kernels compute the chain on `input`: always in training; in an evaluation, where batch norm has other
    /// statistics and a convolution may be left open, without a batch norm and in f32.
    pub(crate) fn computes(&self, mode: Mode, input: &Value) -> bool {
        !matches!(mode, Mode::Evaluate { .. })
            || (self.batch_norm.is_none() && matches!(input, Value::Dense(_)))
    }

    fn window(&self, samples: u32, shape: Shape) -> Window {
        let none = Geometry::square(1, 1, Padding::Valid);
        let geometry = self.pool.map_or(none, |(_, geometry)| geometry);
        geometry.window(samples, shape).expect("the pool was checked when the network was built")
    }

    /// Records the forward pass; the backward pass leads from the gradient of the last layer's output to that of the first
    /// one's input.
    pub(crate) fn forward(
        self,
        recorder: &mut Recorder,
        network: &Network,
        input: &Value,
    ) -> Result<(Value, Backward), GraphError> {
        recorder.set_scope(&network.layers[self.first()].name, "forward");
        let input = recorder.dense(input)?;
        let normalization = match self.batch_norm {
            Some((at, batch_norm)) => {
                Some(Normalized::record(recorder, &network.layers[at].name, batch_norm, &input)?)
            }
            None => None,
        };
        recorder.set_scope(&network.layers[self.last].name, "forward");
        let Window { out_height, out_width, .. } = self.window(1, input.shape);
        let (bits, shape) = (self.quantizer.bits(), Shape::new(out_height, out_width, input.shape.channels));
        let (mut codes, mut route) = (Vec::new(), Vec::new());
        for chunk in recorder.chunks() {
            let window = self.window(chunk.samples, input.shape);
            let planes = recorder.per_sample("codes", chunk, Packed::words(shape, bits, chunk.samples));
            let words = NormalizeQuantize::route_words(&window, shape.channels);
            let passed = recorder.per_sample("route", chunk, words);
            let x = input.chunks[chunk.index];
            let coefficients = normalization.as_ref().map_or(x, |n| n.coefficients);
            let normalize = normalization.is_some();
            let (channels, rounding) = (shape.channels, self.rounding);
            let kernel = NormalizeQuantize { window, channels, bits, normalize, rounding };
            recorder.dispatch(kernel, &[x, coefficients, planes, passed])?;
            codes.push(planes);
            route.push(passed);
        }
        let groups = self.quantizer.groups(recorder)?;
        let (kind, chunks) = (self.quantizer.kind(), codes);
        let packed = Packed { shape, kind, groups, chunks, magnitudes: None };
        self.describe(recorder, network, &input, &packed);
        let saved = Saved { input, codes: packed.clone(), route, normalization };
        Ok((
            Value::Packed(packed),
            Box::new(move |recorder, grad| Ok(vec![Some(self.backward(recorder, &saved, grad)?)])),
        ))
    }

    /// Describes pool and quantization; in an evaluation there is no batch norm.
    fn describe(&self, recorder: &mut Recorder, network: &Network, input: &Tensor, packed: &Packed) {
        let name = &network.layers[self.last].name;
        let Some(operation) = deployed::quantize(self.quantizer.as_ref(), packed) else {
            return recorder.describe_nothing(name);
        };
        let mut source = Some(Origin::Buffer(input.chunks[0]));
        if let Some((at, _)) = self.pool {
            let operation = DeployedOperation::MaxPool(self.window(1, input.shape));
            let pool = &network.layers[at].name;
            let described = recorder.describe(pool, operation, source.as_slice(), Vec::new(), None);
            source = described.map(Origin::Layer);
        }
        if let Some(source) = source {
            recorder.describe(name, operation, &[source], Vec::new(), Some(packed.chunks[0]));
        }
    }

    fn backward(&self, recorder: &mut Recorder, saved: &Saved, grad: &Tensor) -> Result<Tensor, GraphError> {
        let Saved { input, codes, route, normalization } = saved;
        self.quantizer.own_gradients(recorder, codes, grad)?;
        let channels = input.shape.channels;
        let (mut rule, mut sums) = (NormalizeRule::None, None);
        if let Some(Normalized { name, statistics, .. }) = normalization {
            recorder.set_scope(name, "backward");
            rule = match statistics.frozen {
                true => NormalizeRule::Frozen,
                false => NormalizeRule::Batch(recorder.batch() * input.shape.pixels()),
            };
            let partials = self.partial_sums(recorder, saved, grad)?;
            sums = Some(statistics.finish_gradients(recorder, &partials, channels)?);
        }
        let in_place = self.in_place && matches!(rule, NormalizeRule::Batch(_));
        let mut result = match in_place {
            true => input.clone(),
            false => recorder.tensor("grad_input", input.shape),
        };
        let mut maxima = Maxima { parts: 0, chunks: Vec::new() };
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let window = self.window(chunk.samples, input.shape);
            let kernel = NormalizeQuantizeBackward { window, channels, rule, in_place };
            maxima.parts = kernel.parts();
            let words = u64::from(chunk.samples) * u64::from(kernel.parts());
            let largest = recorder.per_sample("maxima of grad_input", chunk, words);
            let (dy, dx) = (grad.chunks[at], result.chunks[at]);
            // What a rule does not read is bound to the gradient.
            let (x, coefficients) = match normalization {
                Some(Normalized { coefficients, .. }) if in_place => (dy, *coefficients),
                Some(Normalized { coefficients, .. }) => (input.chunks[at], *coefficients),
                None => (dy, dy),
            };
            let buffers = [x, dy, route[at], coefficients, sums.unwrap_or(dy), dx, largest];
            recorder.dispatch(kernel, &buffers)?;
            maxima.chunks.push(largest);
        }
        result.maxima = Some(maxima);
        Ok(result)
    }

    /// Records the sums of dy and of dy * xhat over groups of pixels: per chunk, their rows and how many.
    fn partial_sums(
        &self,
        recorder: &mut Recorder,
        Saved { input, route, normalization, .. }: &Saved,
        grad: &Tensor,
    ) -> Result<Vec<(BufferSlice, u32)>, GraphError> {
        let channels = input.shape.channels;
        let group = rows_per_partial(grad.shape.pixels(), PARTIAL_ROWS);
        let mut partials = Vec::new();
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let window = self.window(chunk.samples, input.shape);
            let kernel = NormalizeQuantizeBackwardSums { window, channels, group };
            let groups = kernel.groups();
            let words = 2 * u64::from(groups) * u64::from(channels);
            let partial = recorder.per_sample("sum partials", chunk, words);
            let coefficients = normalization.as_ref().map_or(grad.chunks[at], |n| n.coefficients);
            let buffers = [input.chunks[at], grad.chunks[at], route[at], coefficients, partial];
            recorder.dispatch(kernel, &buffers)?;
            partials.push((partial, groups));
        }
        Ok(partials)
    }
}

impl Normalized {
    /// Records the statistics of batch norm `name` and what the fused kernels need of it per channel.
    fn record(
        recorder: &mut Recorder,
        name: &str,
        batch_norm: BatchNorm,
        input: &Tensor,
    ) -> Result<Self, GraphError> {
        let statistics = batch_norm.statistics(recorder, input)?;
        let coefficients = statistics.coefficients(recorder, input.shape.channels)?;
        // The input was checked behind its convolution, so the output is finite where these are.
        recorder.check_finite("output", &[coefficients])?;
        Ok(Self { name: name.to_owned(), statistics, coefficients })
    }
}
