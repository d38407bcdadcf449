//! Central differences in f64 for every smooth part.

use crate::data::{assert_close, assert_gradient, dot, normals};
use reference::activation::{tanh_backward, tanh_forward};
use reference::bases::{soft_connection, soft_connection_backward, weighted_sum, weighted_sum_backward};
use reference::conv::Conv2d;
use reference::linear::Linear;
use reference::loss::{soft_cross_entropy, softmax_cross_entropy, squared_error};
use reference::norm::{
    batch_norm_backward, batch_norm_backward_frozen, batch_norm_forward, batch_norm_stats,
};
use reference::pool::{Pool2d, global_avg_pool_backward, global_avg_pool_forward};
use reference::quantize::weights_tanh_backward;

const EPS: f64 = 1e-4;

#[test]
fn convolution() {
    for conv in [
        Conv2d::same([2, 5, 4, 3], [3, 3], 2, 1),
        Conv2d::same([1, 7, 6, 2], [3, 5], 3, 2),
        Conv2d::valid([2, 5, 5, 2], [3, 2], 2, 2),
    ] {
        let (x, w) = (normals(1, conv.input_len()), normals(2, conv.weight_len()));
        let (b, y) = (normals(3, conv.out_channels), normals(4, conv.output_len()));
        let value = |x: &[f64], w: &[f64], b: &[f64]| dot(&conv.forward(x, w, Some(b)), &y);
        assert_gradient(|x| value(x, &w, &b), &x, &conv.grad_input(&y, &w));
        assert_gradient(|w| value(&x, w, &b), &w, &conv.grad_weight(&y, &x));
        assert_gradient(|b| value(&x, &w, b), &b, &conv.grad_bias(&y));
    }
}

#[test]
fn linear() {
    let linear = Linear { samples: 3, inputs: 5, outputs: 4 };
    let (x, w, b, y) = (normals(1, 15), normals(2, 20), normals(3, 4), normals(4, 12));
    let value = |x: &[f64], w: &[f64], b: &[f64]| dot(&linear.forward(x, w, Some(b)), &y);
    assert_gradient(|x| value(x, &w, &b), &x, &linear.grad_input(&y, &w));
    assert_gradient(|w| value(&x, w, &b), &w, &linear.grad_weight(&y, &x));
    assert_gradient(|b| value(&x, &w, b), &b, &linear.grad_bias(&y));
}

#[test]
fn batch_norm_with_its_own_statistics() {
    let (rows, channels) = (7, 3);
    let (x, g) = (normals(1, rows * channels), normals(2, rows * channels));
    let (gamma, beta) = (normals(3, channels), normals(4, channels));
    let value = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        let (mean, var) = batch_norm_stats(x, rows, channels);
        dot(&batch_norm_forward(x, &mean, &var, gamma, beta, EPS), &g)
    };
    let (mean, var) = batch_norm_stats(&x, rows, channels);
    let grads = batch_norm_backward(&x, &g, &mean, &var, &gamma, EPS);
    assert_gradient(|x| value(x, &gamma, &beta), &x, &grads.input);
    assert_gradient(|gamma| value(&x, gamma, &beta), &gamma, &grads.gamma);
    assert_gradient(|beta| value(&x, &gamma, beta), &beta, &grads.beta);
}

#[test]
fn batch_norm_with_frozen_statistics() {
    let (rows, channels) = (5, 2);
    let (x, g) = (normals(1, rows * channels), normals(2, rows * channels));
    let (gamma, beta) = (normals(3, channels), normals(4, channels));
    let (mean, var) = ([0.3, -0.2], [0.7, 2.0]);
    let value = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        dot(&batch_norm_forward(x, &mean, &var, gamma, beta, EPS), &g)
    };
    let grads = batch_norm_backward_frozen(&x, &g, &mean, &var, &gamma, EPS);
    assert_gradient(|x| value(x, &gamma, &beta), &x, &grads.input);
    assert_gradient(|gamma| value(&x, gamma, &beta), &gamma, &grads.gamma);
    assert_gradient(|beta| value(&x, &gamma, beta), &beta, &grads.beta);
}

#[test]
fn softmax_cross_entropy_of_the_mean_loss() {
    let logits: Vec<f64> = normals(1, 4 * 6).into_iter().map(|x| 3.0 * x).collect();
    let labels = [0, 5, 2, 2];
    let value = |logits: &[f64]| softmax_cross_entropy(logits, &labels, 6).loss.iter().sum::<f64>() / 4.0;
    assert_gradient(value, &logits, &softmax_cross_entropy(&logits, &labels, 6).grad);
}

#[test]
fn soft_cross_entropy_of_the_mean_loss() {
    let [logits, targets] =
        [1, 2].map(|seed| normals(seed, 4 * 6).into_iter().map(|x| 3.0 * x).collect::<Vec<_>>());
    for temperature in [1.0, 0.5, 4.0] {
        let of = |logits: &[f64]| soft_cross_entropy(logits, &targets, 6, temperature);
        assert_gradient(|logits| of(logits).loss.iter().sum::<f64>() / 4.0, &logits, &of(&logits).grad);
    }
}

