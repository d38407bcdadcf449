//! What settings leave open, filled from the model's recipe.

use std::path::Path;

use graph::{BitMix, Bits, Optimizer};

use super::{
    Config, DEFAULT_BITS, DEFAULT_CALIBRATION_BATCHES, DEFAULT_DATA, DEFAULT_LEARNED_BITS, DEFAULT_MODEL,
    every, min_delta, patience,
};
use crate::cut;
use crate::fetch;
use crate::learned_bits::LearnedBitsConfig;
use crate::models::Recipe;
use crate::preprocess::Preprocess;
use crate::schedule::SchedulerKind;
use crate::settings::{EpsilonForm, OptimizerKind, Settings};
use crate::structure::{BaseScales, Shortcut};
use crate::teacher;

/// Factor of a decay on a plateau.
const PLATEAU_GAMMA: f64 = 0.1;

impl Config {
    /// Fills what `settings` leave open from the model's recipe. The settings must have been checked.
    pub fn resolve(settings: Settings, recipe: &Recipe) -> Self {
        let (opt, momentum, nesterov, weight_decay, epsilon, form) = optimizer_defaults(&recipe.optimizer);
        // Another optimizer than the recipe's starts from that optimizer's usual values.
        let opt_given = settings.opt.unwrap_or(opt);
        let lr = if opt_given == opt {
            recipe.lr
        } else {
            match opt_given {
                OptimizerKind::Sgd => 0.1,
                OptimizerKind::Adam => 1e-3,
            }
        };
        let taught = settings.teacher.is_some();
        let matched = settings.distill_features.as_ref().filter(|names| taught && !names.is_empty());
        let matched = matched.map(|_| teacher::DEFAULT_FEATURE_WEIGHT);
        let mix = |text: &Option<String>| {
            text.as_deref().map(|text| text.parse::<BitMix>().expect("it was checked"))
        };
        let [weight_mix, activation_mix] = [&settings.bit_mix, &settings.activation_mix].map(mix);
        let usual = Bits {
            weight: weight_mix.map_or(DEFAULT_BITS.weight, |mix| mix.widest()),
            activation: activation_mix.map_or(DEFAULT_BITS.activation, |mix| mix.widest()),
            ..DEFAULT_BITS
        };
        let structure = settings.structure().structure().expect("the structure was checked");
        let usual = if settings.learn_bits.is_some() { DEFAULT_LEARNED_BITS } else { usual };
        let lr = settings.lr.unwrap_or(lr);
        let epochs = settings.epochs.unwrap_or(recipe.epochs);
        let learned_bits = LearnedBitsConfig::resolve(&settings, epochs, lr);
        let given: Bits =
            settings.bits.as_deref().map_or(usual, |text| text.parse().expect("bits were checked"));
        let widths = settings.widths.unwrap_or_default();
        // The gradients have their own width, the weights and activations the widest of several.
        let bits =
            widths.first().map_or(given, |&widest| Bits { weight: widest, activation: widest, ..given });
        Self {
            data: absolute(settings.data.as_deref().unwrap_or(DEFAULT_DATA)),
            model: settings.model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            bits: bits.to_string(),
            epochs,
            learned_bits,
            batch_size: settings.batch_size.unwrap_or(recipe.batch_size),
            opt: opt_given,
            lr,
            momentum: settings.momentum.unwrap_or(momentum),
            nesterov: settings.nesterov.unwrap_or(nesterov),
            weight_decay: settings.weight_decay.unwrap_or(weight_decay),
            adam_epsilon: settings.adam_epsilon.unwrap_or(epsilon),
            adam_epsilon_form: settings.adam_epsilon_form.unwrap_or(form),
            lr_scheduler: settings.lr_scheduler.unwrap_or(recipe.lr_scheduler),
            lr_step_size: settings.lr_step_size.unwrap_or(recipe.lr_step_size),
            lr_gamma: settings.lr_gamma.unwrap_or(match settings.lr_scheduler {
                Some(SchedulerKind::Plateau) => PLATEAU_GAMMA,
                _ => recipe.lr_gamma,
            }),
            lr_milestones: settings.lr_milestones.unwrap_or_else(|| recipe.lr_milestones.clone()),
            lr_warmup_epochs: settings.lr_warmup_epochs.unwrap_or(recipe.lr_warmup_epochs),
            lr_patience: settings.lr_patience.unwrap_or_else(patience),
            lr_min_delta: settings.lr_min_delta.unwrap_or_else(min_delta),
            augment: settings.augment.unwrap_or(recipe.augment),
            crop_padding: settings.crop_padding.unwrap_or(recipe.crop_padding),
            preprocess: Some(settings.preprocess.unwrap_or(recipe.preprocess))
                .filter(|chosen| *chosen != Preprocess::Plain || recipe.preprocess != Preprocess::Plain),
            skip_bad: settings.skip_bad.unwrap_or(false),
            seed: settings.seed.unwrap_or(0),
            device: settings.device,
            kernels: settings.kernels.unwrap_or_default(),
            limit_train_batches: settings.limit_train_batches,
            limit_test_batches: settings.limit_test_batches,
            print_freq: settings.print_freq.unwrap_or(50),
            checkpoint_interval: settings.checkpoint_interval.unwrap_or(300),
            calibration_batches: settings.calibration_batches.unwrap_or(DEFAULT_CALIBRATION_BATCHES),
            histograms: settings.histograms.unwrap_or_default(),
            histogram_every: settings.histogram_every.unwrap_or_else(every),
            tensorboard: settings.tensorboard.map(|folder| absolute_folder(&folder)),
            activation_form: settings.activation_form.unwrap_or_default(),
            rounding: settings.rounding.unwrap_or_default(),
            max_gradient: settings.max_gradient.unwrap_or(false),
            wgrad_scale: settings.wgrad_scale.unwrap_or_default(),
            quantize_first: settings.quantize_first.unwrap_or(false),
            quantize_last: settings.quantize_last.unwrap_or(false),
            widths,
            flex_training: settings.flex_training.unwrap_or_default(),
            flex_batch_norm: settings.flex_batch_norm.unwrap_or_default(),
            nested_form: settings.nested_form.unwrap_or_default(),
            bit_mix: weight_mix.map(|mix| mix.to_string()),
            activation_mix: activation_mix.map(|mix| mix.to_string()),
            bit_order: settings.bit_order.unwrap_or_default(),
            mask_granularity: settings.mask_granularity.unwrap_or_default(),
            bases: structure.as_ref().map(|structure| structure.bases),
            structure: structure.map(|structure| structure.partition.to_string()),
            base_scales: settings.base_scales.filter(|scales| *scales != BaseScales::default()),
            shortcut: settings.shortcut.filter(|shortcut| *shortcut != Shortcut::default()),
            weight_scale: settings.weight_scale.unwrap_or_default(),
            clip: settings.clip,
            binary_activations: settings.binary_activations.unwrap_or_default(),
            ste: settings.ste.unwrap_or_default(),
            activation_scale: settings.activation_scale.unwrap_or(false),
            soft: settings.soft.unwrap_or(false),
            init_from: settings.init_from.as_deref().map(absolute_path),
            cut_to: settings.cut_to.map(|text| cut::parse(&text).expect("it was checked").to_string()),
            init_sha256: settings.init_sha256.map(|sum| sum.to_ascii_lowercase()),
            // Without a teacher they are kept as they were given, and refused.
            distill_weight: settings.distill_weight.or(taught.then_some(teacher::DEFAULT_WEIGHT)),
            distill_temperature: settings
                .distill_temperature
                .or(taught.then_some(teacher::DEFAULT_TEMPERATURE)),
            distill_feature_weight: settings.distill_feature_weight.or(matched),
            distill_features: settings.distill_features.unwrap_or_default(),
            teacher: settings.teacher.as_deref().map(absolute_path),
            teacher_sha256: settings.teacher_sha256.map(|sum| sum.to_ascii_lowercase()),
            allow_nonfinite: settings.allow_nonfinite.unwrap_or(false),
        }
    }
}

