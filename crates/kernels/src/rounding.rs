//! Codes that a device may round either way.

use recording::Expected;
use reference::quantize::{Rounding, distance_to_rounding, levels, quantize_unit_by};

use crate::floats::UNIT;

/// The number by which shaders know a rule.
pub(crate) fn rounding_number(rounding: Rounding) -> u32 {
    match rounding {
        Rounding::Even | Rounding::Shift { .. } => 0,
        Rounding::Floor => 1,
        Rounding::MidRise => 2,
    }
}

/// Lower bits that a rule drops from a code.
pub(crate) fn shift_of(rounding: Rounding, bits: u32) -> u32 {
    match rounding {
        Rounding::Shift { from } => from - bits,
        _ => 0,
    }
}

/// Error of the shared `tanh_bounded`, relative.
pub(crate) const TANH_ERROR: f64 = 8.0 * UNIT;

/// The band around a half-integer in which a device may round `x_times_n = n x` to the other code.
pub(crate) fn rounding_band(x_times_n: f64) -> f64 {
    4.0 * UNIT * x_times_n.max(1.0)
}

/// The same band for an x in [0, 1] that is exact on the device: none where its product is exact too and ends halfway
/// between two codes, and none where it is a product with a power of two.
pub(crate) fn exact_band(x: f64, bits: u32, rounding: Rounding) -> f64 {
    let scaled = rounding.factor(bits) * x.clamp(0.0, 1.0);
    let exact = rounding == Rounding::MidRise || distance_to_rounding(scaled) == 0.0;
    if exact { 0.0 } else { rounding_band(scaled) }
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

    /// Adds the code of `x` clamped to [0, 1]; `error` bounds how far a device's product of x with
    /// [`Rounding::factor`] may be off.
    pub(crate) fn push(&mut self, x: f64, error: f64) {
        let (x, error) = (x.clamp(0.0, 1.0), error / self.rounding.factor(self.bits));
        let code = |x: f64| quantize_unit_by(x, self.bits, self.rounding);
        let other = [x - error, x + error].map(code).into_iter().find(|other| *other != code(x));
        self.codes.push(code(x));
        self.alternative.push(other.unwrap_or(code(x)));
    }

    /// Adds the code of `x` in `bits` bits as so many times itself that it stands for the same value in the steps of all codes;
    /// `error` as in [`RoundedCodes::push`].
    pub(crate) fn push_coarse(&mut self, x: f64, error: f64, bits: u32) {
        let mut coarse = Self::rounded(bits, self.rounding);
        coarse.push(x, error);
        let times = levels(self.bits) / levels(bits);
        self.codes.extend(coarse.codes.iter().map(|code| code * times));
        self.alternative.extend(coarse.alternative.iter().map(|code| code * times));
    }

    /// Packs `rows` x `k` codes.
    pub(crate) fn expected(&self, rows: u32, k: u32) -> Expected {
        let [codes, alternative] = self.packed(rows, k);
        Expected::codes(codes, self.bits as usize, alternative)
    }

    /// The words of `rows` x `k` codes, and those of the other legal ones.
    pub(crate) fn packed(&self, rows: u32, k: u32) -> [Vec<u32>; 2] {
        [&self.codes, &self.alternative]
            .map(|codes| reference::bits::pack(codes, rows as usize, k as usize, self.bits))
    }
}
