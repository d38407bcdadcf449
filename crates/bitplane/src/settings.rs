//! What a user may set, by flag or in a TOML file with the same names; everything is optional here.

mod check;
mod error;
mod precedence;

use std::path::Path;

pub(crate) use check::MAX_BATCH_SIZE;
pub use error::SettingsError;
use serde::{Deserialize, Serialize};

use crate::batches::Augment;
use crate::kernel_choice::KernelChoice;
use crate::learned_bits::{BitsMode, BitsPenalty};
use crate::method::{
    ActivationForm, BinaryActivations, BitOrder, FlexBatchNorm, FlexTraining, GradientScale, MaskGranularity,
    NestedForm, Rounding, StraightThrough, WeightScale,
};
use crate::output::{printable_lines, shown};
use crate::preprocess::Preprocess;
use crate::schedule::SchedulerKind;
use crate::storage::{Disk, Storage, StorageError};
use crate::structure::{BaseScales, Shortcut};

/// Largest settings file in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// The optimizer's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam.
    Adam,
}

/// Where Adam adds epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EpsilonForm {
    /// To the root of the uncorrected second moment, as TensorFlow does.
    Uncorrected,
    /// To the root of the corrected second moment, as the paper and PyTorch do.
    Corrected,
}

/// Settings of a training; a flag and a key of the TOML file have the same name.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Data set: digits, KIND:PATH with svhn, svhn-core, idx, mnist, fashion-mnist, cifar10, cifar100, folder or
    /// imagenet, or just the KIND of
    /// a set from `data fetch`
    #[arg(long, value_name = "SPEC", visible_alias = "data-path")]
    pub data: Option<String>,
    /// Network
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Bits of weights, activations and gradients, each 1 to 8 or 32
    #[arg(long, value_name = "W,A,G")]
    pub bits: Option<String>,
    /// Passes over the training set
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,
    /// Images per step
    #[arg(short, long, value_name = "N")]
    pub batch_size: Option<u32>,
    /// Optimizer
    #[arg(long, value_name = "KIND")]
    pub opt: Option<OptimizerKind>,
    /// Learning rate
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Momentum of SGD
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    /// Nesterov's form of momentum
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub nesterov: Option<bool>,
    /// Weight decay
    #[arg(long, value_name = "X", visible_alias = "wd", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Epsilon of Adam
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub adam_epsilon: Option<f64>,
    /// Which root of the second moment Adam adds epsilon to
    #[arg(long, value_name = "FORM")]
    pub adam_epsilon_form: Option<EpsilonForm>,
    /// Learning rate schedule
    #[arg(long, value_name = "KIND")]
    pub lr_scheduler: Option<SchedulerKind>,
    /// Epochs between two decays of the step schedule
    #[arg(long, value_name = "N")]
    pub lr_step_size: Option<u32>,
    /// Factor of one decay
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr_gamma: Option<f64>,
    /// Epochs at which the multistep schedule decays, separated by commas
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub lr_milestones: Option<Vec<u32>>,
    /// Epochs without improvement after which the plateau schedule decays
    #[arg(long, value_name = "N")]
    pub lr_patience: Option<u32>,
    /// The plateau schedule counts a training loss as better that is lower by more than this
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr_min_delta: Option<f64>,
    /// Epochs of linear warm-up
    #[arg(long, value_name = "N")]
    pub lr_warmup_epochs: Option<u32>,
    /// Random changes of training images
    #[arg(long, value_name = "KIND")]
    pub augment: Option<Augment>,
    /// Largest shift of --augment flip-crop in pixels
    #[arg(long, value_name = "N")]
    pub crop_padding: Option<u32>,
    /// How pictures become the network's input
    #[arg(long, value_name = "KIND")]
    pub preprocess: Option<Preprocess>,
    /// Leave out images of a folder that cannot be used, with a warning
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub skip_bad: Option<bool>,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Adapter by index, name or type (see `devices`)
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Arithmetic of products of bit planes; the results are the same (see `tune`)
    #[arg(long, value_name = "KIND")]
    pub kernels: Option<KernelChoice>,
    /// Stop each epoch after this many training batches
    #[arg(long, value_name = "N")]
    pub limit_train_batches: Option<u32>,
    /// Evaluate on this many batches of the test set only
    #[arg(long, value_name = "N")]
    pub limit_test_batches: Option<u32>,
    /// Steps between two progress lines where standard error is no terminal
    #[arg(long, value_name = "N")]
    pub print_freq: Option<u32>,
    /// Seconds after which a checkpoint is also saved within an epoch, at most 300; 0 saves after every step
    #[arg(long, value_name = "SECONDS")]
    pub checkpoint_interval: Option<u32>,
    /// Batches at the end of an epoch that take batch norm's running statistics again, with weights as they are then; 0 for
    /// none
    #[arg(long, value_name = "N")]
    pub calibration_batches: Option<u32>,
    /// Collect histograms and figures of these layers' weights, activations and gradients (see `plot`); all for every layer
    #[arg(long, value_name = "LAYER,LAYER", value_delimiter = ',')]
    pub histograms: Option<Vec<String>>,
    /// Collect them at the end of every Nth epoch
    #[arg(long, value_name = "N")]
    pub histogram_every: Option<u32>,
    /// Write TensorBoard's event files, to DIR/RUN where a folder is given, else to the run's folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "")]
    pub tensorboard: Option<String>,
    /// What limits activations to [0, 1]
    #[arg(long, value_name = "FORM")]
    pub activation_form: Option<ActivationForm>,
    /// Rounding of the codes of weights and activations
    #[arg(long, value_name = "KIND")]
    pub rounding: Option<Rounding>,
    /// Differentiate the maximum by which weights of several bits are divided
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub max_gradient: Option<bool>,
    /// What the scale of quantized gradients spans
    #[arg(long, value_name = "KIND")]
    pub wgrad_scale: Option<GradientScale>,
    /// Give the first layer's weights and gradients few bits too; it reads the bytes of pictures as 8 planes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub quantize_first: Option<bool>,
    /// Give the last layer's inputs, weights and gradients few bits too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub quantize_last: Option<bool>,
    /// Train one network that can be cut to each of these widths of weights and activations, the widest first
    #[arg(long, value_name = "N,K,...", value_delimiter = ',')]
    pub widths: Option<Vec<u32>>,
    /// What the narrower of --widths learn from
    #[arg(long, value_name = "KIND")]
    pub flex_training: Option<FlexTraining>,
    /// Batch norm of --widths
    #[arg(long, value_name = "KIND")]
    pub flex_batch_norm: Option<FlexBatchNorm>,
    /// Codes of --widths
    #[arg(long, value_name = "FORM")]
    pub nested_form: Option<NestedForm>,
    /// Shares of the weights by their bits, such as 1:0.7,2:0.2,3:0.1; they are binarized level by level (docs/hbnn.md)
    #[arg(long, value_name = "BITS:SHARE,BITS:SHARE")]
    pub bit_mix: Option<String>,
    /// Which weights --bit-mix gives most bits
    #[arg(long, value_name = "ORDER")]
    pub bit_order: Option<BitOrder>,
    /// What shares a number of bits under --bit-mix
    #[arg(long, value_name = "WHAT")]
    pub mask_granularity: Option<MaskGranularity>,
    /// Shares of the channels of activations by their bits, in an order that the seed gives
    #[arg(long, value_name = "BITS:SHARE,BITS:SHARE")]
    pub activation_mix: Option<String>,
    /// Build layers (layer-wise), blocks (v1), pairs of blocks (v2), the network (v3) or groups of these many blocks from bases
    #[arg(long, value_name = "NAME|N,N")]
    pub structure: Option<String>,
    /// Bases of each part of the structure [default: 5]
    #[arg(long, value_name = "K")]
    pub bases: Option<u32>,
    /// What the outputs of the bases are multiplied with
    #[arg(long, value_name = "KIND")]
    pub base_scales: Option<BaseScales>,
    /// Whose the layers in the shortcut of a group's first block are
    #[arg(long, value_name = "WHOSE")]
    pub shortcut: Option<Shortcut>,
    /// Learn bit lengths of weights and activations, from those of --bits on: one for the whole network, one for the weights
    /// and one for the activations of every layer, or one for every N neighboring channels of both
    #[arg(long, value_name = "network|layer|channel:N")]
    pub learn_bits: Option<String>,
    /// How a length between two whole ones is computed
    #[arg(long, value_name = "MODE")]
    pub bits_mode: Option<BitsMode>,
    /// What a bit of a length costs
    #[arg(long, value_name = "KIND")]
    pub bits_penalty: Option<BitsPenalty>,
    /// Weight of the penalty on bits in the loss
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub bits_gamma: Option<f64>,
    /// Learning rate of bit lengths; it follows the schedule of the weights' rate
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub bits_lr: Option<f64>,
    /// Epochs after which lengths are rounded up and stay
    #[arg(long, value_name = "N")]
    pub bits_freeze_epoch: Option<u32>,
    /// What a scale of 1-bit weights spans
    #[arg(long, value_name = "KIND")]
    pub weight_scale: Option<WeightScale>,
    /// Upper end of the range of activations, which is 1 for few bits; with it, those in f32 end there too
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Values of 1-bit activations
    #[arg(long, value_name = "KIND")]
    pub binary_activations: Option<BinaryActivations>,
    /// How gradients pass the sign of activations in {-1, +1}
    #[arg(long, value_name = "RULE")]
    pub ste: Option<StraightThrough>,
    /// Multiply the sums of activations in {-1, +1} by their mean magnitude under the kernel's window (XNOR-Net)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub activation_scale: Option<bool>,
    /// Let bases read the mean of all in a learned ratio, between the blocks of a group
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub soft: Option<bool>,
    /// Start with the weights and statistics of this run of the same model, or of one of its checkpoint files
    #[arg(long, value_name = "RUN|FILE")]
    pub init_from: Option<String>,
    /// Cut the run of --init-from to these upper bits of its codes, K of weights and activations or WK,AK, and train its batch
    /// norm alone; further LAYER=BITS are as of eval --bits-map
    #[arg(long, value_name = "K|WK,AK")]
    pub cut_to: Option<String>,
    /// SHA-256 that the checkpoint of `init-from` must have; a run keeps it with its settings.
    #[arg(skip)]
    pub init_sha256: Option<String>,
    /// Learn from the best checkpoint of this run, which is of the same pictures and classes
    #[arg(long, value_name = "RUN")]
    pub teacher: Option<String>,
    /// SHA-256 that the teacher's checkpoint must have; a run keeps it with its settings.
    #[arg(skip)]
    pub teacher_sha256: Option<String>,
    /// Share of the teacher's class scores in the loss; the labels have the rest
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub distill_weight: Option<f64>,
    /// Temperature at which the teacher's class scores are learned
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub distill_temperature: Option<f64>,
    /// Also learn outputs of the teacher's layers, where shapes are equal
    #[arg(long, value_name = "LAYER[=TEACHER'S],...", value_delimiter = ',')]
    pub distill_features: Option<Vec<String>>,
    /// Weight of each layer's mean squared error
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub distill_feature_weight: Option<f64>,
    /// Admit NaN and infinity among the values that a training starts with
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub allow_nonfinite: Option<bool>,
}

