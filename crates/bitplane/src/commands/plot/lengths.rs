//! Learned bit lengths over epochs, one color a length.

use super::subject::{Subject, title};
use super::{Drawn, line};
use crate::exit::Failure;
use crate::plot::chart::{Chart, Mark, Panel, Style};
use crate::plot::scale::Scale;

/// Draws the lengths of weights and of activations.
///
/// # Errors
/// A run that has learned none.
pub fn draw(subject: &Subject) -> Result<Drawn, Failure> {
    let recorded = subject.records.iter().filter_map(|record| Some((record.epoch, record.bits.as_ref()?)));
    let recorded: Vec<_> = recorded.collect();
    let Some((_, first)) = recorded.first() else {
        let message = format!("{} has learned no bit lengths", subject.path.display());
        return Err(Failure::Usage { message });
    };
    let names: Vec<&String> = first.lengths.keys().collect();
    let mark = |(at, name): (usize, &&String)| {
        let points = recorded
            .iter()
            .filter_map(|(epoch, record)| Some([f64::from(*epoch), *record.lengths.get(*name)?]));
        Mark::Curve { points: points.collect(), style: Style::of(at), faint: false }
    };
    let panel = |of_weights: bool| {
        let own = |(_, name): &(usize, &&String)| name.contains(".weight_length") == of_weights;
        Panel {
            title: if of_weights { "weights" } else { "activations" }.to_owned(),
            x_name: "epoch".to_owned(),
            y_name: "bits".to_owned(),
            x: Scale::whole(1, recorded.last().map_or(1, |(epoch, _)| *epoch), 8),
            y: Scale::linear(1.0, 8.0, 7, true),
            marks: names.iter().enumerate().filter(own).map(mark).collect(),
        }
    };
    let short = |name: &str| {
        let (layer, parameter) = name.rsplit_once('.').unwrap_or((name, ""));
        format!("{layer}{}", parameter.find('[').map_or("", |group| &parameter[group..]))
    };
    let legend = names.iter().enumerate().map(|(at, name)| (short(name), Style::of(at)));
    let chart = Chart {
        title: title(std::slice::from_ref(subject)),
        note: String::new(),
        legend: legend.collect(),
        panels: vec![panel(true), panel(false)],
    };
    Ok(Drawn { chart, lines: subject.records.iter().map(|record| line(subject, record)).collect() })
}
