//! Residual binarization by brute force: distinct values, the example of 1.4 bits, and what the levels minimize.

use std::collections::BTreeSet;

use crate::data::normals;
use reference::{
    quantize::weights_binary,
    residual::{backward, binarize, residuals},
};

#[test]
fn one_level_is_the_binary_weight() {
    let x = normals(3, 513);
    let (one, binary) = (binarize(&x, &[1; 513]), weights_binary(&x));
    assert_eq!(one.means, [binary.scale]);
    for ((value, code), x) in one.values.iter().zip(&binary.codes).zip(&x) {
        assert_eq!(*value, binary.scale * (2.0 * f64::from(*code) - 1.0), "{x}");
    }
    // Zero counts as positive on every level.
    assert_eq!(binarize(&[0.0, -0.0], &[2, 1]).values, [0.0, 0.0]);
    assert_eq!(residuals(0.0, &[0.5, 0.25]), [0.0, -0.5, -0.25]);
}

/// Each element by itself, from the definition: signs chosen one by one, the mean over a list that is filtered anew.
fn by_definition(x: &[f64], bits: &[u32]) -> Vec<f64> {
    let mut values = vec![0.0; x.len()];
    for level in 1..=8 {
        let still: Vec<f64> =
            (0..x.len()).filter(|&at| bits[at] >= level).map(|at| (x[at] - values[at]).abs()).collect();
        let mean = still.iter().sum::<f64>() / (still.len() as f64).max(1.0);
        for at in (0..x.len()).filter(|&at| bits[at] >= level) {
            values[at] += if x[at] - values[at] >= 0.0 { mean } else { -mean };
        }
    }
    values
}

#[test]
fn seventy_twenty_ten_is_1_4_bits_and_at_most_fourteen_values() {
    let x = normals(17, 1000);
    let bits: Vec<u32> = (0..1000).map(|at| [1, 1, 1, 2, 1, 1, 3, 1, 2, 1][at % 10]).collect();
    assert_eq!(bits.iter().sum::<u32>(), 1400, "70 % of one, 20 % of two and 10 % of three bits");
    let found = binarize(&x, &bits);
    for (value, want) in found.values.iter().zip(by_definition(&x, &bits)) {
        assert!((value - want).abs() < 1e-12, "{value}, not {want}");
    }
    for (width, most) in [(1, 2), (2, 4), (3, 8)] {
        let of_width = (0..1000).filter(|&at| bits[at] == width);
        // Sums in another order differ in their last bits.
        let distinct: BTreeSet<i64> = of_width.map(|at| (found.values[at] * 1e9).round() as i64).collect();
        assert_eq!(distinct.len(), most, "{width} bits");
    }
    // The mean of a level spans the elements that it refines and no others.
    let left = |at: usize| (x[at].abs() - found.means[0]).abs();
    let refined: Vec<f64> = (0..1000).filter(|&at| bits[at] >= 2).map(left).collect();
    let mean = refined.iter().sum::<f64>() / refined.len() as f64;
    assert!((found.means[1] - mean).abs() < 1e-12, "{} is not {mean}", found.means[1]);
    let all = (0..1000).map(left).sum::<f64>() / 1000.0;
    assert!((found.means[1] - all).abs() > 1e-4, "the mean over all elements is another");
}

#[test]
fn a_further_level_never_adds_error_and_its_mean_is_the_best_step() {
    let x = normals(5, 700);
    let error = |values: &[f64]| x.iter().zip(values).map(|(x, v)| (x - v) * (x - v)).sum::<f64>();
    let errors: Vec<f64> = (1..=4).map(|bits| error(&binarize(&x, &[bits; 700]).values)).collect();
    assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
    let before = binarize(&x, &[2; 700]).values;
    let best = binarize(&x, &[3; 700]);
    for change in [-1e-2, 1e-2] {
        let other: Vec<f64> = before
            .iter()
            .zip(&best.values)
            .map(|(before, after)| after + change * (after - before) / best.means[2])
            .collect();
        assert!(error(&other) > errors[2], "a step {change} larger is better");
    }
}

#[test]
fn the_gradient_stops_where_the_original_value_leaves_the_unit_interval() {
    let x = [-1.5, -1.0, -0.2, 0.0, 1.0, 1.0 + 1e-9];
    assert_eq!(backward(&x, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [0.0, 2.0, 3.0, 4.0, 5.0, 0.0]);
}