impl Settings {
    /// Reads a TOML file and checks every value.
    ///
    /// # Errors
    /// [`SettingsError`] names the key, its line and what is allowed.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let file = shown(path);
        let bytes = match Disk.read(path, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SettingsError::Missing { file });
            }
            Err(_) if path.is_dir() => return Err(SettingsError::Folder { file }),
            Err(error) => return Err(StorageError::at("read", path)(error).into()),
        };
        let text = String::from_utf8(bytes).map_err(|_| SettingsError::Parse {
            file: file.clone(),
            message: "is not UTF-8 text".to_owned(),
        })?;
        Self::parse(&text, &file)
    }

    /// Parses the text of `file`, which is named in messages only, and checks every value.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(text: &str, file: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| SettingsError::Parse {
            file: file.to_owned(),
            message: printable_lines(&error.to_string()),
        })?;
        settings.check().map_err(|(key, value, allowed)| SettingsError::Range {
            key,
            value,
            allowed,
            file: file.to_owned(),
            line: line_of(text, key),
        })?;
        Ok(settings)
    }

    /// Checks values that came by flag.
    ///
    /// # Errors
    /// [`SettingsError::Range`] for the first value outside its range.
    pub fn check_flags(&self) -> Result<(), SettingsError> {
        self.check().map_err(|(key, value, allowed)| SettingsError::Range {
            key,
            value,
            allowed,
            file: String::new(),
            line: 0,
        })
    }
}

/// The line of a key's value in a text that parsed, from 1.
fn line_of(text: &str, key: &str) -> usize {
    let table = toml::de::DeTable::parse(text).expect("the text parsed before");
    let start = table.get_ref().get(key).map_or(0, |value| value.span().start);
    text[..start].lines().count().max(1)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
