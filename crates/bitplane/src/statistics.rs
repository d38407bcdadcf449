//! What is kept of the values that layers compute with: histograms, and a few figures of their health.

use std::collections::BTreeMap;

use graph::{Data, NamedTensor, Observed, Quantity};
use serde::{Deserialize, Serialize};

/// Bins of a histogram; their number is odd, so that 0 is the middle of one where values have either sign.
pub const BINS: usize = 101;

/// What a histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// Weights.
    Weights,
    /// What the layer's forward product reads.
    Activations,
    /// Gradients of the layer's output.
    Gradients,
}

impl From<Quantity> for Of {
    fn from(quantity: Quantity) -> Self {
        match quantity {
            Quantity::Weights => Self::Weights,
            Quantity::Activations => Self::Activations,
            Quantity::Gradients => Self::Gradients,
        }
    }
}

/// Counts of f32 values in bins of equal width from `low` to `high`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Left end of the first bin.
    pub low: f64,
    /// Right end of the last bin.
    pub high: f64,
    /// Values of each bin.
    pub counts: Vec<u64>,
    /// Sum of the finite values.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
    /// Smallest finite value.
    pub least: f64,
    /// Largest finite value.
    pub most: f64,
    /// Values that are NaN or infinite, which no bin counts.
    pub not_finite: u64,
}

/// Counts of codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeCounts {
    /// Bits of a code.
    pub bits: u32,
    /// True where code q of `n = 2^bits - 1` stands for `(2q - n) / n` times the scale, false where it stands
    /// for `q / n`.
    pub signed: bool,
    /// The scale, or the mean of the samples' scales.
    pub scale: f64,
    /// How often each code occurs.
    pub counts: Vec<u64>,
}

/// One line of `histograms.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramRecord {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Steps done in all.
    pub step: u32,
    /// Layer.
    pub layer: String,
    /// What is counted.
    pub of: Of,
    /// f32 values: of weights the latent ones, of gradients those before quantization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Histogram>,
    /// Codes, where the layer computes with codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodeCounts>,
}

/// One line of `diagnostics.jsonl`; what does not apply to the layer is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiagnosticRecord {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Steps done in all.
    pub step: u32,
    /// Layer.
    pub layer: String,
    /// Share of the activations that the layer reads with code 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturated_low: Option<f64>,
    /// Share of them with the top code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturated_high: Option<f64>,
    /// Share of the layer's weights whose sign is not that at the end of the epoch before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_flips: Option<f64>,
    /// Mean over the samples of the largest magnitude in the gradient of the layer's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_scale: Option<f64>,
}

/// What was collected at the end of one epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Histograms, layer by layer.
    pub histograms: Vec<HistogramRecord>,
    /// Figures, one record a layer.
    pub diagnostics: Vec<DiagnosticRecord>,
}

/// Signs of the weights of each layer: true below 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signs(BTreeMap<String, Vec<bool>>);

impl Signs {
    /// Those of `layers` in a saved state.
    pub fn of(layers: &[String], tensors: &[NamedTensor]) -> Self {
        let of = |layer: &String| {
            let name = format!("{layer}.weight");
            let tensor = tensors.iter().find(|tensor| tensor.name == name)?;
            Some((layer.clone(), tensor.values.iter().map(|value| *value < 0.0).collect()))
        };
        Self(layers.iter().filter_map(of).collect())
    }

    /// The share of the weights of `layer` whose sign differs from that in `before`.
    pub fn flips(&self, before: &Self, layer: &str) -> Option<f64> {
        let (now, before) = (self.0.get(layer)?, before.0.get(layer)?);
        let flips = now.iter().zip(before).filter(|(now, before)| now != before).count();
        (!now.is_empty() && now.len() == before.len()).then(|| flips as f64 / now.len() as f64)
    }
}

/// Gathers the parts of a batch.
#[derive(Debug, Default)]
pub struct Collector(BTreeMap<(String, Of), Parts>);

