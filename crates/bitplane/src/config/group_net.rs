//! Settings of Group-Net's quantizers.

use graph::{GroupNetRules, quantizers::SignActivation};

use super::Config;
use crate::method::{ActivationForm, BinaryActivations, StraightThrough, WeightScale};

impl Config {
    /// Group-Net's quantizers.
    pub(super) fn group_net(&self) -> GroupNetRules {
        let rule = match self.ste {
            StraightThrough::Identity => graph::SignRule::Identity,
            StraightThrough::Polynomial => graph::SignRule::Polynomial,
        };
        let signs = SignActivation { rule, factors: self.activation_scale };
        GroupNetRules {
            channel_scales: self.weight_scale == WeightScale::Channel,
            clip: self.clip.map(|clip| clip as f32),
            signs: (self.binary_activations == BinaryActivations::Sign).then_some(signs),
        }
    }

    /// What Group-Net's quantizers leave no room for.
    ///
    /// # Errors
    /// A sentence that names the settings.
    pub fn check_group_net(&self) -> Result<(), String> {
        let (bits, signs) = (self.bits(), self.binary_activations == BinaryActivations::Sign);
        let channel = self.weight_scale == WeightScale::Channel;
        let (nested, learned) = (!self.widths.is_empty(), self.learned_bits.is_some());
        let refused = [
            (nested && channel, "--weight-scale channel has no codes for --widths"),
            (nested && signs, "--binary-activations sign has no codes for --widths"),
            (
                learned && (signs || self.clip.is_some() || channel),
                "--learn-bits has quantizers of its own; leave --weight-scale, --binary-activations and --clip away",
            ),
            (
                self.bit_mix.is_some() && channel,
                "--weight-scale channel does not go together with --bit-mix, whose levels have scales of their own",
            ),
            (
                self.activation_mix.is_some() && (signs || self.clip.is_some()),
                "--activation-mix has activations in [0, 1]; leave --binary-activations and --clip away",
            ),
            (
                signs && self.activation_form == ActivationForm::Cabs,
                "--binary-activations sign has no --activation-form cabs",
            ),
            (signs && self.clip.is_some(), "--binary-activations sign has no range that --clip could set"),
            (
                !signs && self.ste == StraightThrough::Polynomial,
                "--ste polynomial takes --binary-activations sign",
            ),
            (!signs && self.activation_scale, "--activation-scale takes --binary-activations sign"),
            (
                self.clip.is_some() && self.activation_form == ActivationForm::Tanh,
                "--clip does not go together with --activation-form tanh, which ends at 1 by itself",
            ),
            (channel && bits.weight != 1, "--weight-scale channel takes weights of 1 bit"),
            (signs && bits.activation != 1, "--binary-activations sign takes activations of 1 bit"),
        ];
        let found = refused.into_iter().find(|(refused, _)| *refused);
        found.map_or(Ok(()), |(_, why)| Err(format!("{why}; --bits is {bits}")))
    }
}
