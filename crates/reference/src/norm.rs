//! Batch normalization over `x[rows][channels]`, statistics by channel.

/// The gradients of a batch normalization.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormGrads {
    /// `[rows][channels]`.
    pub input: Vec<f64>,
    /// `[channels]`.
    pub gamma: Vec<f64>,
    /// `[channels]`.
    pub beta: Vec<f64>,
}

/// Mean and biased variance of each channel of `x[rows][channels]`, in two passes.
pub fn batch_norm_stats(x: &[f64], rows: usize, channels: usize) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(x.len(), rows * channels, "x must be rows * channels");
    let average = |value: &dyn Fn(usize) -> f64| {
        let sum = by_channel(x.len(), channels, value);
        sum.into_iter().map(|sum| sum / rows as f64).collect::<Vec<_>>()
    };
    let mean = average(&|index| x[index]);
    let variance = average(&|index| (x[index] - mean[index % channels]).powi(2));
    (mean, variance)
}

/// `y = gamma (x - mean) / sqrt(var + eps) + beta` for `x[rows][channels]`.
pub fn batch_norm_forward(
    x: &[f64],
    mean: &[f64],
    var: &[f64],
    gamma: &[f64],
    beta: &[f64],
    eps: f64,
) -> Vec<f64> {
    let channels = mean.len();
    let normalized = normalize(x, mean, var, eps);
    let y = |(index, x): (usize, f64)| gamma[index % channels] * x + beta[index % channels];
    normalized.into_iter().enumerate().map(y).collect()
}

/// The gradients when `mean` and `var` are the statistics of `x` itself:
/// `dx = gamma / sqrt(var + eps) (g - mean(g) - xhat mean(g xhat))`, `dgamma = sum g xhat`, `dbeta = sum g`.
pub fn batch_norm_backward(
    x: &[f64],
    grad: &[f64],
    mean: &[f64],
    var: &[f64],
    gamma: &[f64],
    eps: f64,
) -> BatchNormGrads {
    let channels = mean.len();
    let rows = (x.len() / channels) as f64;
    let normalized = normalize(x, mean, var, eps);
    let mut grads = batch_norm_backward_frozen(x, grad, mean, var, gamma, eps);
    for (index, value) in grads.input.iter_mut().enumerate() {
        let c = index % channels;
        let through_stats = (grads.beta[c] + normalized[index] * grads.gamma[c]) / rows;
        *value -= gamma[c] / (var[c] + eps).sqrt() * through_stats;
    }
    grads
}

/// The gradients when `mean` and `var` are constants: `dx = gamma / sqrt(var + eps) g`, the rest as above.
pub fn batch_norm_backward_frozen(
    x: &[f64],
    grad: &[f64],
    mean: &[f64],
    var: &[f64],
    gamma: &[f64],
    eps: f64,
) -> BatchNormGrads {
    assert_eq!(x.len(), grad.len(), "inputs and gradients must pair up");
    let channels = mean.len();
    let normalized = normalize(x, mean, var, eps);
    let input =
        |(index, grad): (usize, &f64)| gamma[index % channels] / (var[index % channels] + eps).sqrt() * grad;
    BatchNormGrads {
        input: grad.iter().enumerate().map(input).collect(),
        gamma: by_channel(x.len(), channels, |index| grad[index] * normalized[index]),
        beta: by_channel(x.len(), channels, |index| grad[index]),
    }
}

/// `momentum * running + (1 - momentum) * batch`; with momentum 0.9 a batch weighs a tenth.
pub fn running_update(running: &[f64], batch: &[f64], momentum: f64) -> Vec<f64> {
    assert_eq!(running.len(), batch.len(), "running and batch statistics must pair up");
    running.iter().zip(batch).map(|(running, batch)| momentum * running + (1.0 - momentum) * batch).collect()
}

fn normalize(x: &[f64], mean: &[f64], var: &[f64], eps: f64) -> Vec<f64> {
    let channels = mean.len();
    assert_eq!(var.len(), channels, "mean and variance must pair up");
    assert_eq!(x.len() % channels, 0, "x must be whole rows of channels");
    let at = |(index, x): (usize, &f64)| (x - mean[index % channels]) / (var[index % channels] + eps).sqrt();
    x.iter().enumerate().map(at).collect()
}

fn by_channel(len: usize, channels: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for index in 0..len {
        sums[index % channels] += value(index);
    }
    sums
}