#[derive(Debug, Default)]
struct Parts {
    values: Vec<f32>,
    /// The largest magnitude of each sample's values.
    maxima: Vec<f32>,
    codes: Option<CodeCounts>,
    scales: Vec<f32>,
}

impl Collector {
    /// Adds one part.
    pub fn add(&mut self, part: Observed) {
        let parts = self.0.entry((part.layer, part.quantity.into())).or_default();
        match part.data {
            Data::Values { values, samples } => {
                let each = values.len().div_ceil(samples.max(1)).max(1);
                let maximum =
                    |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                parts.maxima.extend(values.chunks(each).map(maximum));
                parts.values.extend(values);
            }
            Data::Codes { codes, bits, signed, scales } => {
                let none = || CodeCounts { bits, signed, scale: 0.0, counts: vec![0; 1 << bits] };
                let counts = &mut parts.codes.get_or_insert_with(none).counts;
                codes.iter().for_each(|code| counts[usize::from(*code)] += 1);
                parts.scales.extend(scales);
            }
        }
    }

    /// The records of `layers` at the end of `epoch`, where the weights have the signs `now` and had those
    /// `before`.
    pub fn finish(
        self,
        (epoch, step): (u32, u32),
        layers: &[String],
        now: &Signs,
        before: Option<&Signs>,
    ) -> Statistics {
        let mut statistics = Statistics::default();
        let mut all = self.0;
        for layer in layers {
            let sign_flips = before.and_then(|before| now.flips(before, layer));
            let mut figures = DiagnosticRecord {
                epoch,
                step,
                layer: layer.clone(),
                sign_flips,
                ..DiagnosticRecord::default()
            };
            for of in [Of::Weights, Of::Activations, Of::Gradients] {
                let Some(parts) = all.remove(&(layer.clone(), of)) else { continue };
                if of == Of::Gradients {
                    figures.gradient_scale = mean(&parts.maxima);
                }
                let (values, codes) = parts.counted();
                if let (Of::Activations, Some(codes)) = (of, &codes) {
                    let total = codes.counts.iter().sum::<u64>().max(1) as f64;
                    figures.saturated_low = codes.counts.first().map(|count| *count as f64 / total);
                    figures.saturated_high = codes.counts.last().map(|count| *count as f64 / total);
                }
                let layer = layer.clone();
                statistics.histograms.push(HistogramRecord { epoch, step, layer, of, values, codes });
            }
            statistics.diagnostics.push(figures);
        }
        statistics
    }
}

impl Parts {
    fn counted(self) -> (Option<Histogram>, Option<CodeCounts>) {
        let scale = mean(&self.scales).unwrap_or(1.0);
        let values = (!self.values.is_empty()).then(|| Histogram::of(&self.values));
        (values, self.codes.map(|codes| CodeCounts { scale, ..codes }))
    }
}

fn mean(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    Some(sum / values.len() as f64).filter(|mean| mean.is_finite())
}

impl Histogram {
    /// Counts `values`; where they have either sign, as far to the left of 0 as to the right.
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
        let least = finite().fold(f64::INFINITY, f64::min);
        let most = finite().fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if least <= most { (least, most) } else { (0.0, 0.0) };
        let (mut low, mut high) = (least, most);
        if low < 0.0 && high > 0.0 {
            (low, high) = ((-high).min(low), high.max(-low));
        }
        if low == high {
            let margin = low.abs().max(1e-30) / 2.0;
            (low, high) = (low - margin, high + margin);
        }
        let mut counts = vec![0; BINS];
        for value in finite() {
            let bin = ((value - low) / (high - low) * BINS as f64) as usize;
            counts[bin.min(BINS - 1)] += 1;
        }
        Self {
            low,
            high,
            not_finite: values.len() as u64 - counts.iter().sum::<u64>(),
            counts,
            sum: finite().sum(),
            sum_of_squares: finite().map(|value| value * value).sum(),
            least,
            most,
        }
    }

    /// The ends of the bins, one more than bins.
    pub fn edges(&self) -> Vec<f64> {
        let width = (self.high - self.low) / self.counts.len().max(1) as f64;
        (0..=self.counts.len()).map(|edge| self.low + edge as f64 * width).collect()
    }
}

