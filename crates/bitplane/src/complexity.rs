//! What arithmetic on W, A and G bits costs, as the DoReFa-Net paper counts it in its Tables 1 and 2, and in full.

use graph::{Bits, FULL_PRECISION};
use serde::Serialize;

/// Pairs of bits multiplied for one multiply-accumulate, and bits stored for one weight.
///
/// A product with an operand in f32 is none of bits; it is left open (`None`) as the paper leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Complexity {
    /// `WA + WG`: the forward product and the gradient of the input. The paper's "training complexity", which leaves the
    /// gradient of the weight out.
    pub training: Option<u32>,
    /// `WA`: the forward product. The paper's "inference complexity".
    pub inference: Option<u32>,
    /// `W`: the paper's "storage relative size".
    pub storage: u32,
    /// `WA + WG + AG`: all three products of a training step.
    pub full: Option<u32>,
}

impl Complexity {
    /// Of products at `bits`.
    pub fn of(bits: Bits) -> Self {
        let Bits { weight, activation, gradient } = bits;
        let pairs = |a: u32, b: u32| (a != FULL_PRECISION && b != FULL_PRECISION).then(|| a * b);
        let inference = pairs(weight, activation);
        let training = inference.zip(pairs(weight, gradient)).map(|(forward, back)| forward + back);
        let full = training.zip(pairs(activation, gradient)).map(|(paper, weight)| paper + weight);
        Self { training, inference, storage: weight, full }
    }
}

/// What a product by K bases costs, beside one in f32, as the Group-Net paper counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bases {
    /// Multiply-accumulates of one base.
    pub macs: u64,
    /// Pairs of planes, `W * A`.
    pub plane_pairs: u32,
    /// Outputs of one base that are added to those of others in f32.
    pub additions: u64,
    /// K.
    pub bases: u32,
}

impl Bases {
    /// Multiply-accumulates in f32 that take as long, where `word` of the operations on bits take as long as one.
    pub fn cost(&self, word: u32) -> f64 {
        let products = self.macs as f64 * f64::from(self.plane_pairs) / f64::from(word);
        f64::from(self.bases) * (products + self.additions as f64)
    }

    /// Equation 4: how many times longer the product in f32 takes. The paper has words of 64 bits, shaders have 32.
    pub fn speed_up(&self, word: u32) -> f64 {
        self.macs as f64 / self.cost(word)
    }
}

#[cfg(test)]
#[path = "complexity_tests.rs"]
mod tests;
