//! Pictures of what `train --histograms` collected: one layer's histograms, or figures of all layers over
//! epochs.

use std::path::Path;

use super::subject::{Subject, names, title};
use super::{Drawn, line};
use crate::cli::plot::PlotOf;
use crate::exit::Failure;
use crate::plot::chart::{Chart, Mark, Panel, Style};
use crate::plot::scale::Scale;
use crate::run::{Log, RunError, read_log};
use crate::statistics::{CodeCounts, DiagnosticRecord, Histogram, HistogramRecord, Of};

/// Bars narrower than this, as a part of the axis, become an outline.
const NARROWEST: f64 = 0.004;
/// Codes with a mark of their own on the axis.
const MOST_MARKED: usize = 16;

/// The histograms of `layer`, one color an epoch; without `epochs` the first, middle and last.
///
/// # Errors
/// Nothing collected of this layer and these epochs.
pub fn histograms(subject: &Subject, layer: &str, of: Of, epochs: &[u32]) -> Result<Drawn, Failure> {
    let records: Vec<HistogramRecord> = read_log(&subject.path, Log::Histograms)?;
    if records.is_empty() {
        return Err(missing(&subject.path, "it has no histograms; train with --histograms LAYER".to_owned()));
    }
    let of_layer: Vec<&HistogramRecord> =
        records.iter().filter(|record| record.layer == layer && record.of == of).collect();
    if of_layer.is_empty() {
        let mut layers: Vec<&str> = records.iter().map(|record| record.layer.as_str()).collect();
        layers.dedup();
        layers.sort_unstable();
        layers.dedup();
        let layers = data::printable(&layers.join(", "));
        let message = format!("it has histograms of {layers}, none of `{}`", data::printable(layer));
        return Err(missing(&subject.path, message));
    }
    let collected: Vec<u32> = of_layer.iter().map(|record| record.epoch).collect();
    let wanted = if epochs.is_empty() { spread(&collected) } else { epochs.to_vec() };
    let find = |epoch: &u32| {
        of_layer.iter().copied().find(|record| record.epoch == *epoch).ok_or_else(|| {
            let known: Vec<String> = collected.iter().map(u32::to_string).collect();
            let message = format!("it has histograms of epochs {}, none of epoch {epoch}", known.join(", "));
            missing(&subject.path, message)
        })
    };
    let chosen = wanted.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let name = |record: &&HistogramRecord| match (&record.codes, of) {
        (Some(codes), Of::Weights) if codes.bits == 1 => {
            format!("epoch {}, scale {:.3e}", record.epoch, codes.scale)
        }
        (Some(codes), Of::Gradients) => format!("epoch {}, mean scale {:.3e}", record.epoch, codes.scale),
        _ => format!("epoch {}", record.epoch),
    };
    let what = match of {
        Of::Weights => "weights",
        Of::Activations => "activations",
        Of::Gradients => "gradients",
    };
    let legend = chosen.iter().enumerate().map(|(at, record)| (name(record), Style::of(at)));
    let values: Vec<(usize, &Histogram)> =
        chosen.iter().enumerate().filter_map(|(at, record)| Some((at, record.values.as_ref()?))).collect();
    let codes: Vec<(usize, &CodeCounts)> =
        chosen.iter().enumerate().filter_map(|(at, record)| Some((at, record.codes.as_ref()?))).collect();
    let mut panels = Vec::new();
    if !values.is_empty() {
        panels.push(value_panel(&values, of));
    }
    if !codes.is_empty() {
        panels.push(code_panel(&codes, of));
    }
    let chart = Chart {
        title: format!("{what} of {layer}"),
        note: format!(
            "{}, {}",
            title(std::slice::from_ref(subject)),
            names(std::slice::from_ref(subject))[0]
        ),
        legend: legend.collect(),
        panels,
    };
    Ok(Drawn { chart, lines: chosen.iter().map(|record| line(subject, record)).collect() })
}