#[test]
fn tanh_by_its_value() {
    let (x, g) = (normals(1, 12), normals(2, 12));
    assert_gradient(|x| dot(&tanh_forward(x), &g), &x, &tanh_backward(&tanh_forward(&x), &g));
}

#[test]
fn squared_error_of_the_sum() {
    let (a, b) = (normals(1, 12), normals(2, 12));
    assert_gradient(|a| squared_error(a, &b).0, &a, &squared_error(&a, &b).1);
}

#[test]
fn pools() {
    let (samples, positions, channels) = (2, 6, 3);
    let (x, g) = (normals(1, samples * positions * channels), normals(2, samples * channels));
    let value = |x: &[f64]| dot(&global_avg_pool_forward(x, samples, positions, channels), &g);
    assert_gradient(value, &x, &global_avg_pool_backward(&g, samples, positions, channels));

    for pool in [Pool2d::same([2, 5, 4, 2], 3, 2), Pool2d::valid([1, 6, 5, 3], 2, 2)] {
        let (x, g) = (normals(5, pool.input_len()), normals(6, pool.output_len()));
        let value = |x: &[f64]| dot(&pool.avg_pool_forward(x), &g);
        assert_gradient(value, &x, &pool.avg_pool_backward(&g));
    }

    // Away from ties the maximum is smooth.
    let pool = Pool2d::same([2, 5, 4, 2], 3, 2);
    let (x, g) = (normals(3, pool.input_len()), normals(4, pool.output_len()));
    let (_, argmax) = pool.max_pool_forward(&x);
    let value = |x: &[f64]| dot(&pool.max_pool_forward(x).0, &g);
    assert_gradient(value, &x, &pool.max_pool_backward(&g, &argmax));
}

#[test]
fn tanh_weights_by_their_smooth_surrogate() {
    let (w, g) = (normals(1, 9), normals(2, 9));
    let max = |w: &[f64]| w.iter().fold(0.0, |max: f64, w| max.max(w.tanh().abs()));
    let surrogate = |w: &[f64], max: f64| w.iter().zip(&g).map(|(w, g)| g * w.tanh() / max).sum::<f64>();
    let constant = max(&w);
    assert_gradient(|w| surrogate(w, constant), &w, &weights_tanh_backward(&w, &g, false));
    assert_gradient(|w| surrogate(w, max(w)), &w, &weights_tanh_backward(&w, &g, true));
}

#[test]
fn a_tied_maximum_shares_its_gradient() {
    let (w, g) = ([0.8, -0.8, 0.1], [1.0, 0.5, -2.0]);
    let t = 0.8f64.tanh();
    let (shared, slope) = ((t - 0.5 * t - 2.0 * 0.1f64.tanh()) / (t * t) / 2.0, 1.0 - t * t);
    let expected =
        [(1.0 / t - shared) * slope, (0.5 / t + shared) * slope, -2.0 / t * (1.0 - 0.1f64.tanh().powi(2))];
    assert_close(&weights_tanh_backward(&w, &g, true), &expected, 1e-14);
    assert_eq!(weights_tanh_backward(&[0.0, -0.0], &[1.0, 1.0], true), [0.0, 0.0]);
}

#[test]
fn scales_of_bases() {
    let (tensors, lambda, g) = ([normals(1, 6), normals(2, 6), normals(3, 6)], normals(4, 3), normals(5, 6));
    let sum = |flat: &[f64], lambda: &[f64]| {
        let bases: Vec<&[f64]> = flat.chunks(6).collect();
        dot(&weighted_sum(&bases, lambda), &g)
    };
    let flat = tensors.concat();
    let bases: Vec<&[f64]> = flat.chunks(6).collect();
    let (inputs, scales) = weighted_sum_backward(&bases, &lambda, &g);
    assert_gradient(|flat| sum(flat, &lambda), &flat, &inputs.concat());
    assert_gradient(|lambda| sum(&flat, lambda), &lambda, &scales);
}

#[test]
fn soft_connections_between_bases() {
    let (own, mean, g) = (normals(1, 7), normals(2, 7), normals(3, 7));
    for theta in [0.3, -1.7] {
        let value = |own: &[f64], mean: &[f64], theta: f64| dot(&soft_connection(own, mean, theta), &g);
        let (by_own, by_mean, by_theta) = soft_connection_backward(&own, &mean, theta, &g);
        assert_gradient(|own| value(own, &mean, theta), &own, &by_own);
        assert_gradient(|mean| value(&own, mean, theta), &mean, &by_mean);
        assert_gradient(|theta| value(&own, &mean, theta[0]), &[theta], &[by_theta]);
    }
}
