//! Real-valued bit lengths: interpolation, its planes, and its derivatives by finite differences.

use crate::data::{assert_close, assert_gradient, dot, normals};
use reference::bit_length::{Grid, Rule, Tensor, penalty_gradient, split};
use reference::quantize::{levels, sign};

const RULES: [Rule; 4] = [
    Rule { grid: Grid::Ends, tensor: Tensor::Weight },
    Rule { grid: Grid::Nested, tensor: Tensor::Weight },
    Rule { grid: Grid::Ends, tensor: Tensor::Activation },
    Rule { grid: Grid::Nested, tensor: Tensor::Activation },
];

fn values() -> (Vec<f64>, f64) {
    let mut values = normals(1, 200);
    values.extend([0.0, 1.0, -1.0, 0.5, -0.5, 0.25]);
    let range = values.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    (values, range)
}

#[test]
fn lengths_have_a_base_with_a_neighbor_above() {
    for (length, want) in [
        (1.0, (1, 0.0)),
        (3.25, (3, 0.25)),
        (7.0, (7, 0.0)),
        (8.0, (7, 1.0)),
        (9.5, (7, 1.0)),
        (0.2, (1, 0.0)),
    ] {
        assert_eq!(split(length), want, "{length}");
    }
}

#[test]
fn whole_lengths_are_the_grids_themselves() {
    let (values, range) = values();
    for rule in RULES {
        for bits in 1..=8 {
            for &v in &values {
                let at = split(f64::from(bits));
                let want = rule.quantized(v, range, bits);
                assert!(
                    (rule.interpolated(v, range, at) - want).abs() < 1e-12 * range,
                    "{rule:?} {bits} {v}"
                );
            }
        }
    }
}

#[test]
fn codes_of_smaller_nested_widths_are_upper_bits() {
    let (values, range) = values();
    for rule in RULES.into_iter().filter(|rule| rule.grid == Grid::Nested) {
        for v in &values {
            let unit = rule.unit(*v, range);
            for bits in 1..8 {
                assert_eq!(rule.code(unit, 8) >> (8 - bits), rule.code(unit, bits));
            }
        }
    }
}

/// `v = R (sum over j of s_j 2^-(j+1) + f s_{b+1} 2^-(b+2))` over [-R/2, R/2], and `Q(b+1) - Q(b) = +- R 2^-(b+2)`.
#[test]
fn nested_weights_are_sign_planes_with_a_weighted_last_one() {
    let (values, range) = values();
    let rule = Rule { grid: Grid::Nested, tensor: Tensor::Weight };
    let whole = 2.0 * range;
    for base in 1..8u32 {
        for f in [0.0, 0.3, 1.0] {
            for &v in &values {
                let code = rule.code(rule.unit(v, range), base + 1);
                let plane = |j: u32| 2.0 * f64::from(code >> (base + 1 - j) & 1) - 1.0;
                let planes: f64 = (1..=base).map(|j| plane(j) * 0.5f64.powi(j as i32 + 1)).sum();
                let step = 0.5f64.powi(base as i32 + 2);
                let sum = whole * (planes + f * plane(base + 1) * step);
                assert!((rule.interpolated(v, range, (base, f)) - sum).abs() < 1e-12 * whole);
                assert!((rule.slope(v, range, base) - whole * plane(base + 1) * step).abs() < 1e-12 * whole);
            }
        }
    }
}

#[test]
fn two_plane_groups_give_the_interpolated_value() {
    let (values, range) = values();
    for rule in RULES {
        for base in 1..8u32 {
            let f = 0.375;
            let [first, second] = rule.group_scales(base).map(|[at, slope]| at + slope * f);
            for &v in &values {
                let unit = rule.unit(v, range);
                let [low, high] = [base, base + 1].map(|bits| f64::from(rule.code(unit, bits)));
                let [n_low, n_high] = [base, base + 1].map(|bits| f64::from(levels(bits)));
                let last = high - 2.0 * low;
                let (a, b) = match (rule.grid, rule.tensor) {
                    (Grid::Ends, Tensor::Weight) => (2.0 * low - n_low, 2.0 * high - n_high),
                    (Grid::Ends, Tensor::Activation) => (low, high),
                    (Grid::Nested, Tensor::Weight) => (2.0 * low - n_low, 2.0 * last - 1.0),
                    (Grid::Nested, Tensor::Activation) => (low, last),
                };
                let scale = if rule.tensor == Tensor::Weight { range } else { 1.0 };
                let want = rule.interpolated(v, range, (base, f));
                assert!((scale * (first * a + second * b) - want).abs() < 1e-12 * range, "{rule:?} {base}");
            }
        }
    }
}

#[test]
fn the_gradient_of_a_length_is_the_slope_of_the_interpolation() {
    let (values, range) = values();
    let grad = normals(2, values.len());
    for rule in RULES {
        for length in [1.5, 4.25, 7.75] {
            let loss = |n: &[f64]| {
                let quantized: Vec<f64> =
                    values.iter().map(|&v| rule.interpolated(v, range, split(n[0]))).collect();
                dot(&quantized, &grad)
            };
            let found = rule.length_gradient(&values, range, split(length).0, &grad);
            assert_gradient(loss, &[length], &[found]);
        }
    }
}

#[test]
fn grids_keep_their_ends_and_their_order() {
    for rule in RULES {
        for bits in 1..=8 {
            let top = match (rule.grid, rule.tensor) {
                (Grid::Nested, Tensor::Weight) => f64::from(levels(bits)) / f64::from(levels(bits) + 1),
                _ => 1.0,
            };
            assert_eq!(rule.quantized(1.0, 1.0, bits), top, "{rule:?}");
            let low = if rule.tensor == Tensor::Weight { -top } else { 0.0 };
            assert_eq!(rule.quantized(-1.0, 1.0, bits), low, "{rule:?}");
        }
    }
    // A tensor of zeros is in the middle of its range.
    let nested = RULES[1];
    assert_eq!(nested.code(nested.unit(0.0, 0.0), 3), 4);
    assert_eq!(nested.quantized(0.0, 0.0, 3), 0.0);
    assert_eq!(sign(-0.0), 1.0);
    assert_eq!(nested.code(nested.unit(-0.0, 1.0), 1), 1, "one bit is the sign");
}

#[test]
fn penalties_have_the_gradient_of_what_they_add() {
    let (lengths, grad, constant) = ([3.5, 2.0, 6.25], [0.5, -1.0, 2.0], [0.1, 0.2, 0.0]);
    let pairs = vec![vec![(1, 0.7)], vec![(0, 0.7), (2, 0.2)], vec![(1, 0.2)]];
    let loss = |n: &[f64]| dot(n, &grad) + dot(n, &constant) + 0.7 * n[0] * n[1] + 0.2 * n[1] * n[2];
    let found = penalty_gradient(&grad, &constant, &pairs, &lengths, false);
    assert_gradient(loss, &lengths, &found);
    let tied = penalty_gradient(&grad, &constant, &pairs, &[3.0; 3], true);
    assert_gradient(|n| loss(&[n[0]; 3]), &[3.0], &tied[..1]);
    assert_close(&tied, &[tied[0]; 3], 0.0);
}