/// Figures of every collected layer over epochs.
///
/// # Errors
/// Nothing collected.
pub fn figures(subject: &Subject, of: PlotOf) -> Result<Drawn, Failure> {
    type Get = fn(&DiagnosticRecord) -> Option<f64>;
    let panels: &[(&str, &str, Get)] = match of {
        PlotOf::Saturation => &[
            ("at code 0", "share of activations", |record| record.saturated_low),
            ("at the top code", "share of activations", |record| record.saturated_high),
        ],
        PlotOf::SignFlips => &[("", "share of weights with another sign", |record| record.sign_flips)],
        _ => &[("", "mean largest gradient of a sample", |record| record.gradient_scale)],
    };
    let records: Vec<DiagnosticRecord> = read_log(&subject.path, Log::Diagnostics)?;
    let has_any = |record: &&DiagnosticRecord| panels.iter().any(|(.., get)| get(record).is_some());
    let mut layers: Vec<&str> = Vec::new();
    for record in records.iter().filter(has_any) {
        if !layers.contains(&record.layer.as_str()) {
            layers.push(&record.layer);
        }
    }
    if layers.is_empty() {
        let message = "nothing of this was collected; train with --histograms all".to_owned();
        return Err(missing(&subject.path, message));
    }
    let panel = |(panel_title, name, get): &(&str, &str, Get)| {
        let curve = |(at, layer): (usize, &&str)| {
            let of_layer = records.iter().filter(|record| record.layer == **layer);
            let points = of_layer.filter_map(|record| Some([f64::from(record.epoch), get(record)?]));
            Mark::Curve { points: points.collect(), style: Style::of(at), faint: false }
        };
        let values: Vec<f64> = records.iter().filter_map(get).collect();
        let (first, last) = records.iter().fold((u32::MAX, 1), |(a, b), r| (a.min(r.epoch), b.max(r.epoch)));
        let y = match of {
            PlotOf::GradientScale => log_scale(values.iter().copied()),
            _ => Scale::linear(0.0, values.iter().copied().fold(0.0, f64::max), 5, true),
        };
        Panel {
            title: (*panel_title).to_owned(),
            x_name: "epoch".to_owned(),
            y_name: (*name).to_owned(),
            x: Scale::whole(first.min(last), last, 8),
            y,
            marks: layers.iter().enumerate().map(curve).collect(),
        }
    };
    let what = match of {
        PlotOf::Saturation => "saturated activations",
        PlotOf::SignFlips => "sign flips of weights between epochs",
        _ => "scale of gradients",
    };
    let chart = Chart {
        title: what.to_owned(),
        note: format!(
            "{}, {}",
            title(std::slice::from_ref(subject)),
            names(std::slice::from_ref(subject))[0]
        ),
        legend: layers
            .iter()
            .enumerate()
            .map(|(at, layer)| (data::printable(layer), Style::of(at)))
            .collect(),
        panels: panels.iter().map(panel).collect(),
    };
    Ok(Drawn { chart, lines: records.iter().map(|record| line(subject, record)).collect() })
}

fn missing(path: &Path, message: String) -> Failure {
    RunError::Incomplete { path: path.to_owned(), message }.into()
}

/// The first, the middle and the last.
fn spread(epochs: &[u32]) -> Vec<u32> {
    let mut chosen = vec![epochs[0], epochs[epochs.len() / 2], epochs[epochs.len() - 1]];
    chosen.dedup();
    chosen
}

/// Latent or f32 values as outlines.
fn value_panel(values: &[(usize, &Histogram)], of: Of) -> Panel {
    let low = values.iter().map(|(_, histogram)| histogram.low).fold(f64::INFINITY, f64::min);
    let high = values.iter().map(|(_, histogram)| histogram.high).fold(f64::NEG_INFINITY, f64::max);
    let counts = values.iter().flat_map(|(_, histogram)| histogram.counts.iter().map(|count| *count as f64));
    let outline = |(at, histogram): &(usize, &Histogram)| Mark::Steps {
        edges: histogram.edges(),
        counts: histogram.counts.iter().map(|count| *count as f64).collect(),
        style: Style::of(*at),
    };
    Panel {
        title: match of {
            Of::Weights => "latent weights",
            Of::Activations => "values",
            Of::Gradients => "before quantization",
        }
        .to_owned(),
        x_name: "value".to_owned(),
        y_name: "count".to_owned(),
        x: Scale::linear(low, high, 5, false),
        y: log_scale(counts),
        marks: values.iter().map(outline).collect(),
    }
}

