//! Hand values of normalization, activations, pools, linear layer and loss.

use crate::data::{assert_close, normals};
use reference::activation::{clip_backward, clip_forward, relu_backward, relu_forward};
use reference::linear::Linear;
use reference::loss::{rank, soft_cross_entropy, softmax_cross_entropy};
use reference::norm::{batch_norm_forward, batch_norm_stats, running_update};
use reference::pool::{Pool2d, global_avg_pool_forward};
use reference::quantize::activation_codes;

#[test]
fn batch_norm_statistics_are_biased_and_by_channel() {
    let x = [1.0, 10.0, 3.0, 10.0, 5.0, 10.0];
    let (mean, var) = batch_norm_stats(&x, 3, 2);
    assert_close(&mean, &[3.0, 10.0], 1e-15);
    assert_close(&var, &[8.0 / 3.0, 0.0], 1e-15);
    // A large mean must not eat the variance.
    let x: Vec<f64> = normals(1, 1000).into_iter().map(|x| 1e8 + x).collect();
    let (_, far) = batch_norm_stats(&x, 1000, 1);
    let (_, near) = batch_norm_stats(&normals(1, 1000), 1000, 1);
    assert_close(&far, &near, 1e-6);
}

#[test]
fn batch_norm_normalizes_scales_and_shifts() {
    let y =
        batch_norm_forward(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0], &[3.0, 0.0], &[2.0, 5.0], &[0.5, -1.0], 1.0);
    assert_close(&y, &[0.5, -1.0, 2.5, 9.0], 1e-15);
    assert_close(&running_update(&[1.0, 0.0], &[11.0, 10.0], 0.9), &[2.0, 1.0], 1e-15);
}

#[test]
fn activations_at_their_corners() {
    let x = [-1.0, -0.0, 0.0, 0.5, 1.0, 1.5];
    assert_eq!(clip_forward(&x, 1.0), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
    assert_eq!(clip_backward(&x, &[3.0; 6], 1.0), [0.0, 3.0, 3.0, 3.0, 3.0, 0.0]);
    assert_eq!(relu_forward(&x), [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]);
    assert_eq!(relu_backward(&x, &[3.0; 6]), [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]);
}

#[test]
fn max_pool_takes_the_first_maximum_inside_the_input() {
    // 3 by 3, window 2, stride 2, SAME: the last row and column stand alone; padding is no candidate.
    let pool = Pool2d::same([1, 3, 3, 1], 2, 2);
    assert_eq!((pool.out_h, pool.out_w, pool.pad_top, pool.pad_left), (2, 2, 0, 0));
    let x = [-1.0, -1.0, -7.0, -2.0, -1.0, -5.0, -4.0, -3.0, -6.0];
    let (values, argmax) = pool.max_pool_forward(&x);
    assert_eq!(values, [-1.0, -5.0, -3.0, -6.0]);
    assert_eq!(argmax, [0, 2, 1, 0]);
    let grad = pool.max_pool_backward(&[1.0, 2.0, 3.0, 4.0], &argmax);
    assert_eq!(grad, [1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 4.0]);

    // Overlapping windows add their gradients, and offsets count the padding.
    let padded = Pool2d { pad_top: 1, pad_left: 1, out_h: 2, out_w: 2, ..Pool2d::valid([1, 4, 4, 1], 3, 2) };
    let mut x = [0.0; 16];
    (x[0], x[5]) = (1.0, 2.0);
    let (values, argmax) = padded.max_pool_forward(&x);
    assert_eq!(values, [2.0; 4]);
    assert_eq!(argmax, [8, 6, 2, 0]);
    assert_eq!(padded.max_pool_backward(&[1.0; 4], &argmax)[5], 4.0);
}

#[test]
fn quantizing_commutes_with_the_maximum() {
    let pool = Pool2d::same([2, 5, 7, 3], 3, 2);
    let x = normals(1, pool.input_len());
    for bits in 1..=4 {
        let before = pool.max_pool_codes(&activation_codes(&x, bits));
        assert_eq!(before, activation_codes(&pool.max_pool_forward(&x).0, bits));
    }
}

#[test]
fn average_pool_leaves_padding_out() {
    // 3 by 3, window 2, stride 2, SAME: the last row and column average fewer values.
    let pool = Pool2d::same([1, 3, 3, 1], 2, 2);
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    assert_eq!(pool.avg_pool_forward(&x), [3.0, 4.5, 7.5, 9.0]);
    let grad = pool.avg_pool_backward(&[4.0, 2.0, 6.0, 1.0]);
    assert_eq!(grad, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 1.0]);
}