type OptimizerDefaults = (OptimizerKind, f64, bool, f64, f64, EpsilonForm);

fn optimizer_defaults(optimizer: &Optimizer) -> OptimizerDefaults {
    match *optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            let (momentum, weight_decay) = (decimal(momentum), decimal(weight_decay));
            (OptimizerKind::Sgd, momentum, nesterov, weight_decay, 1e-8, EpsilonForm::Corrected)
        }
        Optimizer::Adam { epsilon, form, weight_decay, .. } => {
            let form = match form {
                graph::EpsilonForm::Uncorrected => EpsilonForm::Uncorrected,
                graph::EpsilonForm::Corrected => EpsilonForm::Corrected,
            };
            (OptimizerKind::Adam, 0.9, false, decimal(weight_decay), decimal(epsilon), form)
        }
    }
}

/// The shortest decimal number that is `value` in f32, so that saved settings read 1e-5 and not 9.99999974737875e-6.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a float's text is a number")
}

/// The whole path of a folder, or nothing for the run's own.
fn absolute_folder(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { absolute_path(folder) }
}

/// The data set's description with an absolute path, so that it is found from any folder later; a public set without a path
/// is the one that was fetched.
fn absolute(spec: &str) -> String {
    let spec = &fetch::located(spec);
    match spec.split_once(':') {
        Some((kind, path)) if !path.is_empty() => {
            format!("{kind}:{}", absolute_path(path))
        }
        _ => spec.to_owned(),
    }
}

/// The whole path, or what was given below a folder whose name is no text.
fn absolute_path(path: &str) -> String {
    let full = std::path::absolute(path).ok();
    full.as_deref().and_then(Path::to_str).unwrap_or(path).to_owned()
}
