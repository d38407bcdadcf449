//! Inference without floats: the chain from integer accumulator to activation code as a table of thresholds.
//!
//! The chain (scale, batch normalization, clip, round) is monotone, hence a step function of the
//! accumulator, and each step is found by binary search on the chain itself. So folded and unfolded codes
//! agree bit by bit, ties included, for whatever arithmetic the chain uses.

use std::ops::RangeInclusive;

use crate::quantize::{Rounding, levels, quantize_unit_by};

/// The steps of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelThresholds {
    /// Whether the code grows with the accumulator.
    pub ascending: bool,
    /// One threshold for each code `1..=n`: ascending channels pass at `v >= threshold`, others at
    /// `v < threshold`.
    pub thresholds: Vec<i32>,
}

impl ChannelThresholds {
    /// The code of an accumulator: how many thresholds it passes.
    pub fn apply(&self, v: i64) -> u32 {
        let passes = |threshold: &&i32| (v >= i64::from(**threshold)) == self.ascending;
        self.thresholds.iter().filter(passes).count() as u32
    }
}

/// The thresholds of a monotone `chain` from accumulators in `range` to codes of `bits` bits.
///
/// A code that the range never reaches gets a threshold at or just behind an end of the range, so
/// [`ChannelThresholds::apply`] is right inside the range only.
///
/// # Panics
///
/// When the range is empty, or it and the integer behind it do not fit in an `i32`.
pub fn fold(range: RangeInclusive<i64>, chain: impl Fn(i64) -> u32, bits: u32) -> ChannelThresholds {
    let (min, max) = range.into_inner();
    assert!(min <= max, "the range {min}..={max} is empty");
    assert!(
        min >= i64::from(i32::MIN) && max < i64::from(i32::MAX),
        "the range {min}..={max} leaves no room for thresholds of 32 bits"
    );
    let ascending = chain(min) <= chain(max);
    let threshold = |code: u32| {
        let (mut low, mut high) = (min, max + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if (chain(middle) >= code) == ascending {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        i32::try_from(low).expect("the range fits in 32 bits")
    };
    ChannelThresholds { ascending, thresholds: (1..=levels(bits)).map(threshold).collect() }
}

/// One channel of a scaled accumulator and the batch normalization behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormChannel {
    /// Factor from accumulator to value.
    pub scale: f64,
    /// Running mean.
    pub mean: f64,
    /// Running variance.
    pub var: f64,
    /// Learned factor; 0 makes the channel constant.
    pub gamma: f64,
    /// Learned offset.
    pub beta: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl BatchNormChannel {
    /// The unfolded chain: `round(n clip(gamma (scale v - mean) / sqrt(var + eps) + beta, 0, 1))`.
    pub fn code(&self, v: i64, bits: u32) -> u32 {
        self.code_by(v, bits, Rounding::Even)
    }

    /// [`BatchNormChannel::code`] with another rounding.
    pub fn code_by(&self, v: i64, bits: u32, rounding: Rounding) -> u32 {
        quantize_unit_by(self.value(v), bits, rounding)
    }

    /// `gamma (scale v - mean) / sqrt(var + eps) + beta`.
    pub fn value(&self, v: i64) -> f64 {
        self.gamma * (self.scale * v as f64 - self.mean) / (self.var + self.eps).sqrt() + self.beta
    }
}

/// The thresholds of [`BatchNormChannel::code`] for accumulators in `range`.
pub fn fold_batch_norm(
    channel: &BatchNormChannel,
    bits: u32,
    range: RangeInclusive<i64>,
) -> ChannelThresholds {
    fold_batch_norm_by(channel, (bits, Rounding::Even), range)
}

/// The thresholds of [`BatchNormChannel::code_by`] for accumulators in `range`.
pub fn fold_batch_norm_by(
    channel: &BatchNormChannel,
    (bits, rounding): (u32, Rounding),
    range: RangeInclusive<i64>,
) -> ChannelThresholds {
    fold(range, |v| channel.code_by(v, bits, rounding), bits)
}

/// The threshold of `sgn(gamma (scale v - mean) / sqrt(var + eps) + beta)` as a code of one bit, for accumulators in
/// `range`.
pub fn fold_sign(channel: &BatchNormChannel, range: RangeInclusive<i64>) -> ChannelThresholds {
    fold(range, |v| u32::from(channel.value(v) >= 0.0), 1)
}
