//! The resolved settings of a run: nothing is left open, and the file saved with the run holds exactly this.

mod bit_mix;
mod group_net;
mod identity;

use graph::{BitMix, Bits, Cut, Method, Optimizer};
pub use identity::hex;
use serde::{Deserialize, Serialize};

use crate::batches::Augment;
use crate::cut;
use crate::fetch;
use crate::kernel_choice::KernelChoice;
use crate::learned_bits::LearnedBitsConfig;
use crate::method::{
    ActivationForm, BinaryActivations, BitOrder, FlexBatchNorm, FlexTraining, GradientScale, MaskGranularity,
    NestedForm, Rounding, StraightThrough, WeightScale, is_default,
};
use crate::models::Recipe;
use crate::plateau::PlateauRule;
use crate::preprocess::Preprocess;
use crate::schedule::{Schedule, SchedulerKind};
use crate::settings::{EpsilonForm, OptimizerKind, Settings};
use crate::structure::{BaseScales, Shortcut};
use crate::teacher;

/// The network that is trained when none is named.
pub const DEFAULT_MODEL: &str = "digits";
/// The data set that is used when none is named.
pub const DEFAULT_DATA: &str = "digits";
/// Batches that take the running statistics of batch norm again at the end of an epoch.
pub const DEFAULT_CALIBRATION_BATCHES: u32 = 32;

/// The widths that are used when none are given.
pub const DEFAULT_BITS: Bits = Bits { weight: 1, activation: 2, gradient: 4 };

/// The widths that lengths start at when none are given, with gradients as the paper has them.
pub const DEFAULT_LEARNED_BITS: Bits = Bits { weight: 8, activation: 8, gradient: 32 };

const ADAM_BETAS: (f32, f32) = (0.9, 0.999);

/// Settings of a training, all decided. The keys are those of [`Settings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each field is documented at the equal field of Settings")]
pub struct Config {
    pub data: String,
    pub model: String,
    pub bits: String,
    pub epochs: u32,
    pub batch_size: u32,
    pub opt: OptimizerKind,
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    pub adam_epsilon: f64,
    pub adam_epsilon_form: EpsilonForm,
    pub lr_scheduler: SchedulerKind,
    pub lr_step_size: u32,
    pub lr_gamma: f64,
    pub lr_milestones: Vec<u32>,
    pub lr_warmup_epochs: u32,
    #[serde(default = "patience", skip_serializing_if = "is_patience")]
    pub lr_patience: u32,
    #[serde(default = "min_delta", skip_serializing_if = "is_min_delta")]
    pub lr_min_delta: f64,
    pub augment: Augment,
    pub crop_padding: u32,
    /// Absent where it is [`Preprocess::Plain`] and the model's recipe has nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_bad: bool,
    pub seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(default, skip_serializing_if = "KernelChoice::is_auto")]
    pub kernels: KernelChoice,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_train_batches: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_test_batches: Option<u32>,
    pub print_freq: u32,
    pub checkpoint_interval: u32,
    pub calibration_batches: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histograms: Vec<String>,
    #[serde(default = "every", skip_serializing_if = "is_every")]
    pub histogram_every: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation_form: ActivationForm,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_gradient: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub wgrad_scale: GradientScale,
    #[serde(default, skip_serializing_if = "is_default")]
    pub quantize_first: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub quantize_last: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub flex_training: FlexTraining,
    #[serde(default, skip_serializing_if = "is_default")]
    pub flex_batch_norm: FlexBatchNorm,
    #[serde(default, skip_serializing_if = "is_default")]
    pub nested_form: NestedForm,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub learned_bits: Option<LearnedBitsConfig>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight_scale: WeightScale,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub binary_activations: BinaryActivations,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ste: StraightThrough,
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation_scale: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_mix: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub bit_order: BitOrder,
    #[serde(default, skip_serializing_if = "is_default")]
    pub mask_granularity: MaskGranularity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_mix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_scales: Option<BaseScales>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Shortcut>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub soft: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill_weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill_temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distill_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill_feature_weight: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_nonfinite: bool,
}

