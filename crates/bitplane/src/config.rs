//! The resolved settings of a run: nothing is left open, and the file saved with the run holds exactly this.

mod bit_mix;
mod computation;
mod group_net;
mod identity;
mod resolve;

use graph::{Bits, Cut};
pub use identity::hex;
use serde::{Deserialize, Serialize};

use crate::batches::Augment;
use crate::cut;
use crate::kernel_choice::KernelChoice;
use crate::learned_bits::LearnedBitsConfig;
use crate::method::{
    ActivationForm, BinaryActivations, BitOrder, FlexBatchNorm, FlexTraining, GradientScale, MaskGranularity,
    NestedForm, Rounding, StraightThrough, WeightScale, is_default,
};
use crate::plateau::PlateauRule;
use crate::preprocess::Preprocess;
use crate::schedule::{Schedule, SchedulerKind};
use crate::settings::{EpsilonForm, OptimizerKind, Settings};
use crate::structure::{BaseScales, Shortcut};

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

fn every() -> u32 {
    1
}

fn is_every(count: &u32) -> bool {
    *count == every()
}

impl Config {
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

    /// How bit lengths are learned, if they are; those of a cut stay as they are.
    pub fn trained_lengths(&self) -> Option<LearnedBitsConfig> {
        self.learned_bits.filter(|_| self.cut_to.is_none())
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