#[test]
fn global_average_is_by_sample_and_channel() {
    let x = [1.0, 10.0, 3.0, 20.0, 5.0, 30.0, 7.0, 40.0];
    assert_eq!(global_avg_pool_forward(&x, 2, 2, 2), [2.0, 15.0, 6.0, 35.0]);
}

#[test]
fn linear_by_hand() {
    let linear = Linear { samples: 2, inputs: 2, outputs: 3 };
    let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let y = linear.forward(&[1.0, 10.0, 2.0, 20.0], &weight, Some(&[0.0, 0.5, -1.0]));
    assert_eq!(y, [21.0, 43.5, 64.0, 42.0, 86.5, 129.0]);
}

#[test]
fn soft_cross_entropy_by_hand() {
    // p = (1/4, 3/4) and q = (3/4, 1/4) at temperature 2.
    let (a, b) = (2.0 * 3f64.ln(), 0.0);
    let result = soft_cross_entropy(&[1000.0 + b, 1000.0 + a], &[a - 1e3, b - 1e3], 2, 2.0);
    let want = -4.0 * (0.75 * 0.25f64.ln() + 0.25 * 0.75f64.ln());
    assert!((result.loss[0] - want).abs() < 1e-12, "{:?}", result.loss);
    let apart = result.grad.iter().zip([-1.0, 1.0]).map(|(got, want)| (got - want).abs());
    assert!(apart.fold(0.0, f64::max) < 1e-12, "{:?}", result.grad);
    // Where the targets are certain it is the cross-entropy with their class.
    let (logits, targets) = ([0.3, -1.0, 2.0], [0.0, 2000.0, 0.0]);
    let (soft, hard) =
        (soft_cross_entropy(&logits, &targets, 3, 1.0), softmax_cross_entropy(&logits, &[1], 3));
    assert!((soft.loss[0] - hard.loss[0]).abs() < 1e-12);
    assert!(soft.grad.iter().zip(&hard.grad).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn softmax_cross_entropy_by_hand() {
    let two = 2f64.ln();
    let result = softmax_cross_entropy(&[0.0, 0.0, 1000.0, 1000.0 + two], &[1, 0], 2);
    assert_close(&result.loss, &[two, 3f64.ln()], 1e-12);
    assert_close(&result.grad, &[0.25, -0.25, -1.0 / 3.0, 1.0 / 3.0], 1e-12);
    assert_eq!(result.top1, [false, false]);
    assert_eq!(result.top5, [true, true]);
    // A certain mistake costs its margin, without overflow.
    assert_eq!(softmax_cross_entropy(&[-2000.0, 0.0], &[0], 2).loss, [2000.0]);
}

#[test]
fn equal_logits_rank_by_index() {
    let row = [1.0, 3.0, 3.0, 2.0, 3.0, 0.0, 1.0];
    assert_eq!((0..7).map(|label| rank(&row, label)).collect::<Vec<_>>(), [4, 0, 1, 3, 2, 6, 5]);
    let logits = row.repeat(7);
    let result = softmax_cross_entropy(&logits, &[0, 1, 2, 3, 4, 5, 6], 7);
    assert_eq!(result.top1, [false, true, false, false, false, false, false]);
    assert_eq!(result.top5, [true, true, true, true, true, false, false]);
}
