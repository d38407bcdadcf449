//! Convolution by two formulations: direct sums and products of unfoldings.

use crate::data::{codes, dot, normals};
use proptest::prelude::*;
use reference::conv::Conv2d;
use reference::product::{Kind, apply_mask, centered, matmul, transpose};

#[test]
fn output_sizes_follow_the_same_and_valid_rules() {
    // Size, kernel, stride; then SAME output and leading padding, and VALID output.
    let cases = [
        (18, 3, 1, 18, 1, 16),
        (18, 2, 2, 9, 0, 9),
        (9, 2, 2, 5, 0, 4),
        (7, 3, 2, 4, 1, 3),
        (8, 3, 2, 4, 0, 3),
        (5, 5, 1, 5, 2, 1),
        (4, 5, 1, 4, 2, 0),
        (6, 1, 3, 2, 0, 2),
    ];
    for (size, kernel, stride, same_out, pad, valid_out) in cases {
        let same = Conv2d::same([1, size, 6, 1], [kernel, 1], 1, stride);
        assert_eq!(
            (same.out_h, same.pad_top, same.pad_left),
            (same_out, pad, 0),
            "SAME {size} {kernel} {stride}"
        );
        let same = Conv2d::same([1, 6, size, 1], [1, kernel], 1, stride);
        assert_eq!((same.out_w, same.pad_left, same.pad_top), (same_out, pad, 0));
        let valid = Conv2d::valid([1, size, size, 1], [kernel, 1], 1, stride);
        assert_eq!((valid.out_h, valid.pad_top), (valid_out, 0), "VALID {size} {kernel} {stride}");
    }
}

#[test]
fn hand_values() {
    let conv = Conv2d::same([1, 2, 3, 1], [3, 3], 1, 1);
    let input = [1, 2, 3, 4, 5, 6];
    // One weight a tap, so that each output spells its neighborhood in decimal digits.
    let weight = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let expected = [12_045, 123_456, 230_560, 12_045_000, 123_456_000, 230_560_000];
    assert_eq!(conv.forward(&input, &weight, None), expected);
    assert_eq!(conv.forward(&input, &weight, Some(&[-45]))[0], 12_000);

    let strided = Conv2d::same([1, 4, 4, 1], [3, 3], 1, 2);
    let ramp: Vec<i64> = (0..16).collect();
    assert_eq!(strided.forward(&ramp, &[1, 0, 0, 0, 0, 0, 0, 0, 0], None), [0, 2, 8, 10]);
    assert_eq!(strided.grad_input(&[1, 2, 3, 4], &[0, 0, 0, 0, 1, 0, 0, 0, 0]), {
        let mut grad = [0; 16];
        (grad[5], grad[7], grad[13], grad[15]) = (1, 2, 3, 4);
        grad
    });
}

#[test]
fn unfolding_orders_rows_by_position_and_k_by_tap() {
    let conv = Conv2d::valid([1, 2, 3, 2], [2, 2], 1, 1);
    let input: Vec<u32> = (0..12).collect();
    let rows = [[0, 1, 2, 3, 6, 7, 8, 9], [2, 3, 4, 5, 8, 9, 10, 11]];
    assert_eq!(conv.unfold(&input), rows.concat());

    let (rows, mask) = conv.unfold_grad_input(&[5u32, 7]);
    let expected = [
        // Taps (0, 0), (0, 1), (1, 0), (1, 1) of the pixels of each input row.
        [5, 0, 0, 0],
        [7, 5, 0, 0],
        [0, 7, 0, 0],
        [0, 0, 5, 0],
        [0, 0, 7, 5],
        [0, 0, 0, 7],
    ];
    assert_eq!(rows, expected.concat());
    assert!(mask.iter().zip(&rows).all(|(&valid, &value)| valid == (value != 0)));
}

