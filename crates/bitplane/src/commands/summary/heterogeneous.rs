//! What weights with bits of their own cost, as the paper on heterogeneous binarization counts.

use graph::{FULL_PRECISION, Heterogeneous, LayerSummary, MaskCost};
use serde::Serialize;

use crate::config::Config;
use crate::method::named;
use crate::report::bytes;

/// The cost of all layers with a `--bit-mix`.
#[derive(Debug, Serialize)]
pub struct HeterogeneousCost {
    mix: String,
    /// Bits of the mean weight: of the run's masks, or as the mix has it.
    average_bits: f64,
    /// Planes of the mean packed word where empty mask words are skipped; null before masks are chosen.
    executed_planes: Option<f64>,
    /// Bits of weights times bits of their inputs, summed over the weights: gates of an unrolled product.
    xnor_ops: f64,
    /// Bits that the population counts of an unrolled product add: as many.
    popcount_inputs: f64,
    /// `xnor_ops` by those of homogeneous networks of 1, 2, ... bits.
    of_homogeneous: Vec<f64>,
    /// Bytes of the signs of all levels.
    sign_bytes: u64,
    /// Bytes that say which weights have which bits, by their entropy; 0 for an order that a seed gives.
    mask_bytes: u64,
}

impl HeterogeneousCost {
    /// Of the layers of a network by `config`, with the masks of a run where it has some.
    pub fn of(config: &Config, layers: &[LayerSummary], masks: Option<MaskCost>) -> Option<Self> {
        let rule = config.heterogeneous()?;
        let quantized = |layer: &&LayerSummary| {
            layer.bits.is_some_and(|bits| bits.weight != FULL_PRECISION && bits.activation != FULL_PRECISION)
        };
        let mixed = config.channel_bits().map(|rule| rule.mix);
        let input_bits = |bits: u32| match mixed {
            Some(mix) if mix.widest() == bits => mix.average(),
            _ => f64::from(bits),
        };
        let inputs: f64 = layers
            .iter()
            .filter(quantized)
            .map(|layer| layer.parameters as f64 * layer.bits.map_or(0.0, |bits| input_bits(bits.activation)))
            .sum();
        let with_bits =
            layers.iter().filter(|layer| layer.bits.is_some_and(|bits| bits.weight != FULL_PRECISION));
        let stored = |bits: fn(&LayerSummary) -> f64| with_bits.clone().map(bits).sum::<f64>();
        let weights = stored(|layer| layer.parameters as f64);
        let average_bits = masks.map_or(rule.mix.average(), |cost| cost.average_bits());
        let signs = weights * rule.mix.average();
        let masks_and_signs = stored(|layer| layer.stored_bits);
        let in_bytes = |bits: f64| (bits / 8.0).ceil() as u64;
        Some(Self {
            mix: text(&rule, config),
            average_bits,
            executed_planes: masks.map(|cost| cost.executed_planes()),
            xnor_ops: (inputs * average_bits).round(),
            popcount_inputs: (inputs * average_bits).round(),
            of_homogeneous: (1..=rule.mix.widest()).map(|bits| average_bits / f64::from(bits)).collect(),
            sign_bytes: in_bytes(signs),
            mask_bytes: in_bytes(masks_and_signs - signs),
        })
    }

    /// Names and values of the lines below the table.
    pub fn lines(&self) -> Vec<[String; 2]> {
        let planes = self.executed_planes.map_or(String::new(), |planes| {
            format!(", {planes:.3} planes executed where empty mask words are skipped")
        });
        let relative: Vec<String> = (1..)
            .zip(&self.of_homogeneous)
            .map(|(bits, ratio)| format!("{ratio:.2} of {bits} bit{}", if bits == 1 { "" } else { "s" }))
            .collect();
        let line = |name: &str, value: String| [name.to_owned(), value];
        vec![
            line("bit mix", self.mix.clone()),
            line("bits a weight", format!("{:.3}{planes}", self.average_bits)),
            line(
                "unrolled product",
                format!("{:.0} XNORs and as many popcount inputs: {}", self.xnor_ops, relative.join(", ")),
            ),
            line("signs and masks", format!("{} and {}", bytes(self.sign_bytes), bytes(self.mask_bytes))),
        ]
    }
}

/// Activations whose channels have bits of their own.
#[derive(Debug, Serialize)]
pub struct ActivationMixCost {
    mix: String,
    /// Bits of the mean channel.
    average_bits: f64,
    /// Planes that products read of every channel, those of the widest.
    executed_planes: u32,
}

impl ActivationMixCost {
    /// Of a network by `config`.
    pub fn of(config: &Config) -> Option<Self> {
        let mix = config.channel_bits()?.mix;
        Some(Self { mix: mix.to_string(), average_bits: mix.average(), executed_planes: mix.widest() })
    }

    /// Name and value of the line below the table.
    pub fn line(&self) -> [String; 2] {
        let Self { mix, average_bits, executed_planes } = self;
        let value = format!("{mix}: {average_bits:.3} bits a channel, {executed_planes} planes executed");
        ["activation mix".to_owned(), value]
    }
}

fn text(rule: &Heterogeneous, config: &Config) -> String {
    format!("{}, {}, by {}", rule.mix, named(config.bit_order), named(config.mask_granularity))
}
