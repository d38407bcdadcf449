//! Quantizers: how weights, activations and gradients become bit planes, and how gradients pass through.
//!
//! A method of the literature enters the engine as one file here. A quantizer says its planes, how it packs them, its
//! straight-through backward rule and what it stores; layers and products know no method.

mod base_sum;
mod channel_codes;
mod channel_weight;
mod coded;
mod dorefa_activation;
mod dorefa_gradient;
mod dorefa_weight;
mod hbnn_activation;
mod hbnn_weight;
pub(crate) mod learned;
mod learned_activation;
mod learned_weight;
mod nested_weight;
mod pixels;
mod sign_activation;

use std::{fmt, ops::RangeInclusive, sync::Arc};

pub(crate) use base_sum::{BaseSumWeight, average};
pub use channel_codes::ChannelCodes;
pub use channel_weight::ChannelWeight;
pub use coded::Coded;
pub use dorefa_activation::DorefaActivation;
pub use dorefa_gradient::DorefaGradient;
pub use dorefa_weight::DorefaWeight;
pub use hbnn_activation::{ChannelBits, HbnnActivation};
pub use hbnn_weight::{BITS, HbnnWeight};
use kernels::{By, Rounding, ScaleIndex};
pub use learned_activation::LearnedActivation;
pub use learned_weight::LearnedWeight;
pub use nested_weight::NestedWeight;
pub use pixels::Pixels;
use recording::BufferSlice;
use reference::threshold::{BatchNormChannel, ChannelThresholds};
pub use sign_activation::SignActivation;

use crate::{
    CodeRule, Convolution, GraphError, Method, Packed, Parameter, ParameterSpec, Recorder, Tensor,
    bit_length::LengthForm,
    planes::{Group, Operand},
    recorder::Chunk,
};

/// Which axis of an OHWI weight forms the rows of a packed operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRows {
    /// Rows by output channel, k = (ky, kx, ci): the forward product.
    ByOutput,
    /// Rows by input channel, k = (ky, kx, co): the product for the gradient of the input.
    ByInput,
}

/// Words of a slice that kernels bind.
fn len(slice: &BufferSlice) -> u32 {
    u32::try_from(slice.words).expect("a binding has fewer than 2^32 words")
}

/// Weights to sign planes.
pub trait WeightQuantizer: fmt::Debug + Send + Sync {
    /// The same rule by another method, where that changes it.
    fn with_method(&self, _method: &Method) -> Option<Arc<dyn WeightQuantizer>> {
        None
    }

    /// The same rule on the upper `bits` of its codes, where it has such a form.
    fn cut(&self, _bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        None
    }

    /// The rule with `groups` learned bit lengths for equally many output channels each, where it has such a form.
    fn with_learned_bits(&self, _form: LengthForm, _groups: u32) -> Option<Arc<dyn WeightQuantizer>> {
        None
    }

    /// Groups of equally many output channels that have rules of their own.
    fn channel_groups(&self) -> u32 {
        1
    }

    /// The rule that packs the weights of group `at`, where groups have rules of their own.
    fn of_group(&self, _at: u32) -> Option<Arc<dyn WeightQuantizer>> {
        None
    }

    /// The rule as a saved state wants it recorded, where that is not how it is; `read` gives the values of one of the
    /// rule's parameters.
    fn for_state(&self, _read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn WeightQuantizer>> {
        None
    }

    /// Bits stored per weight.
    fn stored_bits(&self) -> f64;

    /// Bits that a deployed network stores for one value of a parameter of the rule itself.
    fn parameter_bits(&self, _parameter: &ParameterSpec) -> f64 {
        32.0
    }

    /// Planes of the packed operand, without masks.
    fn planes(&self) -> u32;

    /// Parameters and statistics of the rule itself, such as learned scales; they become parameters of the layer.
    fn parameters(&self, _convolution: &Convolution) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// How many of the slices that [`WeightQuantizer::prepare`] gives, the first of them, hold a value for each weight;
    /// where a convolution is cut into parts, [`WeightQuantizer::pack`] gets the part's share of them.
    fn per_weight(&self) -> usize {
        0
    }

    /// Records what every packing and the backward rule need, such as scales.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError>;

    /// Whether [`WeightQuantizer::channel_scales`] are there.
    fn has_channel_scales(&self) -> bool {
        false
    }

    /// A scale per output channel that weights packed by input lack: it lies inside the contraction of the gradient of the
    /// input, whose codes it is multiplied to before they are drawn.
    fn channel_scales(&self, _prepared: &[BufferSlice]) -> Option<BufferSlice> {
        None
    }

    /// Records the packing of `weight` into rows.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError>;

    /// True where the gradient of the quantized weight is that of the latent one, so that [`WeightQuantizer::backward`]
    /// is not called.
    fn passes_gradient(&self) -> bool;

    /// Records the straight-through rule from `grad_quantized`, the gradient of the quantized weight, to
    /// `weight.gradient`, that of the latent one.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError>;
}

/// Activations to planes. What [`ActivationQuantizer::pack`] gives may be several groups; a rule with thresholds, or
/// one that fused kernels stand for, gives codes in a single one of [`ActivationQuantizer::kind`].
pub trait ActivationQuantizer: fmt::Debug + Send + Sync {
    /// The same rule by another method, where that changes it.
    fn with_method(&self, _method: &Method) -> Option<Arc<dyn ActivationQuantizer>> {
        None
    }

