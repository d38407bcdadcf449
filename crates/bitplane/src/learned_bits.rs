//! Learned bit lengths: the settings' words, what they cannot be combined with, and the records of an epoch.

use std::collections::BTreeMap;

use graph::{BitLength, LearnedBits, LengthForm, Penalty};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::exit::Failure;
use crate::method::{ActivationForm, Rounding};
use crate::settings::Settings;

/// Steps after which a network is recorded again where a length has left its two neighboring widths; also every epoch's end.
pub const FOLLOW_STEPS: u32 = 100;

/// Weight of the penalty where none is given.
const DEFAULT_GAMMA: f64 = 0.03;
/// Learning rate of lengths over that of weights where none is given: a length has to cross whole bits.
const DEFAULT_RATE: f64 = 10.0;

/// How a length between two whole ones is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BitsMode {
    /// The paper's grids of both neighboring widths, weighted
    Exact,
    /// Codes whose upper bits are those of smaller widths; the fraction weighs the last plane
    #[default]
    Nested,
    /// Nested codes of the larger width with the fraction as its probability
    Stochastic,
}

/// What a bit of a length costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BitsPenalty {
    /// The same for every length
    #[default]
    Equal,
    /// Its share of the stored values
    Memory,
    /// Its share of the multiply-accumulates
    Ops,
    /// Products of the lengths of weights and activations, by multiply-accumulates
    #[value(name = "bitops")]
    Bitops,
}

/// The resolved settings of learned bit lengths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each field is documented at the equal field of Settings")]
pub struct LearnedBitsConfig {
    pub learn_bits: LearnBits,
    pub bits_mode: BitsMode,
    pub bits_penalty: BitsPenalty,
    pub bits_gamma: f64,
    pub bits_lr: f64,
    pub bits_freeze_epoch: u32,
}

/// What shares a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LearnBits {
    /// The whole network.
    Network,
    /// The weights of a layer, or its activations.
    Layer,
    /// The weights of so many neighboring output channels, or as many neighboring channels of activations.
    Channel(u32),
}

impl LearnBits {
    /// Reads `network`, `layer` or `channel:N`.
    ///
    /// # Errors
    /// What is allowed, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let channels = || text.strip_prefix("channel:")?.parse().ok().filter(|channels| *channels > 0);
        match text {
            "network" => Ok(Self::Network),
            "layer" => Ok(Self::Layer),
            _ => channels()
                .map(Self::Channel)
                .ok_or_else(|| "network, layer, or channel:N with N channels of 1 or more".to_owned()),
        }
    }
}

impl From<LearnBits> for String {
    fn from(learn_bits: LearnBits) -> Self {
        match learn_bits {
            LearnBits::Network => "network".to_owned(),
            LearnBits::Layer => "layer".to_owned(),
            LearnBits::Channel(channels) => format!("channel:{channels}"),
        }
    }
}

impl TryFrom<String> for LearnBits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl LearnedBitsConfig {
    /// What `settings`, which were checked, say for a training of `epochs` epochs at learning rate `lr`; none where no bits
    /// are learned.
    pub fn resolve(settings: &Settings, epochs: u32, lr: f64) -> Option<Self> {
        let learn_bits = LearnBits::parse(settings.learn_bits.as_deref()?).ok()?;
        Some(Self {
            learn_bits,
            bits_mode: settings.bits_mode.unwrap_or_default(),
            bits_penalty: settings.bits_penalty.unwrap_or_default(),
            bits_gamma: settings.bits_gamma.unwrap_or(DEFAULT_GAMMA),
            bits_lr: settings.bits_lr.unwrap_or(DEFAULT_RATE * lr),
            bits_freeze_epoch: settings.bits_freeze_epoch.unwrap_or((2 * epochs).div_ceil(3)),
        })
    }

    /// As the network takes it on, where weights learn at rate `lr`.
    pub fn method(&self, lr: f64) -> LearnedBits {
        LearnedBits {
            tied: self.learn_bits == LearnBits::Network,
            channels: match self.learn_bits {
                LearnBits::Channel(channels) => Some(channels),
                _ => None,
            },
            form: match self.bits_mode {
                BitsMode::Exact => LengthForm::Exact,
                BitsMode::Nested => LengthForm::Nested,
                BitsMode::Stochastic => LengthForm::Stochastic,
            },
            penalty: match self.bits_penalty {
                BitsPenalty::Equal => Penalty::Equal,
                BitsPenalty::Memory => Penalty::Memory,
                BitsPenalty::Ops => Penalty::Ops,
                BitsPenalty::Bitops => Penalty::BitOps,
            },
            gamma: self.bits_gamma as f32,
            rate: self.bits_lr / lr,
        }
    }
}

