//! The float activations, element by element.

/// `min(max(x, 0), limit)`.
pub fn clip_forward(x: &[f64], limit: f64) -> Vec<f64> {
    x.iter().map(|x| x.clamp(0.0, limit)).collect()
}

/// The gradient of the clip: passed where `0 <= x <= limit`, both ends included.
pub fn clip_backward(x: &[f64], grad: &[f64], limit: f64) -> Vec<f64> {
    pass_where(x, grad, |x| (0.0..=limit).contains(&x))
}

/// `min(limit, |x|)`.
pub fn cabs_forward(x: &[f64], limit: f64) -> Vec<f64> {
    x.iter().map(|x| x.abs().min(limit)).collect()
}

/// The gradient of [`cabs_forward`]: times the sign of x where `0 < |x| < limit`, else 0. At `|x| = limit` the minimum takes its
/// constant, as TensorFlow's does, and at 0 the magnitude has no slope.
pub fn cabs_backward(x: &[f64], grad: &[f64], limit: f64) -> Vec<f64> {
    let passed = pass_where(x, grad, |x| x != 0.0 && x.abs() < limit);
    x.iter().zip(passed).map(|(x, grad)| if *x < 0.0 { -grad } else { grad }).collect()
}

/// `max(x, 0)`.
pub fn relu_forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.max(0.0)).collect()
}

/// The gradient of the rectifier: passed where `x > 0`.
pub fn relu_backward(x: &[f64], grad: &[f64]) -> Vec<f64> {
    pass_where(x, grad, |x| x > 0.0)
}

/// `tanh(x)`.
pub fn tanh_forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.tanh()).collect()
}

/// The gradient of the hyperbolic tangent from its value: times `1 - y^2`.
///
/// # Panics
///
/// When they differ in length.
pub fn tanh_backward(y: &[f64], grad: &[f64]) -> Vec<f64> {
    assert_eq!(y.len(), grad.len(), "values and gradients must pair up");
    y.iter().zip(grad).map(|(y, grad)| grad * (1.0 - y * y)).collect()
}

fn pass_where(x: &[f64], grad: &[f64], passes: impl Fn(f64) -> bool) -> Vec<f64> {
    assert_eq!(x.len(), grad.len(), "inputs and gradients must pair up");
    x.iter().zip(grad).map(|(&x, &grad)| if passes(x) { grad } else { 0.0 }).collect()
}
