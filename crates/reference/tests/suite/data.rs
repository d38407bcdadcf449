//! Seeded inputs and the finite difference that gradients are compared with.

use reference::quantize::levels;
use reference::random::{normal, uniform};

/// Standard normal numbers; different streams are independent.
pub fn normals(stream: u32, len: usize) -> Vec<f64> {
    (0..len as u32).map(|element| normal(0x5EED, stream, element)).collect()
}

/// Codes over the whole range of a width.
pub fn codes(stream: u32, len: usize, bits: u32) -> Vec<u32> {
    let range = f64::from(levels(bits)) + 1.0;
    (0..len as u32).map(|row| (uniform(0x5EED, 0, stream, row, 0) * range) as u32).collect()
}

/// Fair bits.
pub fn mask(stream: u32, len: usize) -> Vec<bool> {
    codes(stream, len, 1).into_iter().map(|code| code == 1).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!((actual - expected).abs() <= allowed, "element {index}: {actual} is not {expected}");
    }
}

/// Compares `grad` with central differences of `f` at `x`, to 1e-6 of the largest entry.
pub fn assert_gradient(f: impl Fn(&[f64]) -> f64, x: &[f64], grad: &[f64]) {
    const STEP: f64 = 1e-5;
    assert_eq!(x.len(), grad.len());
    let largest = grad.iter().fold(0.0, |max: f64, grad| max.max(grad.abs()));
    assert!(largest > 1e-3, "a gradient of zeros would test nothing");
    for index in 0..x.len() {
        let at = |step: f64| {
            let mut x = x.to_vec();
            x[index] += step;
            f(&x)
        };
        let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let error = (difference - grad[index]).abs();
        assert!(
            error <= 1e-6 * largest,
            "element {index}: gradient {}, difference {difference}",
            grad[index]
        );
    }
}