impl CodeCounts {
    /// What code `code` stands for, in units of the scale.
    pub fn value(&self, code: usize) -> f64 {
        let most = (self.counts.len() - 1) as f64;
        if self.signed { (2.0 * code as f64 - most) / most } else { code as f64 / most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin() {
        let histogram = Histogram::of(&[-1.0, 0.0, 0.0, 0.5, f32::NAN, f32::INFINITY]);
        assert_eq!((histogram.low, histogram.high, histogram.not_finite), (-1.0, 1.0, 2));
        let filled: Vec<(usize, u64)> =
            histogram.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0, 1), (50, 2), (75, 1)], "0 is in the middle bin");
        assert_eq!((histogram.sum, histogram.sum_of_squares), (-0.5, 1.25));
        assert_eq!((histogram.least, histogram.most), (-1.0, 0.5));
        assert_eq!(histogram.edges().len(), BINS + 1);
        for values in [&[][..], &[0.0], &[3.0, 3.0], &[f32::NAN]] {
            let histogram = Histogram::of(values);
            let counted = histogram.counts.iter().sum::<u64>() + histogram.not_finite;
            assert_eq!(counted, values.len() as u64);
            assert!(histogram.low < histogram.high, "{values:?}");
        }
    }

    #[test]
    fn parts_of_a_batch_add_up() {
        let mut collector = Collector::default();
        let observed = |quantity, data| Observed { layer: "a".to_owned(), quantity, data };
        for codes in [vec![0, 3, 3], vec![1, 0, 0]] {
            let data = Data::Codes { codes, bits: 2, signed: false, scales: vec![1.0] };
            collector.add(observed(Quantity::Activations, data));
        }
        for values in [vec![1.0, -4.0, 2.0, 0.5], vec![0.0, 0.0, 6.0, -1.0]] {
            collector.add(observed(Quantity::Gradients, Data::Values { values, samples: 2 }));
        }
        let tensor = |values: Vec<f32>| {
            [NamedTensor { name: "a.weight".to_owned(), shape: vec![values.len()], values }]
        };
        let layers = ["a".to_owned()];
        let before = Signs::of(&layers, &tensor(vec![0.5, -0.5, 0.0, 1.0]));
        let now = Signs::of(&layers, &tensor(vec![-0.5, -0.1, -0.0, 2.0]));
        let statistics = collector.finish((3, 30), &layers, &now, Some(&before));
        let wanted = DiagnosticRecord {
            epoch: 3,
            step: 30,
            layer: "a".to_owned(),
            saturated_low: Some(0.5),
            saturated_high: Some(2.0 / 6.0),
            sign_flips: Some(0.25),
            gradient_scale: Some((4.0 + 2.0 + 0.0 + 6.0) / 4.0),
        };
        assert_eq!(statistics.diagnostics, [wanted]);
        let [activations, gradients] = statistics.histograms.as_slice() else { panic!("two histograms") };
        assert_eq!(activations.codes.as_ref().unwrap().counts, [3, 1, 0, 2]);
        assert_eq!((activations.values.as_ref(), gradients.codes.as_ref()), (None, None));
        assert_eq!(gradients.values.as_ref().unwrap().counts.iter().sum::<u64>(), 8);
    }

    #[test]
    fn codes_stand_for_values() {
        let codes = |signed| CodeCounts { bits: 2, signed, scale: 1.0, counts: vec![0; 4] };
        assert_eq!([0, 1, 3].map(|code| codes(false).value(code)), [0.0, 1.0 / 3.0, 1.0]);
        assert_eq!([0, 1, 3].map(|code| codes(true).value(code)), [-1.0, -1.0 / 3.0, 1.0]);
    }
}
