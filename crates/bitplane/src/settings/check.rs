//! Values that settings may have.

use graph::{BitMix, Bits, MAX_BITS};

use super::Settings;
use crate::{cut, learned_bits::LearnBits};

/// Kernels that sum over the samples of a batch in one invocation stay within the loop limit of software adapters.
pub(crate) const MAX_BATCH_SIZE: u32 = 32_768;

impl Settings {
    /// The first setting that has a value it may not have: its name, the value and what is allowed.
    pub(super) fn check(&self) -> Result<(), (&'static str, String, String)> {
        if let Some(bits) = &self.bits {
            bits.parse::<Bits>().map_err(|error| {
                ("bits", data::printable(bits), format!("W,A,G, each 1 to 8 or 32 ({error})"))
            })?;
        }
        crate::structure::check(self.structure.as_deref())?;
        if let Some(widths) = self.widths.as_ref().filter(|widths| !widths.is_empty()) {
            let inside = widths.iter().all(|bits| (1..=MAX_BITS).contains(bits));
            if !inside || widths.len() < 2 || widths.windows(2).any(|pair| pair[0] <= pair[1]) {
                let allowed = format!("at least two widths of 1 to {MAX_BITS} bits, the widest first");
                return Err(("widths", format!("{widths:?}"), allowed));
            }
        }
        for (key, mix) in [("bit-mix", &self.bit_mix), ("activation-mix", &self.activation_mix)] {
            let Some(mix) = mix else { continue };
            mix.parse::<BitMix>().map_err(|error| {
                (key, data::printable(mix), format!("BITS:SHARE,..., shares that add up to 1 ({error})"))
            })?;
        }
        if let Some(text) = &self.learn_bits {
            LearnBits::parse(text).map_err(|allowed| ("learn-bits", data::printable(text), allowed))?;
        }
        if let Some(text) = &self.cut_to {
            cut::parse(text).map_err(|allowed| ("cut-to", data::printable(text), allowed))?;
        }
        let whole = [
            ("bits-freeze-epoch", self.bits_freeze_epoch, 1, 1_000_000),
            ("epochs", self.epochs, 1, 1_000_000),
            ("batch-size", self.batch_size, 1, MAX_BATCH_SIZE),
            ("lr-step-size", self.lr_step_size, 1, 1_000_000),
            ("lr-warmup-epochs", self.lr_warmup_epochs, 0, 1_000_000),
            ("lr-patience", self.lr_patience, 1, 1_000_000),
            ("crop-padding", self.crop_padding, 0, 256),
            ("limit-train-batches", self.limit_train_batches, 1, u32::MAX),
            ("limit-test-batches", self.limit_test_batches, 1, u32::MAX),
            ("print-freq", self.print_freq, 1, u32::MAX),
            ("checkpoint-interval", self.checkpoint_interval, 0, 300),
            ("calibration-batches", self.calibration_batches, 0, 10_000),
            ("histogram-every", self.histogram_every, 1, 1_000_000),
            ("bases", self.bases, 1, graph::MOST_BASES),
        ];
        for (key, value, least, most) in whole {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return Err((key, value.to_string(), format!("{least} to {most}")));
            }
        }
        if let Some(epoch) =
            self.lr_milestones.iter().flatten().find(|&&epoch| !(1..=1_000_000).contains(&epoch))
        {
            return Err(("lr-milestones", epoch.to_string(), "epochs from 1 to 1000000".to_owned()));
        }
        let is_sum = |sum: &&String| sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
        for (key, sum) in [("init-sha256", &self.init_sha256), ("teacher-sha256", &self.teacher_sha256)] {
            if let Some(sum) = sum.as_ref().filter(|sum| !is_sum(sum)) {
                return Err((key, data::printable(sum), "64 hexadecimal digits".to_owned()));
            }
        }
        // TOML has no larger integers, and the seed must survive in the saved settings.
        if let Some(seed) = self.seed.filter(|&seed| i64::try_from(seed).is_err()) {
            return Err(("seed", seed.to_string(), format!("0 to {}", i64::MAX)));
        }
        type Real = (&'static str, Option<f64>, fn(f64) -> bool, &'static str);
        let real: [Real; 12] = [
            ("distill-weight", self.distill_weight, |x| (0.0..=1.0).contains(&x), "0 to 1"),
            (
                "distill-temperature",
                self.distill_temperature,
                |x| (0.01..=1000.0).contains(&x),
                "0.01 to 1000",
            ),
            (
                "distill-feature-weight",
                self.distill_feature_weight,
                |x| x > 0.0 && x <= 1e6,
                "above 0, up to 1e6",
            ),
            ("bits-gamma", self.bits_gamma, |x| (0.0..=1e6).contains(&x), "0 to 1e6"),
            ("bits-lr", self.bits_lr, |x| x > 0.0 && x <= 1e3, "above 0, up to 1000"),
            ("clip", self.clip, |x| (1e-3..=1e3).contains(&x), "0.001 to 1000"),
            ("lr", self.lr, |x| x > 0.0 && x <= 1e9, "above 0, up to 1e9"),
            ("momentum", self.momentum, |x| (0.0..1.0).contains(&x), "0 up to but not including 1"),
            ("weight-decay", self.weight_decay, |x| (0.0..=1e3).contains(&x), "0 to 1000"),
            ("adam-epsilon", self.adam_epsilon, |x| (1e-30..=1.0).contains(&x), "1e-30 to 1"),
            ("lr-min-delta", self.lr_min_delta, |x| (0.0..=1e6).contains(&x), "0 to 1e6"),
            ("lr-gamma", self.lr_gamma, |x| x > 0.0 && x <= 1.0, "above 0, up to 1"),
        ];
        for (key, value, fits, allowed) in real {
            if let Some(value) = value.filter(|&value| !fits(value)) {
                return Err((key, value.to_string(), allowed.to_owned()));
            }
        }
        Ok(())
    }
}
