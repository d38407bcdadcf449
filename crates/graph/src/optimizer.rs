//! Update rules.

use kernels::{Adam, DecayRun, Sgd};
use recording::BufferSlice;
use reference::optimizer::EpsilonForm;

use crate::{GraphError, Recorder, arena::Arena};

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

    /// Updates all parameters of `arena`; one that is larger than a binding is an arena of its own and goes piece by piece.
    pub(crate) fn record(&self, recorder: &mut Recorder, arena: &Arena) -> Result<(), GraphError> {
        let own = recorder.shared.length_step.filter(|_| arena.is_length);
        let step = own.unwrap_or(recorder.step());
        let (Self::Sgd { weight_decay, .. } | Self::Adam { weight_decay, .. }) = *self;
        let runs: Vec<DecayRun> =
            arena.decays.iter().map(|run| DecayRun { decay: weight_decay + run.decay, ..*run }).collect();
        let runs = if arena.is_length { vec![DecayRun { first: 0, decay: 0.0 }] } else { runs };
        let decays = recorder.constant("weight decays", DecayRun::words(&runs));
        let runs = u32::try_from(runs.len()).expect("at most one a parameter");
        let wholes = [arena.gradient, arena.value].into_iter().chain(arena.moments.iter().copied());
        let pieces: Vec<Vec<BufferSlice>> = wholes.map(|whole| recorder.pieces(whole)).collect();
        for at in 0..pieces[0].len() {
            let mut buffers = vec![step, decays];
            buffers.extend(pieces.iter().map(|pieces| pieces[at]));
            let len = u32::try_from(buffers[3].words).expect("a binding has fewer than 2^32 words");
            match *self {
                Self::Sgd { momentum, nesterov, .. } => {
                    recorder.dispatch(Sgd { len, runs, momentum, nesterov }, &buffers)?;
                }
                Self::Adam { beta1, beta2, epsilon, form, .. } => {
                    recorder.dispatch(Adam { len, runs, beta1, beta2, epsilon, form }, &buffers)?;
                }
            }
        }
        Ok(())
    }
}