    /// The same rule on the upper `bits` of its codes, where it has such a form.
    fn cut(&self, _bits: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        None
    }

    /// The rule with `groups` learned bit lengths for equally many channels each, where it has such a form.
    fn with_learned_bits(&self, _form: LengthForm, _groups: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        None
    }

    /// The rule as a saved state wants it recorded, where that is not how it is; `read` gives the values of one of the
    /// rule's parameters.
    fn for_state(&self, _read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn ActivationQuantizer>> {
        None
    }

    /// Bits of a code, or planes of all groups.
    fn bits(&self) -> u32;

    /// Unit bits {0, 1} or sign bits {-1, +1}.
    fn kind(&self) -> kernels::Kind {
        kernels::Kind::Unit
    }

    /// Value of code 1, or with sign bits of the unit of the odd integers.
    fn factor(&self) -> f32;

    /// Parameters and statistics of the rule itself; they become parameters of the layer.
    fn parameters(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Integer thresholds that give the codes of `channel`'s values for accumulators in `range`, or `None` where the rule
    /// is not a fixed monotone function; then the deployed form quantizes in f32.
    fn thresholds(
        &self,
        _channel: &BatchNormChannel,
        _range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        None
    }

    /// The rule as data, for a packed file; none where a file cannot say it.
    fn rule(&self) -> Option<CodeRule> {
        None
    }

    /// The bits of each of the channels of layer `name`, where they have their own.
    fn channel_bits(&self, _name: &str, _channels: u32) -> Option<Vec<u32>> {
        None
    }

    /// The plane group of each of the channels, where every channel has one alone.
    fn channel_sets(&self, _channels: u32) -> Option<Vec<u32>> {
        None
    }

    /// The rounding where codes are `round(n clip(x, 0, 1))` with `n = 2^bits - 1` and the gradient passes where
    /// `0 <= x <= 1`, so that kernels which do this together with its neighbors stand for the rule.
    fn unit_clip(&self) -> Option<Rounding> {
        None
    }

    /// Records clip, quantization and packing.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError>;

    /// Records the straight-through rule.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError>;

    /// The groups of the planes, once [`ActivationQuantizer::pack`] or a fused kernel has written them.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn groups(&self, _recorder: &mut Recorder) -> Result<Vec<Group>, GraphError> {
        Ok(vec![Group::codes(self.bits(), self.factor())])
    }

    /// Records the gradients of the rule's own parameters from its codes and the gradient of their values.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn own_gradients(
        &self,
        _recorder: &mut Recorder,
        _codes: &Packed,
        _grad: &Tensor,
    ) -> Result<(), GraphError> {
        Ok(())
    }
}

/// Gradients to sign planes, drawn once.
pub trait GradientQuantizer: fmt::Debug + Send + Sync {
    /// Bits of a code.
    fn bits(&self) -> u32;

    /// The same rule by another method, where that changes it.
    fn with_method(&self, _method: &Method) -> Option<Arc<dyn GradientQuantizer>> {
        None
    }

    /// Records the scale that all samples of the batch share, where they do, so that integer sums may span them.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn prepare(&self, _recorder: &mut Recorder, _grad: &Tensor) -> Result<Option<BufferSlice>, GraphError> {
        Ok(None)
    }

    /// Records scale, stochastic rounding and packing of one chunk of a gradient; rows are output positions. `rest` is
    /// what [`GradientQuantizer::prepare`] gave, and the layer's stream of random numbers.
    ///
    /// # Errors
    /// Buffers that do not fit.
    fn pack(
        &self,
        recorder: &mut Recorder,
        chunk: Chunk,
        grad: &Tensor,
        rest: (Option<BufferSlice>, u32),
    ) -> Result<GradientPlanes, GraphError>;
}

/// A packed gradient `[plane][position][words(channels)]`: code q of sample n stands for `factor * scale[n] * (2q - n_G)`.
#[derive(Clone, Copy, Debug)]
pub struct GradientPlanes {
    /// The planes.
    pub planes: BufferSlice,
    /// One scale per sample, or one for all.
    pub scale: BufferSlice,
    /// All samples of the batch have the same scale.
    pub shared: bool,
    /// Planes.
    pub bits: u32,
    /// 1 / n_G.
    pub factor: f32,
}

impl GradientPlanes {
    /// How a product reads the scale: `by` with divisor `div`, or one for all.
    pub(crate) fn index(&self, by: By, div: u32) -> ScaleIndex {
        if self.shared { ScaleIndex { by: By::One, div: 1 } } else { ScaleIndex { by, div } }
    }
}
