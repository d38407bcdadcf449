//! Codes that a device may round either way.

use recording::Expected;
use reference::quantize::{Rounding, distance_to_rounding, levels, quantize_unit_by};

use crate::floats::UNIT;

/// Error of the shared `tanh_bounded`, relative.
pub(crate) const TANH_ERROR: f64 = 8.0 * UNIT;

/// The band around a half-integer in which a device may round `x_times_n = n x` to the other code.
pub(crate) fn rounding_band(x_times_n: f64) -> f64 {
    4.0 * UNIT * x_times_n.max(1.0)
}

/// Codes, and beside each the other legal one where the value lies inside its rounding band.
#[derive(Debug)]
pub(crate) struct RoundedCodes {
    bits: u32,
    rounding: Rounding,
    codes: Vec<u32>,
    alternative: Vec<u32>,
}

impl RoundedCodes {
    /// No codes yet, of `bits` bits.
    pub(crate) fn new(bits: u32) -> Self {
        Self::rounded(bits, Rounding::Even)
    }

    /// No codes yet, of `bits` bits and with another rounding.
    pub(crate) fn rounded(bits: u32, rounding: Rounding) -> Self {
        Self { bits, rounding, codes: Vec::new(), alternative: Vec::new() }
    }

    /// Adds `round(n x)` with `x` clamped to [0, 1]; `error` bounds how far a device's `n x` may be off.
    pub(crate) fn push(&mut self, x: f64, error: f64) {
        let code = quantize_unit_by(x, self.bits, self.rounding);
        let x_times_n = f64::from(levels(self.bits)) * x.clamp(0.0, 1.0);
        let below = x_times_n.floor() as u32;
        let other = if code == below { below + 1 } else { below };
        let open = distance_to_rounding(x_times_n) < error;
        self.codes.push(code);
        self.alternative.push(if open { other } else { code });
    }

    /// Packs `rows` x `k` codes.
    pub(crate) fn expected(&self, rows: u32, k: u32) -> Expected {
        let pack = |codes: &[u32]| reference::bits::pack(codes, rows as usize, k as usize, self.bits);
        Expected::codes(pack(&self.codes), self.bits as usize, pack(&self.alternative))
    }
}
