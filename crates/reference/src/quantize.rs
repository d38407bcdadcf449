//! The quantizers of DoReFa-Net (Zhou et al. 2016) with their straight-through gradients.
//!
//! A code `q` lies in `0..=n` with `n = 2^bits - 1`. Activations stand for `q / n`; weights and gradients are
//! centered and stand for a scale times the odd integer `2q - n`.

use crate::activation;

/// Largest code of a width, `n = 2^bits - 1`.
///
/// # Panics
///
/// When `bits` is outside `1..=31`.
pub fn levels(bits: u32) -> u32 {
    assert!((1..=31).contains(&bits), "a width of {bits} bits is outside 1..=31");
    (1 << bits) - 1
}

/// Rounds to the nearest integer, ties to the even one, as the shading language does.
pub fn round_half_even(x: f64) -> f64 {
    x.round_ties_even()
}

/// How a code is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest integer, ties to the even one.
    #[default]
    Even,
    /// `floor(x + 1/2)`: ties go up.
    Floor,
    /// No rounding to the nearest: `min(floor(2^bits x), n)`, so that a code's upper bits are the code of fewer bits.
    MidRise,
    /// The upper bits of the code of `from` bits that is rounded to the nearest, ties to the even one.
    Shift {
        /// Bits of the whole code.
        from: u32,
    },
}

impl Rounding {
    /// What x in [0, 1] is multiplied by to become an integer and a fraction that is rounded.
    pub fn factor(self, bits: u32) -> f64 {
        match self {
            Self::Even | Self::Floor => f64::from(levels(bits)),
            Self::MidRise => f64::from(levels(bits) + 1),
            Self::Shift { from } => f64::from(levels(from)),
        }
    }

    /// The code of `bits` bits of an x in [0, 1].
    fn code(self, x: f64, bits: u32) -> u32 {
        let scaled = self.factor(bits) * x;
        match self {
            Self::Even => round_half_even(scaled) as u32,
            Self::Floor => (scaled + 0.5).floor() as u32,
            Self::MidRise => (scaled.floor() as u32).min(levels(bits)),
            Self::Shift { from } => prefix(round_half_even(scaled) as u32, from, bits),
        }
    }
}

/// The sign with `sign(0) = sign(-0) = +1`.
pub fn sign(x: f64) -> f64 {
    if x < 0.0 { -1.0 } else { 1.0 }
}

/// Distance of `x * n` to the nearest half-integer, where rounding may go either way on a device.
pub fn distance_to_rounding(x_times_n: f64) -> f64 {
    (x_times_n - x_times_n.floor() - 0.5).abs()
}

/// Equations 5 and 6: the code `round(n x)`, with `x` clamped to `[0, 1]`; NaN gives 0.
pub fn quantize_unit(x: f64, bits: u32) -> u32 {
    quantize_unit_by(x, bits, Rounding::Even)
}

/// [`quantize_unit`] with another rounding.
pub fn quantize_unit_by(x: f64, bits: u32, rounding: Rounding) -> u32 {
    rounding.code(x.clamp(0.0, 1.0), bits)
}

/// The upper `bits` bits of a code of `from` bits, which is what a network keeps that is cut to fewer bits.
///
/// # Panics
///
/// When `bits` is above `from`.
pub fn prefix(code: u32, from: u32, bits: u32) -> u32 {
    assert!(bits <= from, "a code of {from} bits has no {bits} upper bits");
    code >> (from - bits)
}

/// A quantized weight tensor: element `i` is `scale * (2 * codes[i] - n)`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightCodes {
    /// One code an element, in the order of the weights.
    pub codes: Vec<u32>,
    /// The one scale of the tensor.
    pub scale: f64,
}

/// Equation 7: one bit, code 1 where `sign(w) = +1`, scale `mean |w|` over the tensor.
pub fn weights_binary(w: &[f64]) -> WeightCodes {
    let codes = w.iter().map(|&w| u32::from(sign(w) > 0.0)).collect();
    WeightCodes { codes, scale: mean_magnitude(w) }
}

