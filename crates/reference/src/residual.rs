//! Heterogeneous residual binarization (Fromm, Patel and Philipose 2018): every element of a tensor has a number of levels of
//! its own, and each level binarizes what the levels before it left.

use crate::quantize::sign;

/// A tensor binarized level by level.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// One a level: the mean magnitude of what is left, over the elements that the level still refines; 0 where there are none.
    pub means: Vec<f64>,
    /// The sum of the levels of each element.
    pub values: Vec<f64>,
}

/// Binarizes `x` with `bits[i]` levels for element `i`: with `e = x`, level `n` takes `mu_n = mean |e_i|` over the elements of
/// at least `n` bits, adds `mu_n sign(e_i)` to their values and takes it from `e_i`.
///
/// # Panics
///
/// When the lengths differ.
pub fn binarize(x: &[f64], bits: &[u32]) -> Residual {
    assert_eq!(x.len(), bits.len(), "every element has its bits");
    let levels = bits.iter().copied().max().unwrap_or(0);
    let (mut left, mut values, mut means) = (x.to_vec(), vec![0.0; x.len()], Vec::new());
    for level in 1..=levels {
        let refined: Vec<usize> = (0..x.len()).filter(|&at| bits[at] >= level).collect();
        let sum: f64 = refined.iter().map(|&at| left[at].abs()).sum();
        let mean = if refined.is_empty() { 0.0 } else { sum / refined.len() as f64 };
        for at in refined {
            let step = mean * sign(left[at]);
            values[at] += step;
            left[at] -= step;
        }
        means.push(mean);
    }
    Residual { means, values }
}

/// What `means` leave of `x`, level after level: the residual before each of them, and behind the last.
pub fn residuals(x: f64, means: &[f64]) -> Vec<f64> {
    let mut left = vec![x];
    for mean in means {
        let before = left[left.len() - 1];
        left.push(before - mean * sign(before));
    }
    left
}

/// The gradient of [`binarize`]: straight through where `|x| <= 1`, the means taken as constants.
pub fn backward(x: &[f64], grad: &[f64]) -> Vec<f64> {
    x.iter().zip(grad).map(|(x, grad)| if x.abs() <= 1.0 { *grad } else { 0.0 }).collect()
}
