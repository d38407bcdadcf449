//! `--cut-to`: a training of batch norm alone, on the upper bits of a trained run's codes.

use std::path::Path;

use crate::cut;
use crate::exit::Failure;
use crate::output::shown;
use crate::run;
use crate::settings::Settings;

/// Epochs where none are given: what is trained are few values of a network that is.
const EPOCHS: u32 = 1;

/// What a run's network is, by the settings' names; a cut takes it as it is.
const NETWORK: [&str; 29] = [
    "model",
    "preprocess",
    "activation-form",
    "rounding",
    "max-gradient",
    "quantize-first",
    "quantize-last",
    "widths",
    "flex-training",
    "flex-batch-norm",
    "nested-form",
    "bit-mix",
    "bit-order",
    "mask-granularity",
    "activation-mix",
    "structure",
    "bases",
    "base-scales",
    "shortcut",
    "soft",
    "learn-bits",
    "bits-mode",
    "bits-penalty",
    "bits-gamma",
    "bits-lr",
    "weight-scale",
    "clip",
    "binary-activations",
    "activation-scale",
];

/// `settings`, and what they leave open as the run has it that they cut.
///
/// # Errors
/// [`Failure::Usage`] for a cut of nothing, of a cut run, or of a network that the run does not have; what the run's settings
/// are refused for.
pub fn completed(settings: Settings) -> Result<Settings, Failure> {
    let usage = |message: String| Err(Failure::Usage { message });
    if settings.cut_to.is_none() {
        return Ok(settings);
    }
    let Some(source) = settings.init_from.clone() else {
        return usage("--cut-to cuts the codes of a trained run; name it with --init-from RUN".to_owned());
    };
    // The settings of a run that was cut leave nothing open, and its source may be gone.
    if settings.init_sha256.is_some() {
        return Ok(settings);
    }
    let theirs = run::read_settings(Path::new(&source))?;
    let source = shown(Path::new(&source));
    if theirs.cut_to.is_some() {
        return usage(format!("{source} is cut already; cut the run that it came from"));
    }
    let tables = [&settings, &theirs].map(|s| toml::Table::try_from(s).expect("settings are plain values"));
    let [given, known] = &tables;
    // Which channels have which bits follows from the seed.
    let drawn = theirs.activation_mix.as_ref().map(|_| "seed");
    let other = NETWORK
        .iter()
        .copied()
        .chain(drawn)
        .find(|key| given.get(*key).is_some_and(|value| known.get(*key) != Some(value)));
    if let Some(key) = other {
        return usage(format!(
            "--cut-to takes the network of {source} as it is, which has another --{key}; leave it away"
        ));
    }
    let widths = |settings: &Settings| -> Option<[u32; 2]> {
        let bits: graph::Bits = settings.bits.as_deref()?.parse().ok()?;
        Some([bits.weight, bits.activation])
    };
    if widths(&settings).is_some_and(|given| widths(&theirs) != Some(given)) {
        let bits = theirs.bits.unwrap_or_default();
        return usage(format!(
            "--cut-to cuts the codes of {source}, which has {bits} bits; --bits may change G alone"
        ));
    }
    if let (Some(cut), Some(widest)) =
        (settings.cut_to.as_deref().and_then(|text| cut::parse(text).ok()), widths(&theirs))
    {
        cut::check(&cut, widest)?;
    }
    // What the run learned from, where it stopped and what it collected is its own affair.
    let kept = Settings {
        epochs: Some(EPOCHS),
        limit_train_batches: None,
        limit_test_batches: None,
        histograms: None,
        tensorboard: None,
        teacher: None,
        teacher_sha256: None,
        distill_weight: None,
        distill_temperature: None,
        distill_features: None,
        distill_feature_weight: None,
        init_sha256: None,
        ..theirs
    };
    Ok(settings.or(kept))
}