/// The mean of `|w|`; 0 without weights.
pub(crate) fn mean_magnitude(w: &[f64]) -> f64 {
    let sum: f64 = w.iter().map(|w| w.abs()).sum();
    if w.is_empty() { 0.0 } else { sum / w.len() as f64 }
}

/// Equation 8: the gradient of [`weights_binary`] passes unchanged, neither clipped nor scaled.
pub fn weights_binary_backward(grad_quantized: &[f64]) -> Vec<f64> {
    grad_quantized.to_vec()
}

/// Equation 9: `q = round(n x)`, `x = tanh(w) / (2 max |tanh w|) + 1/2`, scale `1 / n`.
///
/// A tensor of zeros has no maximum to divide by; it gets `x = 1/2` everywhere.
pub fn weights_tanh(w: &[f64], bits: u32) -> WeightCodes {
    weights_tanh_by(w, bits, Rounding::Even)
}

/// [`weights_tanh`] with another rounding.
pub fn weights_tanh_by(w: &[f64], bits: u32, rounding: Rounding) -> WeightCodes {
    let max = max_abs_tanh(w);
    let codes = w.iter().map(|&w| quantize_unit_by(unit_tanh(w, max), bits, rounding)).collect();
    WeightCodes { codes, scale: 1.0 / f64::from(levels(bits)) }
}

/// The products `n x` that [`weights_tanh`] rounds, for [`distance_to_rounding`].
pub fn weights_tanh_unrounded(w: &[f64], bits: u32) -> Vec<f64> {
    let n = f64::from(levels(bits));
    let max = max_abs_tanh(w);
    w.iter().map(|&w| n * unit_tanh(w, max).clamp(0.0, 1.0)).collect()
}

/// Equation 9 before the rounding; 1/2 where there is no maximum to divide by.
pub(crate) fn unit_tanh(w: f64, max: f64) -> f64 {
    if max > 0.0 { w.tanh() / (2.0 * max) + 0.5 } else { 0.5 }
}

/// The gradient of [`weights_tanh`] with the rounding passed straight through.
///
/// `dw_i = dq_i (1 - t_i^2) / m` with `t = tanh(w)`, `m = max |t|`. With `max_grad` the maximum is
/// differentiated too: elements with the largest `|w_i|`, which have the largest `|t_i|`, also get
/// `-sign(t_i) (sum_j dq_j t_j) / m^2 (1 - t_i^2)`, divided by their number. A tensor of zeros gets a zero gradient.
pub fn weights_tanh_backward(w: &[f64], grad_quantized: &[f64], max_grad: bool) -> Vec<f64> {
    assert_eq!(w.len(), grad_quantized.len(), "weights and gradients must pair up");
    let max = max_abs_tanh(w);
    if max == 0.0 {
        return vec![0.0; w.len()];
    }
    let largest = w.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    let ties = w.iter().filter(|w| w.abs() == largest).count() as f64;
    let weighted: f64 = w.iter().zip(grad_quantized).map(|(w, grad)| grad * w.tanh()).sum();
    let grad = |(w, grad): (&f64, &f64)| {
        let t = w.tanh();
        let through_max =
            if max_grad && w.abs() == largest { -sign(t) * weighted / (max * max) / ties } else { 0.0 };
        (grad / max + through_max) * (1.0 - t * t)
    };
    w.iter().zip(grad_quantized).map(grad).collect()
}

/// Equation 11: `round(n clip(x, 0, 1))`; the code stands for `q / n`.
pub fn activation_codes(x: &[f64], bits: u32) -> Vec<u32> {
    x.iter().map(|&x| quantize_unit(x, bits)).collect()
}

/// The gradient of [`activation_codes`]: that of the clip, passed where `0 <= x <= 1`.
pub fn activation_backward(x: &[f64], grad: &[f64]) -> Vec<f64> {
    activation::clip_backward(x, grad, 1.0)
}

/// Quantized gradients: element `i` of sample `s` is `scale[s] * (2 * codes[i] - n) / n`.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCodes {
    /// One code an element, in the order of the gradients.
    pub codes: Vec<u32>,
    /// `max |g|` of each sample.
    pub scale: Vec<f64>,
}

