//! Integer thresholds as the host computes them in f64 before an evaluation, from what the device has.

use std::sync::Arc;

use kernels::{By, ScaleIndex};
use recording::BufferSlice;
use reference::{quantize::levels, threshold};

use crate::{deploy::Normalization, quantizers::ActivationQuantizer};

/// Thresholds that the host computes in f64 before an evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub thresholds: BufferSlice,
    pub channels: u32,
    pub quantizer: Arc<dyn ActivationQuantizer>,
    /// Constant factor of the integer accumulator.
    pub factor: f32,
    /// Factors computed on the device, such as the mean of the absolute weights: one, those of the channels
    /// of each part, or one of each part.
    pub scales: Vec<(BufferSlice, ScaleIndex)>,
    /// Added to the scaled accumulator, per channel.
    pub bias: Option<BufferSlice>,
    pub batch_norm: Option<Normalization>,
    /// Largest absolute accumulator.
    pub range: i64,
}

/// What the host reads from the device to compute one layer's thresholds.
#[derive(Clone, Debug, Default)]
pub(crate) struct FoldValues {
    pub scale: Vec<f32>,
    pub bias: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

impl Fold {
    /// Threshold words `[1 + n][channel]`: 1 for ascending or 0 for descending, then the thresholds.
    pub(crate) fn thresholds(&self, values: &FoldValues) -> Vec<u32> {
        let channels = self.channels as usize;
        let mut words = vec![0; (1 + levels(self.quantizer.bits()) as usize) * channels];
        for channel in 0..channels {
            let at = |vector: &[f32], index: usize, default: f64| {
                vector.get(index).map_or(default, |&v| f64::from(v))
            };
            let scale_at = match self.scales.first() {
                Some((_, ScaleIndex { by: By::Column, div })) => channel / *div as usize,
                _ => channel * self.scales.len() / channels,
            };
            let norm = threshold::BatchNormChannel {
                scale: f64::from(self.factor) * at(&values.scale, scale_at, 1.0),
                // A constant before the normalization moves its mean.
                mean: at(&values.mean, channel, 0.0) - at(&values.bias, channel, 0.0),
                var: at(&values.variance, channel, 1.0),
                gamma: at(&values.gamma, channel, 1.0),
                beta: at(&values.beta, channel, 0.0),
                eps: self.batch_norm.map_or(0.0, |n| f64::from(n.epsilon)),
            };
            let folded = self
                .quantizer
                .thresholds(&norm, -self.range..=self.range)
                .expect("a convolution is folded only behind a rule with thresholds");
            let thresholds = folded.thresholds.iter().map(|t| t.cast_unsigned());
            for (row, word) in [u32::from(folded.ascending)].into_iter().chain(thresholds).enumerate() {
                words[row * channels + channel] = word;
            }
        }
        words
    }
}
