//! Linear combinations of bases, as Group-Net forms them (equations 3, 5 and 6), and its soft connections.

/// `F = sum over i of lambda[i] * T_i`, elementwise over tensors of one length.
pub fn weighted_sum(tensors: &[&[f64]], lambda: &[f64]) -> Vec<f64> {
    assert_eq!(tensors.len(), lambda.len(), "one weight per tensor");
    let len = tensors.first().map_or(0, |tensor| tensor.len());
    assert!(tensors.iter().all(|tensor| tensor.len() == len), "tensors must have one length");
    (0..len).map(|at| tensors.iter().zip(lambda).map(|(tensor, lambda)| lambda * tensor[at]).sum()).collect()
}

/// `<a, b>`, with `a` the gradient of F and `b` a base's output the gradient of that base's lambda.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "factors must pair up");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The gradients of [`weighted_sum`] to its tensors and to lambda, for the gradient `grad` of F.
pub fn weighted_sum_backward(tensors: &[&[f64]], lambda: &[f64], grad: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let inputs = lambda.iter().map(|lambda| grad.iter().map(|grad| lambda * grad).collect()).collect();
    (inputs, tensors.iter().map(|tensor| dot(grad, tensor)).collect())
}

/// `1 / (1 + exp(-theta))`.
pub fn sigmoid(theta: f64) -> f64 {
    1.0 / (1.0 + (-theta).exp())
}

/// A soft connection, the input of a base in a group's next block: `C * own + (1 - C) * mean` with `C = sigmoid(theta)`.
pub fn soft_connection(own: &[f64], mean: &[f64], theta: f64) -> Vec<f64> {
    weighted_sum(&[own, mean], &[sigmoid(theta), 1.0 - sigmoid(theta)])
}

/// The gradients of [`soft_connection`] to `own`, `mean` and theta: `C grad`, `(1 - C) grad` and
/// `C (1 - C) <grad, own - mean>`.
pub fn soft_connection_backward(
    own: &[f64],
    mean: &[f64],
    theta: f64,
    grad: &[f64],
) -> (Vec<f64>, Vec<f64>, f64) {
    let share = sigmoid(theta);
    let (inputs, dots) = weighted_sum_backward(&[own, mean], &[share, 1.0 - share], grad);
    let [own, mean] = <[Vec<f64>; 2]>::try_from(inputs).expect("two tensors");
    (own, mean, share * (1.0 - share) * (dots[0] - dots[1]))
}
