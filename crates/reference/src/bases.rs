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
