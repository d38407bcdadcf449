//! What a network of these settings computes: quantizers, nonlinearities and the optimizer.

use graph::{Method, Optimizer};

use super::Config;
use crate::method::{ActivationForm, GradientScale, NestedForm, Rounding};
use crate::settings::{EpsilonForm, OptimizerKind};

const ADAM_BETAS: (f32, f32) = (0.9, 0.999);

impl Config {
    /// What quantizers and nonlinearities compute.
    pub fn method(&self) -> Method {
        Method {
            activation_form: match self.activation_form {
                ActivationForm::Clip | ActivationForm::Tanh => graph::ActivationForm::Clip,
                ActivationForm::Cabs => graph::ActivationForm::Cabs,
            },
            rounding: match self.rounding {
                Rounding::Even => graph::Rounding::Even,
                Rounding::Floor => graph::Rounding::Floor,
            },
            tanh: self.activation_form == ActivationForm::Tanh,
            max_gradient: self.max_gradient,
            gradient_scale: match self.wgrad_scale {
                GradientScale::Sample => graph::GradientScale::Sample,
                GradientScale::Pow2 => graph::GradientScale::Pow2,
                GradientScale::Batch => graph::GradientScale::Batch,
            },
            first: self.quantize_first.then(|| self.bits()),
            nested: (!self.widths.is_empty()).then_some(match self.nested_form {
                NestedForm::Midrise => graph::NestedForm::MidRise,
                NestedForm::Shift => graph::NestedForm::Shift,
            }),
            learned_bits: self.learned_bits.map(|learned| learned.method(self.lr)),
            group_net: self.group_net(),
            last: self.quantize_last.then(|| self.bits()),
            heterogeneous: self.heterogeneous(),
            channel_bits: self.channel_bits(),
        }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        let weight_decay = self.weight_decay as f32;
        match self.opt {
            OptimizerKind::Sgd => {
                Optimizer::Sgd { momentum: self.momentum as f32, nesterov: self.nesterov, weight_decay }
            }
            OptimizerKind::Adam => Optimizer::Adam {
                beta1: ADAM_BETAS.0,
                beta2: ADAM_BETAS.1,
                epsilon: self.adam_epsilon as f32,
                form: match self.adam_epsilon_form {
                    EpsilonForm::Uncorrected => graph::EpsilonForm::Uncorrected,
                    EpsilonForm::Corrected => graph::EpsilonForm::Corrected,
                },
                weight_decay,
            },
        }
    }
}