/// Keras' values for a plateau.
fn patience() -> u32 {
    10
}

fn is_patience(epochs: &u32) -> bool {
    *epochs == patience()
}

fn min_delta() -> f64 {
    1e-4
}

fn is_min_delta(delta: &f64) -> bool {
    delta.to_bits() == min_delta().to_bits()
}

/// Factor of a decay on a plateau.
const PLATEAU_GAMMA: f64 = 0.1;

fn every() -> u32 {
    1
}

fn is_every(count: &u32) -> bool {
    *count == every()
}

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

    /// The widths.
    pub fn bits(&self) -> Bits {
        self.bits.parse().expect("bits were checked")
    }

    /// What the network is cut to before its batch norm is trained, where that is what is trained.
    pub fn cut(&self) -> Option<Cut> {
        self.cut_to.as_deref().map(|text| cut::parse(text).expect("it was checked"))
    }

    /// The widths that products have: those of the quantizers, or of their cut.
    pub fn computed_bits(&self) -> Bits {
        let bits = self.bits();
        self.cut().map_or(bits, |cut| Bits {
            weight: bits.weight.min(cut.weight),
            activation: bits.activation.min(cut.activation),
            ..bits
        })
    }

    /// The widths that are trained together, the widest first; none where there is one.
    pub fn trained_widths(&self) -> &[u32] {
        if self.cut_to.is_some() { &[] } else { &self.widths }
    }

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

    /// How pictures become the network's input.
    pub fn preprocess(&self) -> Preprocess {
        self.preprocess.unwrap_or_default()
    }

    /// The learning rate's schedule.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            kind: self.lr_scheduler,
            base: self.lr,
            epochs: self.epochs,
            step_size: self.lr_step_size,
            gamma: self.lr_gamma,
            milestones: self.lr_milestones.clone(),
            warmup_epochs: self.lr_warmup_epochs,
            plateau: PlateauRule { patience: self.lr_patience, min_delta: self.lr_min_delta },
        }
    }

    /// The kind of data set, without its path.
    pub fn data_kind(&self) -> &str {
        self.data.split_once(':').map_or(self.data.as_str(), |(kind, _)| kind)
    }

    /// What a run folder of these settings is called: `MODEL-DATA-W-A-G-sSEED`, or `MODEL-DATA-flex-WIDTHS-G-sSEED`, with a
    /// structure `MODEL-v1-k5-...`, cut `...-cut-WK-AK-sSEED`.
    pub fn run_name(&self) -> String {
        let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let kind: String = self.data_kind().chars().map(keep).collect();
        let Bits { weight, activation, gradient } = self.bits();
        let widths = match self.widths.as_slice() {
            [] => format!("{weight}-{activation}"),
            widths => widths.iter().fold("flex".to_owned(), |text, bits| format!("{text}-{bits}")),
        };
        let structure = self.structure_name();
        let cut = self.cut_to.as_ref().map_or(String::new(), |cut| {
            format!("-cut-{}", cut.replace(',', "-").chars().map(keep).collect::<String>())
        });
        format!("{}{structure}-{kind}-{widths}-{gradient}{cut}-s{}", self.model, self.seed)
    }

    /// What becomes of images that cannot be used.
    pub fn bad_images(&self) -> data::Bad {
        if self.skip_bad { data::Bad::Skip } else { data::Bad::Refuse }
    }

    /// True for what [`Config::to_toml`] writes: settings that leave nothing open.
    pub fn is_complete(text: &str) -> bool {
        Settings::parse(text, "").is_ok() && toml::from_str::<Self>(text).is_ok()
    }

    /// The TOML text that [`Settings`] reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain values")
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
    let full = std::path::absolute(folder).map(|path| path.display().to_string());
    if folder.is_empty() { String::new() } else { full.unwrap_or_else(|_| folder.to_owned()) }
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

fn absolute_path(path: &str) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.into());
    full.display().to_string()
}
