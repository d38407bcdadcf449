//! The picture of a sweep whose points have bits on average: accuracy over them, a curve for each way to choose them.

use std::collections::BTreeSet;

use super::results::{Group, Results};
use crate::average_bits::AverageBits;
use crate::plot::chart::{Chart, Mark, Panel, Style};
use crate::plot::scale::Scale;

/// Settings that say how many bits there are; what else differs makes a curve of its own.
const HOW_MANY: [&str; 4] = ["bits", "bit-mix", "activation-mix", "bits-gamma"];

/// Settings with their values.
type Key = Vec<(String, String)>;

/// Which bits the axis shows.
type Get = fn(&AverageBits) -> f64;

/// One measured group: its bits, the lowest, the mean and the highest accuracy.
struct Measured {
    bits: f64,
    range: [f64; 2],
    mean: f64,
}

/// Whether [`svg`] draws something.
pub fn is_drawn(results: &Results) -> bool {
    known(results).next().is_some()
}

/// Groups with their bits and mean accuracy.
fn known(results: &Results) -> impl Iterator<Item = (&Group, AverageBits, f64)> {
    results.groups.iter().filter_map(|group| Some((group, group.average_bits?, group.mean?)))
}

/// An SVG of the groups that have a finished point and known bits; nothing where there are none.
pub fn svg(results: &Results) -> Option<String> {
    let known: Vec<(&Group, AverageBits, f64)> = known(results).collect();
    let (axis, of) = axis(&known.iter().map(|(_, bits, _)| *bits).collect::<Vec<_>>())?;
    let mut curves: Vec<(Key, Vec<Measured>)> = Vec::new();
    for (group, bits, mean) in known {
        let key = key(group);
        let at = curves.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            curves.push((key, Vec::new()));
            curves.len() - 1
        });
        let all = || group.accuracies.values().copied();
        let range = [all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)];
        curves[at].1.push(Measured { bits: of(&bits), range, mean });
    }
    curves.iter_mut().for_each(|(_, points)| points.sort_by(|a, b| a.bits.total_cmp(&b.bits)));
    let names = names(&curves.iter().map(|(key, _)| key).collect::<Vec<_>>());
    let chart = Chart {
        title: results.title.clone(),
        note: "mean over seeds, dotted from the lowest to the highest".to_owned(),
        legend: names.into_iter().enumerate().map(|(at, name)| (name, Style::of(at))).collect(),
        panels: vec![panel(&curves, axis)],
    };
    Some(chart.picture().svg())
}

/// The axis' name and its value: of weights or activations where the bits of the others are all the same, else of both.
fn axis(all: &[AverageBits]) -> Option<(&'static str, Get)> {
    let first = all.first()?;
    let same = |get: Get| all.iter().all(|bits| (get(bits) - get(first)).abs() < 1e-9);
    Some(if same(|bits| bits.activations) {
        ("bits of a weight on average", |bits| bits.weights)
    } else if same(|bits| bits.weights) {
        ("bits of an activation on average", |bits| bits.activations)
    } else {
        ("mean of the average bits of weights and activations", |bits| {
            f64::midpoint(bits.weights, bits.activations)
        })
    })
}

/// What tells a group's curve from others.
fn key(group: &Group) -> Key {
    let said = |(key, value): &&(String, String)| !value.is_empty() && !HOW_MANY.contains(&key.as_str());
    group.settings.iter().filter(said).cloned().collect()
}

/// The curves' names: of their settings those that have several values, if that tells all curves apart.
fn names(keys: &[&Key]) -> Vec<String> {
    let values = |name: &str| -> BTreeSet<&String> {
        keys.iter()
            .flat_map(|key| key.iter().filter(|(own, _)| own == name).map(|(_, value)| value))
            .collect()
    };
    let words = |key: &&Key, all: bool| -> String {
        let told = key.iter().filter(|(name, _)| all || name == "model" || values(name).len() > 1);
        let word = |(name, value): &(String, String)| match name.as_str() {
            "model" => value.clone(),
            _ => format!("{name} {value}"),
        };
        told.map(word).collect::<Vec<_>>().join(", ")
    };
    let short: Vec<String> = keys.iter().map(|key| words(key, false)).collect();
    let distinct = short.iter().collect::<BTreeSet<_>>().len() == short.len();
    if distinct { short } else { keys.iter().map(|key| words(key, true)).collect() }
}

