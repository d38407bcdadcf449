//! `config`: the settings that a training would use.

use graph::quantizers::HbnnActivation;

use crate::cli::ConfigArgs;
use crate::config::{Config, DEFAULT_MODEL};
use crate::exit::Failure;
use crate::flexnet;
use crate::learned_bits;
use crate::method::{ActivationForm, Rounding};
use crate::models;
use crate::output;
use crate::preprocess::Preprocess;
use crate::retraining;
use crate::settings::Settings;

/// Checks the file and the flags and prints the whole as TOML.
///
/// # Errors
/// Settings that are refused.
pub fn run(args: ConfigArgs) -> Result<(), Failure> {
    let file = args.file.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let config = resolve(args.settings, file)?;
    output::result(config.to_toml().trim_end())
}

/// Flags over a file over the model's recipe.
///
/// # Errors
/// Values out of range, an unknown model.
pub fn resolve(flags: Settings, file: Settings) -> Result<Config, Failure> {
    flags.check_flags()?;
    let settings = retraining::completed(flags.or(file))?;
    settings.structure().structure()?;
    learned_bits::check_settings(&settings)?;
    let recipe = models::recipe(settings.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    flexnet::check(&settings)?;
    let refined = settings.bit_order.is_some() || settings.mask_granularity.is_some();
    let config = Config::resolve(settings, &recipe);
    learned_bits::check(&config)?;
    config.check_group_net().map_err(|message| Failure::Usage { message })?;
    check_mixes(&config, refined)?;
    check_first(&config)?;
    Ok(config)
}

/// What `--bit-mix` and `--activation-mix` leave no room for; `refined` where something says how the first is applied.
fn check_mixes(config: &Config, refined: bool) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::Usage { message });
    let wide = |what: &str, flag: &str, bits: u32, widest: u32| {
        usage(format!(
            "--bits says {bits} for {what} and {flag} has up to {widest} bits; write {widest} there, or leave --bits away"
        ))
    };
    let bits = config.bits();
    if !config.widths.is_empty() && (config.bit_mix.is_some() || config.activation_mix.is_some()) {
        let message = "--widths nests the codes of weights and activations, for which --bit-mix and --activation-mix have \
                       other ones; choose one of them";
        return usage(message.to_owned());
    }
    match config.heterogeneous().map(|rule| rule.mix.widest()) {
        None if refined => {
            return usage(
                "--bit-order and --mask-granularity say how --bit-mix is applied; add it".to_owned(),
            );
        }
        Some(widest) if widest != bits.weight => return wide("weights", "--bit-mix", bits.weight, widest),
        Some(_) if config.max_gradient => {
            let message =
                "--max-gradient differentiates a maximum by which weights of a --bit-mix are not divided";
            return usage(message.to_owned());
        }
        _ => {}
    }
    let Some(HbnnActivation { mix, .. }) = config.channel_bits() else { return Ok(()) };
    if mix.widest() != bits.activation {
        return wide("activations", "--activation-mix", bits.activation, mix.widest());
    }
    if !HbnnActivation::supports(&mix) {
        return usage(format!(
            "--activation-mix {mix} has a width that does not divide {}, so that its codes are no multiples of one step",
            mix.widest()
        ));
    }
    if config.activation_form != ActivationForm::default() || config.rounding != Rounding::default() {
        return usage("--activation-mix clips to [0, 1] and rounds ties to even; leave --activation-form and --rounding away".to_owned());
    }
    Ok(())
}

/// A quantized first layer reads bytes as codes of 1/255.
fn check_first(config: &Config) -> Result<(), Failure> {
    if !config.quantize_first || config.preprocess() == Preprocess::Plain {
        return Ok(());
    }
    let message = "--quantize-first reads the bytes of pictures as they are, which --preprocess changes; \
                   add --preprocess plain"
        .to_owned();
    Err(Failure::Usage { message })
}