/// What the scale of a quantized gradient spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GradientScale {
    /// `max |g|` of each sample.
    #[default]
    Sample,
    /// The smallest power of two that is not below `max |g|` of the sample.
    Pow2,
    /// `max |g|` of the whole batch.
    Batch,
}

/// The scale of each of `samples` equal parts of `g`.
pub fn gradient_scale_by(g: &[f64], samples: usize, scale: GradientScale) -> Vec<f64> {
    match scale {
        GradientScale::Sample => gradient_scale(g, samples),
        GradientScale::Pow2 => gradient_scale(g, samples).into_iter().map(power_of_two_from).collect(),
        GradientScale::Batch => vec![gradient_scale(g, 1)[0]; samples],
    }
}

/// `2^ceil(log2 s)` for a single-precision `s`: the smallest normal power of two that is not below it; 0 stays 0, and
/// what lies above the largest power of two stays what it is.
pub fn power_of_two_from(s: f64) -> f64 {
    if s == 0.0 {
        return 0.0;
    }
    let powers = (-126..=127).map(|exponent| 2f64.powi(exponent));
    powers.into_iter().find(|power| *power >= s).unwrap_or(s)
}

/// `max |g|` of each of `samples` equal parts of `g`.
pub fn gradient_scale(g: &[f64], samples: usize) -> Vec<f64> {
    let max_abs = |sample| of_sample(g, samples, sample).iter().fold(0.0, |max: f64, g| max.max(g.abs()));
    (0..samples).map(max_abs).collect()
}

/// Equation 12 with its last term outside the rounding, as the formula above it in the paper has it.
///
/// `x = clip(g / (2 s) + 1/2 + u, 0, 1)`, `q = round(n x)` with `u = (noise - 1/2) / n`, which is unbiased
/// stochastic rounding. `noise` holds a uniform number in `[0, 1)` for each element of `g`. A sample of zeros
/// gets scale 0 and codes 0.
pub fn gradient_codes(g: &[f64], samples: usize, bits: u32, noise: &[f64]) -> GradientCodes {
    gradient_codes_by(g, samples, (bits, GradientScale::Sample), noise)
}

/// [`gradient_codes`] with scales that span something else.
pub fn gradient_codes_by(
    g: &[f64],
    samples: usize,
    (bits, scale): (u32, GradientScale),
    noise: &[f64],
) -> GradientCodes {
    let scale = gradient_scale_by(g, samples, scale);
    let unrounded = unrounded(g, &scale, bits, noise);
    let codes = unrounded.into_iter().map(|x| round_half_even(x) as u32).collect();
    GradientCodes { codes, scale }
}

/// The products `n x` that [`gradient_codes`] rounds, for [`distance_to_rounding`]; 0 in a sample of zeros.
pub fn gradient_unrounded(g: &[f64], samples: usize, bits: u32, noise: &[f64]) -> Vec<f64> {
    unrounded(g, &gradient_scale(g, samples), bits, noise)
}

fn unrounded(g: &[f64], scales: &[f64], bits: u32, noise: &[f64]) -> Vec<f64> {
    assert_eq!(g.len(), noise.len(), "each gradient needs its own noise");
    let (n, samples) = (f64::from(levels(bits)), scales.len());
    let mut unrounded = Vec::with_capacity(g.len());
    for (sample, &scale) in scales.iter().enumerate() {
        for (g, noise) in of_sample(g, samples, sample).iter().zip(of_sample(noise, samples, sample)) {
            let x = if scale > 0.0 { g / (2.0 * scale) + 0.5 + (noise - 0.5) / n } else { 0.0 };
            unrounded.push(n * x.clamp(0.0, 1.0));
        }
    }
    unrounded
}

fn of_sample(values: &[f64], samples: usize, sample: usize) -> &[f64] {
    let len = values.len() / samples;
    assert_eq!(values.len(), samples * len, "the samples must be of equal size");
    &values[sample * len..(sample + 1) * len]
}

pub(crate) fn max_abs_tanh(w: &[f64]) -> f64 {
    w.iter().fold(0.0, |max: f64, w| max.max(w.tanh().abs()))
}