/// Refuses settings of learned lengths that have nothing to act on.
///
/// # Errors
/// [`Failure::Usage`] names the first of them.
pub fn check_settings(settings: &Settings) -> Result<(), Failure> {
    let given = [
        ("--bits-mode", settings.bits_mode.is_some()),
        ("--bits-penalty", settings.bits_penalty.is_some()),
        ("--bits-gamma", settings.bits_gamma.is_some()),
        ("--bits-lr", settings.bits_lr.is_some()),
        ("--bits-freeze-epoch", settings.bits_freeze_epoch.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given && settings.learn_bits.is_none()) {
        Some((flag, _)) => Err(Failure::Usage { message: format!("{flag} goes with --learn-bits") }),
        None => Ok(()),
    }
}

/// Refuses what learned lengths cannot be combined with.
///
/// # Errors
/// [`Failure::Usage`] names the other setting.
pub fn check(config: &Config) -> Result<(), Failure> {
    if config.learned_bits.is_none() {
        return Ok(());
    }
    let others = [
        ("--activation-form cabs", config.activation_form == ActivationForm::Cabs),
        ("--rounding floor", config.rounding == Rounding::Floor),
        ("--max-gradient", config.max_gradient),
        ("--widths", !config.widths.is_empty()),
        ("--bit-mix", config.bit_mix.is_some()),
        ("--activation-mix", config.activation_mix.is_some()),
    ];
    match others.into_iter().find(|(_, set)| *set) {
        Some((flag, _)) => {
            let message = format!("--learn-bits has grids of its own and cannot be combined with {flag}");
            Err(Failure::Usage { message })
        }
        None => Ok(()),
    }
}

/// The lengths at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LengthRecord {
    /// Mean of all lengths.
    pub average: f64,
    /// Mean weighted by the values that are stored: weights, and activations of one sample.
    pub memory_average: f64,
    /// Mean weighted by the multiply-accumulates that read the values.
    pub ops_average: f64,
    /// Every length by layer and parameter, and where channels have lengths of their own by the number of their group, as in
    /// `conv1.weight_length[2]`.
    pub lengths: BTreeMap<String, f64>,
}

impl LengthRecord {
    /// Mean over layers of the bits of weights, or of activations; of groups of channels their mean. None where nothing of the
    /// kind is learned.
    pub fn layer_mean(&self, of_weights: bool) -> Option<f64> {
        let mut layers: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, length) in &self.lengths {
            let parameter = name.split_once('[').map_or(name.as_str(), |(parameter, _)| parameter);
            if parameter.ends_with(".weight_length") == of_weights {
                layers.entry(parameter).or_default().push(*length);
            }
        }
        let mean = |lengths: &Vec<f64>| lengths.iter().sum::<f64>() / lengths.len() as f64;
        (!layers.is_empty()).then(|| layers.values().map(mean).sum::<f64>() / layers.len() as f64)
    }

    /// Of the lengths of a network; none where there are none.
    pub fn of(lengths: &[BitLength]) -> Option<Self> {
        let mean = |weight: &dyn Fn(&BitLength) -> f64| {
            let all: f64 = lengths.iter().map(weight).sum();
            lengths.iter().map(|length| weight(length) * f64::from(length.length)).sum::<f64>() / all.max(1.0)
        };
        let name = |length: &BitLength| match length.group {
            (_, 1) => length.name.clone(),
            (at, _) => format!("{}[{at}]", length.name),
        };
        let named = lengths.iter().map(|length| (name(length), f64::from(length.length)));
        (!lengths.is_empty()).then(|| Self {
            average: mean(&|_| 1.0),
            memory_average: mean(&|length| length.values as f64),
            ops_average: mean(&|length| length.macs as f64),
            lengths: named.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_plain_and_weighted() {
        let length = |name: &str, length: f32, values: u64, macs: u64| BitLength {
            name: name.to_owned(),
            group: (usize::from(name == "b"), 1 + usize::from(name == "b")),
            length,
            values,
            macs,
        };
        let record = LengthRecord::of(&[length("a", 2.0, 30, 1), length("b", 6.0, 10, 3)]).expect("two");
        assert_eq!((record.average, record.memory_average, record.ops_average), (4.0, 3.0, 5.0));
        assert_eq!(record.lengths["b[1]"], 6.0);
        assert_eq!(LengthRecord::of(&[]), None);
    }

    #[test]
    fn layers_count_the_same_however_many_groups_they_have() {
        let names = ["a.weight_length", "b.weight_length[0]", "b.weight_length[1]", "x.length"];
        let lengths = names.into_iter().map(str::to_owned).zip([2.0, 3.0, 5.0, 7.0]).collect();
        let record = LengthRecord { lengths, ..LengthRecord::default() };
        assert_eq!((record.layer_mean(true), record.layer_mean(false)), (Some(3.0), Some(7.0)));
        assert_eq!(LengthRecord::default().layer_mean(true), None);
    }

    #[test]
    fn settings_without_learned_lengths_are_refused_by_name() {
        let settings = Settings { bits_gamma: Some(1.0), ..Settings::default() };
        let error = check_settings(&settings).expect_err("nothing to act on").to_string();
        assert!(error.contains("--bits-gamma goes with --learn-bits"), "{error}");
    }

    #[test]
    fn what_shares_a_length_is_written_as_it_is_read() {
        for (text, shares) in [
            ("network", LearnBits::Network),
            ("layer", LearnBits::Layer),
            ("channel:8", LearnBits::Channel(8)),
        ] {
            assert_eq!(LearnBits::parse(text), Ok(shares));
            assert_eq!(String::from(shares), text);
        }
        for text in ["channel:0", "channel:", "channel:-1", "channels", "weight"] {
            assert!(LearnBits::parse(text).expect_err(text).contains("channel:N"), "{text}");
        }
    }
}
