//! Real-valued bit lengths (BitPruning): values on the grids of two neighboring widths, weighted by the fraction.
//!
//! Weights lie in [-m, m] with `m = max |w|`, activations in [0, 1] behind their clip; the ends are constants of the
//! backward pass. A length n in [1, 8] has the base `b = min(floor(n), 7)` and the fraction `f = n - b`, and stands for
//! `(1 - f) Q(v, b) + f Q(v, b + 1)`.

use crate::quantize::{levels, round_half_even};

/// Smallest length.
pub const LEAST_LENGTH: f64 = 1.0;
/// Largest length, at which a training starts.
pub const MOST_LENGTH: f64 = 8.0;

/// The base and the fraction of a length inside its bounds.
pub fn split(length: f64) -> (u32, f64) {
    let length = length.clamp(LEAST_LENGTH, MOST_LENGTH);
    let base = length.floor().min(MOST_LENGTH - 1.0);
    (base as u32, length - base)
}

/// The grids of whole widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grid {
    /// Codes `round((2^b - 1) u)`, the paper's grid with both ends of the range on it.
    Ends,
    /// Codes `min(floor(2^b u), 2^b - 1)`, whose upper bits are the codes of smaller widths.
    Nested,
}

/// What is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tensor {
    /// Weights, `u = w / (2 m) + 1/2`, of value `m c (2 q - n)`; a tensor of zeros has `u = 1/2`.
    Weight,
    /// Activations, `u = clip(x, 0, 1)`, of value `q / n`.
    Activation,
}

/// One way to quantize a tensor to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The grids.
    pub grid: Grid,
    /// What is quantized.
    pub tensor: Tensor,
}

impl Rule {
    /// Where `v` lies in its range, 0 to 1.
    pub fn unit(&self, v: f64, range: f64) -> f64 {
        match self.tensor {
            Tensor::Activation => v.clamp(0.0, 1.0),
            Tensor::Weight if range > 0.0 => (v / (2.0 * range) + 0.5).clamp(0.0, 1.0),
            Tensor::Weight => 0.5,
        }
    }

    /// The code of a unit value at a whole width.
    pub fn code(&self, unit: f64, bits: u32) -> u32 {
        let n = levels(bits);
        match self.grid {
            Grid::Ends => round_half_even(f64::from(n) * unit) as u32,
            Grid::Nested => ((f64::from(n + 1) * unit).floor() as u32).min(n),
        }
    }

    /// The value of a code at a whole width.
    pub fn value(&self, code: u32, range: f64, bits: u32) -> f64 {
        let (q, n) = (f64::from(code), f64::from(levels(bits)));
        match (self.tensor, self.grid) {
            (Tensor::Activation, _) => q / n,
            (Tensor::Weight, Grid::Ends) => range * (2.0 * q - n) / n,
            (Tensor::Weight, Grid::Nested) => range * (2.0 * q - n) / (n + 1.0),
        }
    }

    /// `Q(v, b)` at a whole width.
    pub fn quantized(&self, v: f64, range: f64, bits: u32) -> f64 {
        self.value(self.code(self.unit(v, range), bits), range, bits)
    }

    /// `Q(v, n)` at any length.
    pub fn interpolated(&self, v: f64, range: f64, (base, fraction): (u32, f64)) -> f64 {
        let [low, high] = [base, base + 1].map(|bits| self.quantized(v, range, bits));
        (1.0 - fraction) * low + fraction * high
    }

    /// `Q(v, b + 1) - Q(v, b)`, the derivative by the length.
    pub fn slope(&self, v: f64, range: f64, base: u32) -> f64 {
        self.quantized(v, range, base + 1) - self.quantized(v, range, base)
    }

    /// The gradient of the length, `sum of grad_i (Q(v_i, b + 1) - Q(v_i, b))`.
    pub fn length_gradient(&self, values: &[f64], range: f64, base: u32, grad: &[f64]) -> f64 {
        assert_eq!(values.len(), grad.len(), "values and gradients must pair up");
        values.iter().zip(grad).map(|(&v, grad)| grad * self.slope(v, range, base)).sum()
    }

    /// What the integers of the two plane groups are multiplied by, besides the range of weights, as `[at f = 0, added
    /// times f]`.
    ///
    /// Nested: the codes of width b, which are the upper planes of those of width b + 1, and the last plane. With both ends
    /// on the grid: the codes of width b, and those of width b + 1.
    pub fn group_scales(&self, base: u32) -> [[f64; 2]; 2] {
        let [low, high] = [base, base + 1].map(|bits| 1.0 / f64::from(levels(bits)));
        match (self.grid, self.tensor) {
            (Grid::Ends, _) => [[low, -low], [0.0, high]],
            (Grid::Nested, Tensor::Activation) => [[low, 2.0 * high - low], [0.0, high]],
            (Grid::Nested, Tensor::Weight) => {
                [[0.5f64.powi(base as i32), 0.0], [0.0, 0.5f64.powi(base as i32 + 1)]]
            }
        }
    }
}

/// The gradient of `gamma * sum_i n_i (constant_i + 1/2 sum_j coefficient_ij n_j)` with symmetric coefficients, added to
/// `grad`. With `tied` lengths, which are one, every length gets the sum of all gradients.
pub fn penalty_gradient(
    grad: &[f64],
    constant: &[f64],
    coefficients: &[Vec<(usize, f64)>],
    lengths: &[f64],
    tied: bool,
) -> Vec<f64> {
    let own = |i: usize| {
        let products = coefficients[i].iter().map(|&(j, coefficient)| coefficient * lengths[j]);
        grad[i] + constant[i] + products.sum::<f64>()
    };
    let all: Vec<f64> = (0..grad.len()).map(own).collect();
    if tied { vec![all.iter().sum(); all.len()] } else { all }
}
