//! Floats in and out of buffers of words, for the reference and the cases.

use recording::Expected;

use crate::Random;

/// Error of a device's sum, difference or product, relative to it: WGSL allows either neighbor, not the
/// nearest alone.
pub(crate) const UNIT: f64 = f32::EPSILON as f64;

/// Values that are easily treated wrongly: both zeros, the ends of the unit interval with their neighbors,
/// large ones.
const SPECIAL: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.0 + f32::EPSILON,
    1.0 - f32::EPSILON,
    1e-30,
    -1e-30,
    2.0,
    -1e-7,
    1e30,
    -1e30,
];

/// The first `len` words as floats.
pub(crate) fn to_f64(words: &[u32], len: u32) -> Vec<f64> {
    words[..len as usize].iter().map(|&word| f64::from(f32::from_bits(word))).collect()
}

/// Word `index` as a float.
pub(crate) fn float_at(words: &[u32], index: usize) -> f64 {
    f64::from(f32::from_bits(words[index]))
}

/// The sum of the products of the elements of two matrices at `terms`, and the sum of their magnitudes.
pub(crate) fn sum_of_products(a: &[u32], b: &[u32], terms: &[(usize, usize)]) -> (f64, f64) {
    let products = terms.iter().map(|&(left, right)| float_at(a, left) * float_at(b, right));
    products.fold((0.0, 0.0), |(sum, size), product| (sum + product, size + product.abs()))
}

/// The bits of `values`, rounded to f32.
pub(crate) fn to_words(values: &[f64]) -> Vec<u32> {
    values.iter().map(|&value| (value as f32).to_bits()).collect()
}

/// `values`, each to be met within `units` unit errors of its own size.
pub(crate) fn relative(values: &[f64], units: f64) -> Expected {
    Expected::within(values, &values.iter().map(|value| units * UNIT * value.abs()).collect::<Vec<_>>())
}

/// `len` words, first the special values, then uniform ones in [low, high).
pub(crate) fn special(random: &mut Random, len: u32, low: f32, high: f32) -> Vec<u32> {
    let mut words = random.floats(len as usize, low, high);
    words.iter_mut().zip(SPECIAL).for_each(|(word, value)| *word = value.to_bits());
    words
}
