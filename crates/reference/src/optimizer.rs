//! One step of an optimizer, in place. Weight decay is the gradient of `weight_decay / 2 * |w|^2`.

/// Stochastic gradient descent with momentum, as PyTorch has it:
/// `d = g + weight_decay w`, `v = momentum v + d`, `w -= lr (nesterov ? d + momentum v : v)`.
pub fn sgd_nesterov(
    w: &mut [f64],
    g: &[f64],
    velocity: &mut [f64],
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
) {
    assert!(w.len() == g.len() && w.len() == velocity.len(), "weights, gradients and velocity must pair up");
    for ((w, g), velocity) in w.iter_mut().zip(g).zip(velocity) {
        let d = g + weight_decay * *w;
        *velocity = momentum * *velocity + d;
        *w -= lr * if nesterov { d + momentum * *velocity } else { *velocity };
    }
}

/// Where Adam adds its epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsilonForm {
    /// To the root of the raw second moment, as TensorFlow does.
    Uncorrected,
    /// To the root of the bias-corrected second moment, as the paper and most libraries do.
    Corrected,
}

/// The constants of [`adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate before bias correction.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Added to the gradient, times the weight.
    pub weight_decay: f64,
    /// Where epsilon is added.
    pub form: EpsilonForm,
}

/// Step number `t`, from 1, of Adam (Kingma and Ba 2015) with moments `m` and `v`:
/// `d = g + weight_decay w`, `m = b1 m + (1 - b1) d`, `v = b2 v + (1 - b2) d^2`, then
///
/// - corrected: `w -= lr mhat / (sqrt(vhat) + eps)` with `mhat = m / (1 - b1^t)`, `vhat = v / (1 - b2^t)`;
/// - uncorrected: `w -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`.
pub fn adam(adam: &Adam, w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64], t: u32) {
    assert!(
        w.len() == g.len() && w.len() == m.len() && w.len() == v.len(),
        "weights and moments must pair up"
    );
    let correction1 = 1.0 - adam.beta1.powf(f64::from(t));
    let correction2 = 1.0 - adam.beta2.powf(f64::from(t));
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        let d = g + adam.weight_decay * *w;
        *m = adam.beta1 * *m + (1.0 - adam.beta1) * d;
        *v = adam.beta2 * *v + (1.0 - adam.beta2) * d * d;
        *w -= match adam.form {
            EpsilonForm::Corrected => {
                adam.learning_rate * (*m / correction1) / ((*v / correction2).sqrt() + adam.epsilon)
            }
            EpsilonForm::Uncorrected => {
                adam.learning_rate * correction2.sqrt() / correction1 * *m / (v.sqrt() + adam.epsilon)
            }
        };
    }
}
