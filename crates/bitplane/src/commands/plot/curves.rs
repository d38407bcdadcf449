//! Accuracy and loss over epochs, one color a run, or a width of a FlexNet.

use super::subject::{Subject, by_width, names, title};
use super::{Drawn, line};
use crate::plot::chart::{Chart, Mark, Panel, Style};
use crate::plot::scale::Scale;
use crate::report::EpochRecord;

type Get = fn(&EpochRecord) -> f64;

pub fn draw(runs: &[Subject]) -> Drawn {
    let subjects = &by_width(runs);
    let accuracy =
        panel(subjects, "accuracy", [|r: &EpochRecord| r.test_accuracy, |r: &EpochRecord| r.train_accuracy]);
    let loss = panel(subjects, "loss", [|r: &EpochRecord| r.test_loss, |r: &EpochRecord| r.train_loss]);
    let legend = names(subjects).into_iter().enumerate().map(|(run, name)| (name, Style::of(run)));
    let chart = Chart {
        title: title(subjects),
        note: "test set in full lines, training set dotted".to_owned(),
        legend: legend.collect(),
        panels: vec![accuracy, loss],
    };
    let lines = runs.iter().flat_map(|s| s.records.iter().map(|record| line(s, record)));
    Drawn { chart, lines: lines.collect() }
}

/// A panel of what the test set gives, and faint what the training set gives.
fn panel(subjects: &[Subject], name: &str, get: [Get; 2]) -> Panel {
    let points = |subject: &Subject, get: Get| -> Vec<[f64; 2]> {
        subject.records.iter().map(|record| [f64::from(record.epoch), get(record)]).collect()
    };
    let curve = |run: usize, faint: bool| {
        let points = points(&subjects[run], get[usize::from(faint)]);
        Mark::Curve { points, style: Style::of(run), faint }
    };
    let faint = (0..subjects.len()).map(|run| curve(run, true));
    let marks: Vec<Mark> = faint.chain((0..subjects.len()).map(|run| curve(run, false))).collect();
    let epochs = subjects.iter().map(|subject| subject.records.len()).max().unwrap_or(1);
    let values = subjects.iter().flat_map(|s| s.records.iter().flat_map(|r| get.map(|get| get(r))));
    let known = values.filter(|value| value.is_finite());
    let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    Panel {
        title: String::new(),
        x_name: "epoch".to_owned(),
        y_name: name.to_owned(),
        x: Scale::whole(1, u32::try_from(epochs).unwrap_or(u32::MAX), 8),
        y: Scale::linear(low, high, 5, true),
        marks,
    }
}
