//! Activations in {-1, +1} against values that are easily seen.

use reference::{
    binary::{Border, SignRule, activation_factors, box_filter, padded, sign_backward, sign_codes},
    conv::Conv2d,
    threshold::{BatchNormChannel, fold_sign},
};

#[test]
fn zero_is_positive_and_both_rules_end_at_one() {
    let x = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5];
    assert_eq!(sign_codes(&x), [0, 0, 0, 1, 1, 1, 1, 1]);
    let grad = [3.0; 8];
    let identity = sign_backward(&x, &grad, SignRule::Identity);
    assert_eq!(identity, [0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 0.0]);
    let polynomial = sign_backward(&x, &grad, SignRule::Polynomial);
    assert_eq!(polynomial, [0.0, 0.0, 3.0, 6.0, 6.0, 4.5, 0.0, 0.0]);
}

/// The slope of the polynomial is that of its integral, which runs from -1 to +1 as the sign does.
#[test]
fn the_polynomial_rule_is_the_slope_of_a_step_of_two() {
    let steps = 4000;
    let at = |i: i32| -1.0 + 2.0 * (f64::from(i) + 0.5) / f64::from(steps);
    let x: Vec<f64> = (0..steps).map(at).collect();
    let slopes = sign_backward(&x, &vec![1.0; x.len()], SignRule::Polynomial);
    let rise: f64 = slopes.iter().sum::<f64>() * 2.0 / f64::from(steps);
    assert!((rise - 2.0).abs() < 1e-6, "{rise}");
}

#[test]
fn factors_are_means_of_magnitudes_with_zeros_around() {
    let conv = Conv2d::same([1, 2, 2, 2], [3, 3], 1, 1);
    // Mean magnitudes 1, 2, 3, 4; every window of a 2x2 map holds all of them.
    let x = [1.0, -1.0, 2.0, 2.0, -3.0, 3.0, -4.0, -4.0];
    assert_eq!(activation_factors(&x, &conv), [10.0 / 9.0; 4]);
    let valid = Conv2d::valid([1, 2, 2, 1], [1, 2], 1, 1);
    assert_eq!(box_filter(&[1.0, 2.0, 3.0, 4.0], &valid), [1.5, 3.5]);
}

#[test]
fn borders_are_where_the_image_is_not() {
    let border = Border { size: [1, 2], out_size: [2, 3], first: [1, 0], channels: 1 };
    assert_eq!(padded(&[7, 8, 5, 6], border, 1), [1, 1, 1, 7, 8, 1, 1, 1, 1, 5, 6, 1]);
}

#[test]
fn one_threshold_gives_the_sign_of_every_accumulator() {
    for (gamma, beta) in [(0.5, 0.3), (-2.0, 0.1), (0.0, -0.2), (0.0, 0.0), (1.0, 0.0)] {
        let channel = BatchNormChannel { scale: 0.1, mean: 0.4, var: 2.0, gamma, beta, eps: 1e-4 };
        let folded = fold_sign(&channel, -20..=20);
        assert_eq!(folded.thresholds.len(), 1);
        for v in -20..=20 {
            assert_eq!(folded.apply(v), u32::from(channel.value(v) >= 0.0), "{gamma} {beta} {v}");
        }
    }
}