/// Codes as bars side by side, or as outlines where bars would be too narrow to see.
fn code_panel(codes: &[(usize, &CodeCounts)], of: Of) -> Panel {
    let (_, first) = codes[0];
    let (len, last) = (first.counts.len(), first.counts.len() - 1);
    let step = first.value(1) - first.value(0);
    let (low, high) = (first.value(0) - step / 2.0, first.value(last) + step / 2.0);
    let width = 0.8 * step / codes.len() as f64;
    let is_narrow = width / (high - low) < NARROWEST;
    let mark = |(place, (at, counted)): (usize, &(usize, &CodeCounts))| {
        let style = Style { dash: None, ..Style::of(*at) };
        let counts: Vec<f64> = counted.counts.iter().map(|count| *count as f64).collect();
        if is_narrow {
            let edges = (0..=len).map(|code| low + code as f64 * step).collect();
            return Mark::Steps { edges, counts, style };
        }
        let left = |code: usize| counted.value(code) - 0.4 * step + place as f64 * width;
        let bars = counts.iter().enumerate().map(|(code, count)| [left(code), left(code) + width, *count]);
        Mark::Bars { bars: bars.collect(), style }
    };
    let x = if len <= MOST_MARKED {
        let mark = |code: usize| (first.value(code), short(first.value(code)));
        Scale::marked(low, high, (0..len).map(mark).collect())
    } else {
        Scale::linear(low, high, 4, false)
    };
    let counts = codes.iter().flat_map(|(_, counted)| counted.counts.iter().map(|count| *count as f64));
    Panel {
        title: format!("codes of {} bit{}", first.bits, if first.bits == 1 { "" } else { "s" }),
        x_name: match of {
            Of::Weights if first.bits == 1 => "value / scale",
            Of::Gradients => "value / scale of its sample",
            _ => "value",
        }
        .to_owned(),
        y_name: "count".to_owned(),
        x,
        y: log_scale(counts),
        marks: codes.iter().enumerate().map(mark).collect(),
    }
}

/// A logarithmic axis over what is above 0.
fn log_scale(values: impl Iterator<Item = f64>) -> Scale {
    let positive = values.filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(a, b), value| (a.min(value), b.max(value)));
    if low > high { Scale::log(1.0, 10.0) } else { Scale::log(low * 0.6, high * 1.3) }
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.replace('-', "\u{2212}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_middle_and_last_epoch_are_shown() {
        assert_eq!(spread(&[5]), [5]);
        assert_eq!(spread(&[5, 10]), [5, 10]);
        assert_eq!(spread(&[1, 2, 3, 4, 5]), [1, 3, 5]);
    }

    #[test]
    fn codes_are_bars_side_by_side_or_an_outline() {
        let counted = |bits: u32| CodeCounts { bits, signed: true, scale: 1.0, counts: vec![7; 1 << bits] };
        let (few, many) = (counted(2), counted(8));
        let panel = code_panel(&[(0, &few), (1, &few)], Of::Gradients);
        let [Mark::Bars { bars: a, .. }, Mark::Bars { bars: b, .. }] = panel.marks.as_slice() else {
            panic!("bars: {panel:?}")
        };
        let mut all: Vec<[f64; 3]> = a.iter().chain(b).copied().collect();
        all.sort_by(|a, b| a[0].total_cmp(&b[0]));
        assert_eq!(all.len(), 8);
        assert!(all.windows(2).all(|pair| pair[0][1] <= pair[1][0] + 1e-12), "{all:?}");
        assert_eq!(
            panel.x.ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["−1", "−0.33", "0.33", "1"]
        );
        let panel = code_panel(&[(0, &many), (1, &many)], Of::Gradients);
        assert!(matches!(panel.marks[0], Mark::Steps { .. }), "{panel:?}");
    }
}
