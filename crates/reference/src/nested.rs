//! Weights whose K upper bits are the K-bit weights (FlexNet, Hsiao et al.), with one scale for all widths.
//!
//! The unit interval that equation 9 of DoReFa-Net maps weights to is cut by [`Rounding::MidRise`] (F1) or
//! [`Rounding::Shift`] (F3). Activations have no rule of their own: [`quantize_unit_by`] with `MidRise` is F2, with
//! `Shift` F3, and a code stands for `q / n`.

use crate::quantize::{
    Rounding, WeightCodes, levels, max_abs_tanh, mean_magnitude, quantize_unit_by, unit_tanh,
    weights_tanh_backward,
};

/// How codes of several widths are truncations of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NestedForm {
    /// F1 and F2: codes `min(floor(2^bits x), n)`; a weight stands for the middle of its interval.
    #[default]
    MidRise,
    /// F3: the upper bits of DoReFa-Net's code of the widest width.
    Shift,
}

impl NestedForm {
    /// How codes of a width are rounded where the widest has `widest` bits.
    pub fn rounding(self, widest: u32) -> Rounding {
        match self {
            Self::MidRise => Rounding::MidRise,
            Self::Shift => Rounding::Shift { from: widest },
        }
    }

    /// Value of one step of a weight's odd integer `2q - n`: `1 / 2^bits`, or `1 / n` as in DoReFa-Net.
    pub fn weight_step(self, bits: u32) -> f64 {
        match self {
            Self::MidRise => 1.0 / f64::from(levels(bits) + 1),
            Self::Shift => 1.0 / f64::from(levels(bits)),
        }
    }
}

/// The mean of `|w|`, the scale that all widths share; 0 without weights.
pub fn shared_scale(w: &[f64]) -> f64 {
    mean_magnitude(w)
}

/// Weights of `bits` bits of a layer whose widest weights have `widest`.
pub fn weights(w: &[f64], (bits, widest): (u32, u32), form: NestedForm) -> WeightCodes {
    let (max, rounding) = (max_abs_tanh(w), form.rounding(widest));
    let codes = w.iter().map(|&w| quantize_unit_by(unit_tanh(w, max), bits, rounding)).collect();
    WeightCodes { codes, scale: shared_scale(w) * form.weight_step(bits) }
}

/// The gradient of [`weights`] with the rounding passed straight through and maximum and scale held constant: the same
/// for every width, so that gradients of several may be added first.
pub fn weights_backward(w: &[f64], grad_quantized: &[f64]) -> Vec<f64> {
    let scale = shared_scale(w);
    weights_tanh_backward(w, grad_quantized, false).into_iter().map(|grad| scale * grad).collect()
}