fn panel(curves: &[(Key, Vec<Measured>)], axis: &str) -> Panel {
    let all = || curves.iter().flat_map(|(_, points)| points);
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (least, most) = span(&mut all().map(|point| point.bits));
    let (low, high) = span(&mut all().flat_map(|point| point.range));
    let styled = || curves.iter().enumerate().map(|(at, (_, points))| (Style::of(at), points));
    let range = |(style, points): (Style, &Vec<Measured>)| -> Vec<Mark> {
        let line = |point: &Measured| point.range.map(|accuracy| [point.bits, accuracy]).to_vec();
        points.iter().map(|point| Mark::Curve { points: line(point), style, faint: true }).collect()
    };
    let means = |(style, points): (Style, &Vec<Measured>)| Mark::Curve {
        points: points.iter().map(|point| [point.bits, point.mean]).collect(),
        style,
        faint: false,
    };
    Panel {
        title: String::new(),
        x_name: axis.to_owned(),
        y_name: "best test accuracy".to_owned(),
        x: Scale::linear(least, most, 6, true),
        y: Scale::linear(low, high, 6, true),
        marks: styled().flat_map(range).chain(styled().map(means)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn group(order: &str, mix: &str, [weights, activations]: [f64; 2], accuracies: [f64; 2]) -> Group {
        let settings = [("model", "m"), ("bit-mix", mix), ("bit-order", order)];
        Group {
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            accuracies: BTreeMap::from([(0, accuracies[0]), (1, accuracies[1])]),
            mean: Some(f64::midpoint(accuracies[0], accuracies[1])),
            deviation: None,
            published: None,
            average_bits: Some(AverageBits { weights, activations }),
        }
    }

    fn results(groups: Vec<Group>) -> Results {
        let (points, comparisons) = (Vec::new(), Vec::new());
        Results { schema: 1, title: "t".to_owned(), folder: String::new(), points, groups, comparisons }
    }

    #[test]
    fn a_curve_joins_the_groups_that_differ_in_their_bits_alone() {
        let groups = vec![
            group("random", "2:1", [2.0, 4.0], [0.5, 0.7]),
            group("random", "1:1", [1.0, 4.0], [0.3, 0.5]),
            group("top-down", "1:1", [1.0, 4.0], [0.2, 0.4]),
        ];
        let picture = svg(&results(groups)).expect("bits are known");
        assert!(picture.contains("bits of a weight on average"), "{picture}");
        for curve in ["m, bit-order random", "m, bit-order top-down"] {
            assert_eq!(picture.matches(curve).count(), 1, "{curve} in the legend of {picture}");
        }
        assert_eq!(picture.matches("<circle").count(), 3, "a disk a group: {picture}");
    }

    #[test]
    fn a_curve_is_named_by_what_several_curves_set_differently() {
        let key = |text: &str| -> Key {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let found = |texts: &[&str]| {
            let keys: Vec<Key> = texts.iter().map(|text| key(text)).collect();
            names(&keys.iter().collect::<Vec<_>>())
        };
        assert_eq!(
            found(&["model=m", "model=m lr=2 mode=nested", "model=m lr=2 mode=exact"]),
            ["m", "m, mode nested", "m, mode exact"]
        );
        assert_eq!(found(&["model=m", "model=m lr=2"]), ["m", "m, lr 2"], "the short names are equal");
    }

    #[test]
    fn the_axis_has_what_differs() {
        let name = |all: &[[f64; 2]]| {
            let bits = all
                .iter()
                .map(|[weights, activations]| AverageBits { weights: *weights, activations: *activations });
            axis(&bits.collect::<Vec<_>>()).map(|(name, of)| {
                let [weights, activations] = all[0];
                (name, of(&AverageBits { weights, activations }))
            })
        };
        assert_eq!(name(&[[1.0, 4.0], [2.0, 4.0]]), Some(("bits of a weight on average", 1.0)));
        assert_eq!(name(&[[2.0, 3.0], [2.0, 4.0]]), Some(("bits of an activation on average", 3.0)));
        let both = "mean of the average bits of weights and activations";
        assert_eq!(name(&[[2.0, 3.0], [1.0, 4.0]]), Some((both, 2.5)));
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn without_known_bits_there_is_no_picture() {
        let mut unknown = group("random", "1:1", [1.0, 4.0], [0.3, 0.5]);
        unknown.average_bits = None;
        let mut open = group("random", "1:1", [1.0, 4.0], [0.3, 0.5]);
        open.mean = None;
        assert_eq!(svg(&results(vec![unknown, open])), None);
    }
}
