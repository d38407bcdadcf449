//! Update rules.

use kernels::{Adam, Sgd};
use reference::optimizer::EpsilonForm;

use crate::{GraphError, Parameter, Recorder};

/// How gradients change parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum as PyTorch has it.
    Sgd {
        /// Share of the old velocity.
        momentum: f32,
        /// Looks one step ahead along the velocity.
        nesterov: bool,
        /// L2 decay of every parameter.
        weight_decay: f32,
    },
    /// Adam.
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Guards the division.
        epsilon: f32,
        /// Where epsilon is added.
        form: EpsilonForm,
        /// L2 decay of every parameter.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// Names of the state kept per parameter.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { .. } => &["velocity"],
            Self::Adam { .. } => &["first_moment", "second_moment"],
        }
    }

    /// Words 3 to 5 of the step buffer for update number `t`, counted from 1: the learning rate and Adam's corrections.
    pub(crate) fn step_words(&self, t: u32, learning_rate: f64) -> [u32; 3] {
        let (rate, denominator) = match *self {
            Self::Sgd { .. } => (learning_rate, 1.0),
            Self::Adam { beta1, beta2, form, .. } => {
                let t = f64::from(t);
                let (first, second) =
                    (1.0 - f64::from(beta1).powf(t), (1.0 - f64::from(beta2).powf(t)).sqrt());
                match form {
                    EpsilonForm::Uncorrected => (learning_rate * second / first, 1.0),
                    EpsilonForm::Corrected => (learning_rate / first, 1.0 / second),
                }
            }
        };
        [learning_rate, rate, denominator].map(|value| (value as f32).to_bits())
    }

    pub(crate) fn record(&self, recorder: &mut Recorder, parameter: &Parameter) -> Result<(), GraphError> {
        let step = recorder.step();
        let extra = parameter.spec.weight_decay;
        let [gradients, values] = [parameter.gradient, parameter.value].map(|slice| recorder.pieces(slice));
        let moments: Vec<_> = parameter.moments.iter().map(|slice| recorder.pieces(*slice)).collect();
        for (at, (gradient, value)) in gradients.into_iter().zip(values).enumerate() {
            let len = u32::try_from(value.words).expect("a binding has fewer than 2^32 words");
            match *self {
                Self::Sgd { momentum, nesterov, weight_decay } => {
                    let kernel = Sgd { len, momentum, weight_decay: weight_decay + extra, nesterov };
                    recorder.dispatch(kernel, &[step, gradient, value, moments[0][at]])?;
                }
                Self::Adam { beta1, beta2, epsilon, form, weight_decay } => {
                    let weight_decay = weight_decay + extra;
                    let kernel = Adam { len, beta1, beta2, epsilon, form, weight_decay };
                    let [first, second] = [moments[0][at], moments[1][at]];
                    recorder.dispatch(kernel, &[step, gradient, value, first, second])?;
                }
            }
        }
        Ok(())
    }
}
