//! What a run reports, as JSON; field names are a promise to scripts.

use gpu::AdapterInfo;
use graph::ProductNote;
use serde::{Deserialize, Serialize};

use crate::evaluation::Totals;
use crate::exit::Failure;
use crate::learned_bits::LengthRecord;
use crate::output;

/// Version of the JSON objects below.
pub const SCHEMA: u32 = 1;

/// One line of a run's metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Steps done in all.
    pub step: u32,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Mean loss over the training samples, as they were met.
    pub train_loss: f64,
    /// Fraction of training samples guessed right, as they were met.
    pub train_accuracy: f64,
    /// Mean loss over the test samples.
    pub test_loss: f64,
    /// Fraction of test samples guessed right.
    pub test_accuracy: f64,
    /// Fraction of test samples whose class was among the first five guesses.
    pub test_top5_accuracy: f64,
    /// Seconds of the epoch with its evaluation, in the process that ended it.
    pub seconds: f64,
    /// Training images per second, without evaluation.
    pub images_per_second: f64,
    /// Results of every width of a FlexNet, the widest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<WidthRecord>,
    /// Learned bit lengths, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<LengthRecord>,
}

/// The test results of one width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WidthRecord {
    /// Bits of weights and activations.
    pub bits: u32,
    /// Mean loss.
    pub test_loss: f64,
    /// Fraction guessed right.
    pub test_accuracy: f64,
    /// Fraction whose class was among the first five guesses.
    pub test_top5_accuracy: f64,
}

impl WidthRecord {
    /// The results of `bits` bits.
    pub fn new(bits: u32, totals: &Totals) -> Self {
        Self {
            bits,
            test_loss: totals.loss(),
            test_accuracy: totals.accuracy(),
            test_top5_accuracy: totals.top5_accuracy(),
        }
    }
}

/// The adapter that was used.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// Name.
    pub name: String,
    /// Graphics API.
    pub backend: String,
    /// Kind of adapter.
    pub r#type: String,
    /// Driver and its version.
    pub driver: String,
}

impl From<&AdapterInfo> for DeviceReport {
    fn from(info: &AdapterInfo) -> Self {
        Self {
            name: data::printable(&info.name),
            backend: info.backend.clone(),
            r#type: info.device_type.to_string(),
            driver: data::printable(format!("{} {}", info.driver, info.driver_info).trim()),
        }
    }
}

/// Which kernel computes one product of one layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Layer name.
    pub name: String,
    /// `forward`, `grad_input` or `grad_weight`.
    pub pass: String,
    /// Kernel name.
    pub kernel: String,
    /// The kernel's tuning values, where several kernels compete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tactic: Option<String>,
    /// What the kernel computes with: `bits`, `dot4` or `f32`.
    pub arithmetic: String,
    /// Pairs of bit planes multiplied; 0 for a product of bytes or of f32.
    pub plane_pairs: u32,
    /// Why the product is not computed on bits or not on the wanted arithmetic, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<&ProductNote> for LayerReport {
    fn from(note: &ProductNote) -> Self {
        Self {
            name: note.layer.clone(),
            pass: note.pass.to_string(),
            kernel: note.kernel.to_string(),
            tactic: note.tactic.map(|(_, tactic)| tactic.to_string()),
            arithmetic: note.arithmetic().to_string(),
            plane_pairs: note.plane_pairs,
            reason: note.reason.as_ref().map(ToString::to_string),
        }
    }
}

/// The result of `train`.
#[derive(Debug, Serialize)]
pub struct TrainReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Model name.
    pub model: String,
    /// Data set name.
    pub data: String,
    /// Bits of weights, activations and gradients.
    pub bits: [u32; 3],
    /// Seed.
    pub seed: u64,
    /// The adapter.
    pub device: DeviceReport,
    /// Trainable values.
    pub parameters: u64,
    /// Products and their kernels.
    pub layers: Vec<LayerReport>,
    /// Bits of the mean weight under `--bit-mix`, or of learned lengths at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_bits: Option<f64>,
    /// Bits of the mean activation of learned lengths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_activation_bits: Option<f64>,
    /// Planes of the mean packed word, where a product skips empty mask words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_planes: Option<f64>,
    /// Metrics of every epoch of the run.
    pub epochs: Vec<EpochRecord>,
    /// Highest test accuracy.
    pub best_test_accuracy: f64,
    /// Its epoch.
    pub best_epoch: u32,
    /// Bytes of all buffers on the device.
    pub gpu_bytes: u64,
    /// Times that training went on from a checkpoint after the device failed.
    pub recoveries: u32,
    /// The run folder.
    pub run: String,
}

/// The result of `eval`.
#[derive(Debug, Serialize)]
pub struct EvalReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run folder.
    pub run: String,
    /// The checkpoint's file name.
    pub checkpoint: String,
    /// Model name.
    pub model: String,
    /// Data set name.
    pub data: String,
    /// Bits of weights, activations and gradients.
    pub bits: [u32; 3],
    /// `correct / total`.
    pub test_accuracy: f64,
    /// Samples guessed right.
    pub correct: u64,
    /// Samples whose class was among the first five guesses.
    pub top5: u64,
    /// Samples.
    pub total: u64,
    /// Mean loss.
    pub loss: f64,
    /// The adapter.
    pub device: DeviceReport,
    /// Products and their kernels.
    pub layers: Vec<LayerReport>,
}

/// Prints one JSON object as one line on standard output.
///
/// # Errors
/// [`Failure::Output`].
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    output::result(&serde_json::to_string(value).expect("reports are plain values"))
}

/// `1536` as `1.5 KiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1234567` as `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1536, 3 << 30].map(bytes), ["0 bytes", "1023 bytes", "1.5 KiB", "3.0 GiB"]);
    }
}
