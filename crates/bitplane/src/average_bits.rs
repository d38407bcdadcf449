//! Bits of weights and activations on average, where learned lengths or mixes leave it to the run or the setting.

use serde::Serialize;

use crate::config::Config;
use crate::learned_bits::LengthRecord;

/// Bits of the mean weight and the mean activation, 32 for f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AverageBits {
    /// Mean over layers of learned lengths, over weights of a mix.
    #[serde(rename = "average_weight_bits")]
    pub weights: f64,
    /// Likewise, over channels of a mix.
    #[serde(rename = "average_activation_bits")]
    pub activations: f64,
}

/// True where `--bits` does not say the bits of weights or activations.
pub fn differ(config: &Config) -> bool {
    config.learned_bits.is_some() || config.bit_mix.is_some() || config.activation_mix.is_some()
}

impl AverageBits {
    /// Of a training by `config` that ended with these lengths; none where learned lengths are not known, or were cut.
    pub fn of(config: &Config, lengths: Option<&LengthRecord>) -> Option<Self> {
        if config.learned_bits.is_some() && lengths.is_none() || config.cut_to.is_some() && differ(config) {
            return None;
        }
        let learned = |of_weights| lengths.and_then(|lengths| lengths.layer_mean(of_weights));
        let bits = config.computed_bits();
        let mixed = config.heterogeneous().map(|rule| rule.mix.average());
        let weights = learned(true).or(mixed).unwrap_or(f64::from(bits.weight));
        let mixed = config.channel_bits().map(|rule| rule.mix.average());
        let activations = learned(false).or(mixed).unwrap_or(f64::from(bits.activation));
        Some(Self { weights, activations })
    }

    /// The mean of several; none of none.
    pub fn mean(all: impl Iterator<Item = Self>) -> Option<Self> {
        let all: Vec<Self> = all.collect();
        let mean = |value: fn(&Self) -> f64| all.iter().map(value).sum::<f64>() / all.len() as f64;
        (!all.is_empty())
            .then(|| Self { weights: mean(|bits| bits.weights), activations: mean(|bits| bits.activations) })
    }

    /// Both numbers as a table shows them, empty where they are not known.
    pub fn cells(bits: Option<Self>) -> [String; 2] {
        let text = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        [text(bits.map(|bits| bits.weights)), text(bits.map(|bits| bits.activations))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn config(text: &str) -> Config {
        crate::commands::resolve(Settings::parse(text, "test").expect("settings"), Settings::default())
            .expect("a config")
    }

    #[test]
    fn bits_are_those_of_lengths_mixes_or_widths() {
        let of = |text: &str, lengths: Option<&LengthRecord>| {
            AverageBits::cells(AverageBits::of(&config(text), lengths))
        };
        assert_eq!(of("bits = \"2,32,4\"", None), ["2.00", "32.00"]);
        assert_eq!(of("bit-mix = \"1:0.7,2:0.2,3:0.1\"\nbits = \"3,4,4\"", None), ["1.40", "4.00"]);
        assert_eq!(of("activation-mix = \"1:0.5,2:0.5\"\nbits = \"1,2,4\"", None), ["1.00", "1.50"]);
        let lengths = [("c.weight_length", 3.0), ("d.weight_length", 4.0), ("a.length", 5.0)];
        let lengths = lengths.map(|(name, length)| (name.to_owned(), length)).into_iter().collect();
        let record = LengthRecord { lengths, ..LengthRecord::default() };
        assert_eq!(of("learn-bits = \"layer\"", Some(&record)), ["3.50", "5.00"]);
        assert_eq!(of("learn-bits = \"layer\"", None), ["", ""], "a run that has not written them");
        let both = [1.0, 2.0].map(|weights| AverageBits { weights, activations: 4.0 });
        assert_eq!(AverageBits::cells(AverageBits::mean(both.into_iter())), ["1.50", "4.00"]);
        assert!(differ(&config("learn-bits = \"layer\"")) && !differ(&config("bits = \"2,2,4\"")));
    }
}