proptest! {
    #[test]
    fn all_three_passes_are_products_of_unfoldings(conv in shapes(), stream in 0u32..1000) {
        let (a, w, g) = (
            centered(&codes(stream, conv.input_len(), 3), 3, Kind::Unit),
            centered(&codes(stream + 1000, conv.weight_len(), 2), 2, Kind::Sign),
            centered(&codes(stream + 2000, conv.output_len(), 4), 4, Kind::Sign),
        );
        let positions = conv.samples * conv.positions();
        let k = conv.taps() * conv.in_channels;
        let unfolded = conv.unfold(&a);
        prop_assert_eq!(
            conv.forward(&a, &w, None),
            matmul(&unfolded, &w, positions, conv.out_channels, k)
        );
        prop_assert_eq!(
            conv.grad_weight(&g, &a),
            matmul(
                &transpose(&g, positions, conv.out_channels),
                &transpose(&unfolded, positions, k),
                conv.out_channels,
                k,
                positions,
            )
        );

        // Centered codes have no zero: unfolding codes and then masking must give the same rows.
        let g_codes = codes(stream + 2000, conv.output_len(), 4);
        let (rows, mask) = conv.unfold_grad_input(&g_codes);
        let rows = apply_mask(&centered(&rows, 4, Kind::Sign), &mask);
        let pixels = conv.samples * conv.height * conv.width;
        let by_input = conv.weight_by_input(&w);
        prop_assert_eq!(
            conv.grad_input(&g, &w),
            matmul(&rows, &by_input, pixels, conv.in_channels, conv.taps() * conv.out_channels)
        );
    }

    #[test]
    fn both_gradients_are_adjoint_to_the_forward_pass(conv in shapes(), stream in 0u32..1000) {
        let x = normals(stream, conv.input_len());
        let w = normals(stream + 1000, conv.weight_len());
        let y = normals(stream + 2000, conv.output_len());
        let forward = dot(&conv.forward(&x, &w, None), &y);
        let size = dot(&conv.forward(&abs(&x), &abs(&w), None), &abs(&y));
        prop_assert!((forward - dot(&x, &conv.grad_input(&y, &w))).abs() <= 1e-12 * size);
        prop_assert!((forward - dot(&w, &conv.grad_weight(&y, &x))).abs() <= 1e-12 * size);
    }
}

fn abs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}

prop_compose! {
    /// Padded and unpadded convolutions, strides up to 3, kernels larger than the input among them.
    fn shapes()(
        input in [1usize..3, 1usize..7, 1usize..7, 1usize..4],
        kernel in [1usize..5, 1usize..5],
        out_channels in 1usize..4,
        stride in 1usize..4,
        same: bool,
    ) -> Conv2d {
        if same {
            Conv2d::same(input, kernel, out_channels, stride)
        } else {
            Conv2d::valid(input, kernel, out_channels, stride)
        }
    }
}

#[test]
fn single_elements_sum_the_same_terms_as_whole_results() {
    for conv in [
        Conv2d::same([2, 5, 4, 3], [3, 3], 2, 1),
        Conv2d::same([3, 7, 6, 2], [3, 5], 3, 2),
        Conv2d::valid([2, 8, 5, 2], [3, 2], 4, 3),
        Conv2d::valid([3, 4, 3, 2], [4, 3], 5, 1),
    ] {
        let integers = |seed: i64, len: usize| (0..len as i64).map(|at| (at * 7 + seed) % 11 - 5).collect();
        let x: Vec<i64> = integers(1, conv.input_len());
        let w: Vec<i64> = integers(4, conv.weight_len());
        let dy: Vec<i64> = integers(8, conv.output_len());
        let sum = |terms: Vec<(usize, usize)>, a: &[i64], b: &[i64]| -> i64 {
            terms.into_iter().map(|(left, right)| a[left] * b[right]).sum()
        };
        let outputs = (0..conv.output_len()).map(|at| sum(conv.terms_of_output(at), &x, &w));
        assert!(outputs.eq(conv.forward(&x, &w, None)), "{conv:?}");
        let inputs = (0..conv.input_len()).map(|at| sum(conv.terms_of_input(at), &dy, &w));
        assert!(inputs.eq(conv.grad_input(&dy, &w)), "{conv:?}");
        let all = 0..conv.samples;
        let weights = (0..conv.weight_len()).map(|at| sum(conv.terms_of_weight(at, all.clone()), &dy, &x));
        assert!(weights.eq(conv.grad_weight(&dy, &x)), "{conv:?}");
    }
}
