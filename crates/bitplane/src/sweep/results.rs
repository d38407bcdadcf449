//! What a sweep measured: a row a point, means over seeds, and paired differences to a baseline.

use std::collections::BTreeMap;

use serde::Serialize;

use super::folder::{Folder, State};
use super::plan::{Plan, inline, with};
use crate::average_bits::AverageBits;
use crate::report::SCHEMA;

/// One point.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Names the run folder.
    pub point: String,
    /// Model name.
    pub model: String,
    /// `W,A,G`.
    pub bits: String,
    /// Seed.
    pub seed: u64,
    /// What else varies in the sweep.
    pub axes: BTreeMap<String, String>,
    /// `finished`, `failed` or `open`.
    pub status: &'static str,
    /// Highest test accuracy.
    pub best_accuracy: Option<f64>,
    /// Its epoch.
    pub best_epoch: Option<u32>,
    /// Training loss of the last epoch.
    pub final_loss: Option<f64>,
    /// Training images per second, mean over the epochs.
    pub images_per_second: Option<f64>,
    /// Seconds of training and evaluation.
    pub seconds: Option<f64>,
    /// Bits on average, where a plan has points whose widths do not say it.
    #[serde(flatten)]
    pub average_bits: Option<AverageBits>,
    /// Highest test accuracy at each width of a FlexNet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub widths: BTreeMap<u32, f64>,
    /// How the training of a failed point ended.
    pub exit_code: Option<i32>,
    /// What it said.
    pub message: Option<String>,
    /// The run folder.
    pub run: String,
}

/// Points that differ in their seed alone.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Model, bits and what else varies, each with its value.
    #[serde(serialize_with = "as_map")]
    pub settings: Vec<(String, String)>,
    /// Accuracies of the finished points by seed.
    pub accuracies: BTreeMap<u64, f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their standard deviation, of two seeds or more.
    pub deviation: Option<f64>,
    /// The accuracy that the plan quotes.
    pub published: Option<f64>,
    /// Bits on average, mean over the finished points.
    #[serde(flatten)]
    pub average_bits: Option<AverageBits>,
}

/// Differences between two groups, seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The group compared.
    #[serde(serialize_with = "as_map")]
    pub settings: Vec<(String, String)>,
    /// What the baseline has in place of the group's settings.
    pub baseline: String,
    /// Seeds that both have.
    pub pairs: usize,
    /// Mean of accuracy less the baseline's.
    pub difference: f64,
    /// Standard error of that mean, of two pairs or more.
    pub standard_error: Option<f64>,
    /// `higher` or `lower` where the difference exceeds two standard errors.
    pub order: Option<&'static str>,
}

/// Everything that is reported.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The plan's heading.
    pub title: String,
    /// The sweep's folder.
    pub folder: String,
    /// In the plan's order.
    pub points: Vec<Row>,
    /// In the plan's order.
    pub groups: Vec<Group>,
    /// Baseline by baseline.
    pub comparisons: Vec<Comparison>,
}

impl Results {
    /// Reads the run folders of all points.
    pub fn gather(folder: &Folder, plan: &Plan) -> Self {
        let mut points: Vec<Row> = plan.points.iter().map(|point| row(folder, point)).collect();
        if !plan.has_averages() {
            points.iter_mut().for_each(|row| row.average_bits = None);
        }
        let mut groups: Vec<Group> = Vec::new();
        for (settings, seed, accuracy) in
            plan.points.iter().zip(&points).flat_map(|(p, row)| measured(p, row))
        {
            let index = groups.iter().position(|group| group.settings == settings).unwrap_or_else(|| {
                let published = plan.published(&settings);
                groups.push(Group {
                    settings,
                    accuracies: BTreeMap::new(),
                    mean: None,
                    deviation: None,
                    published,
                    average_bits: None,
                });
                groups.len() - 1
            });
            groups[index].accuracies.extend(accuracy.map(|accuracy| (seed, accuracy)));
        }
        for group in &mut groups {
            let own = plan.points.iter().zip(&points).filter(|(point, _)| point.group() == group.settings);
            group.average_bits = AverageBits::mean(own.filter_map(|(_, row)| row.average_bits));
            let accuracies: Vec<f64> = group.accuracies.values().copied().collect();
            (group.mean, group.deviation) = mean_and_deviation(&accuracies);
        }
        let comparisons = plan.baselines.iter().flat_map(|baseline| {
            let compare = |group: &Group| {
                let wanted = with(&group.settings, baseline);
                let base = groups.iter().find(|base| base.settings == wanted && wanted != group.settings)?;
                compare(group, base, inline(baseline))
            };
            groups.iter().filter_map(compare).collect::<Vec<_>>()
        });
        Self {
            schema: SCHEMA,
            title: plan.title.clone(),
            folder: folder.path().display().to_string(),
            comparisons: comparisons.collect(),
            points,
            groups,
        }
    }

    /// The points of a status.
    pub fn with_status(&self, status: &str) -> impl Iterator<Item = &Row> {
        self.points.iter().filter(move |row| row.status == status)
    }
}

/// Settings, seed and accuracy of the point, and of each narrower width of a FlexNet.
type Accuracy = (Vec<(String, String)>, u64, Option<f64>);

fn measured(point: &super::point::Point, row: &Row) -> Vec<Accuracy> {
    let settings = point.group();
    let mut results = vec![(settings.clone(), row.seed, row.best_accuracy)];
    for bits in point.config.widths.iter().skip(1) {
        let mut settings = settings.clone();
        let gradient = point.config.bits().gradient;
        let own = settings.iter_mut().filter(|(key, _)| key == "bits");
        own.for_each(|(_, value)| *value = format!("{bits},{bits},{gradient}"));
        results.push((settings, row.seed, row.widths.get(bits).copied()));
    }
    results
}

fn row(folder: &Folder, point: &super::point::Point) -> Row {
    let mut row = Row {
        schema: SCHEMA,
        point: point.name.clone(),
        model: point.config.model.clone(),
        bits: point.config.bits.clone(),
        seed: point.config.seed,
        axes: point.axes.iter().cloned().collect(),
        status: "open",
        best_accuracy: None,
        best_epoch: None,
        final_loss: None,
        images_per_second: None,
        seconds: None,
        average_bits: None,
        widths: BTreeMap::new(),
        exit_code: None,
        message: None,
        run: folder.run(point).display().to_string(),
    };
    match folder.state(point) {
        State::Open => {}
        State::Failed(attempt) => {
            row.status = "failed";
            (row.exit_code, row.message) = (attempt.exit_code, Some(attempt.message));
        }
        State::Finished(measured) => {
            row.status = "finished";
            row.best_accuracy = Some(measured.best_accuracy);
            row.best_epoch = Some(measured.best_epoch);
            row.final_loss = Some(measured.final_loss);
            row.images_per_second = Some(measured.images_per_second);
            row.seconds = Some(measured.seconds);
            row.average_bits = measured.bits;
            row.widths = measured.widths;
        }
    }
    row
}

/// The mean of values and, of two or more, their sample standard deviation.
fn mean_and_deviation(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

/// Of the seeds that both groups have; none where they share no seed.
fn compare(group: &Group, base: &Group, baseline: String) -> Option<Comparison> {
    let pairs = group.accuracies.iter().filter_map(|(seed, own)| Some(own - base.accuracies.get(seed)?));
    let differences: Vec<f64> = pairs.collect();
    let (mean, deviation) = mean_and_deviation(&differences);
    let difference = mean?;
    let standard_error = deviation.map(|deviation| deviation / (differences.len() as f64).sqrt());
    let order = match standard_error {
        Some(error) if difference > 2.0 * error => Some("higher"),
        Some(error) if difference < -2.0 * error => Some("lower"),
        _ => None,
    };
    let settings = group.settings.clone();
    Some(Comparison { settings, baseline, pairs: differences.len(), difference, standard_error, order })
}

fn as_map<S: serde::Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::folder::tests::{begun, trained};

    fn group(accuracies: &[f64]) -> Group {
        let accuracies = (0..).zip(accuracies.iter().copied()).collect();
        Group {
            settings: Vec::new(),
            accuracies,
            mean: None,
            deviation: None,
            published: None,
            average_bits: None,
        }
    }

    fn order(own: &[f64], base: &[f64]) -> Option<&'static str> {
        compare(&group(own), &group(base), String::new()).expect("pairs").order
    }

    #[test]
    fn an_order_is_claimed_beyond_two_standard_errors_only() {
        // Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, standard error 0.0577.
        let found =
            compare(&group(&[0.6, 0.7, 0.8]), &group(&[0.5, 0.5, 0.5]), "b".to_owned()).expect("pairs");
        assert_eq!((found.pairs, found.order), (3, Some("higher")));
        assert!((found.difference - 0.2).abs() < 1e-12);
        assert!((found.standard_error.expect("three pairs") - 0.1 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(order(&[0.5, 0.5, 0.5], &[0.6, 0.7, 0.8]), Some("lower"));
        // Differences 0.1, -0.1, 0.1: mean 0.033, standard error 0.067.
        assert_eq!(order(&[0.6, 0.4, 0.6], &[0.5, 0.5, 0.5]), None);
        // Differences 0, 0.1, 0.2 and 0.05, 0.15, 0.25: standard error 0.0577, of which the means are 1.7 and 2.6.
        for (own, base, claimed) in [
            ([0.5, 0.6, 0.7], [0.5; 3], None),
            ([0.5; 3], [0.5, 0.6, 0.7], None),
            ([0.55, 0.65, 0.75], [0.5; 3], Some("higher")),
            ([0.5; 3], [0.55, 0.65, 0.75], Some("lower")),
        ] {
            assert_eq!(order(&own, &base), claimed, "{own:?} and {base:?}");
        }
        assert_eq!(order(&[0.9], &[0.1]), None, "one pair has no standard error");
        assert_eq!(order(&[0.5, 0.5], &[0.5, 0.5]), None);
    }

    #[test]
    fn a_flexnet_counts_at_each_width_beside_the_network_of_that_width() {
        let text = "[[point]]\nwidths = [[2, 1]]\n[[point]]\nbits = [\"1,1,4\", \"2,2,4\"]\n[[baseline]]\nwidths = []";
        let place = std::path::PathBuf::from("nowhere");
        let plan = Plan::parse(text, "plan", place.clone(), &crate::settings::Settings::default()).unwrap();
        let mut flex = row(&Folder::at(&place), &plan.points[0]);
        (flex.best_accuracy, flex.widths) = (Some(0.9), BTreeMap::from([(2, 0.9), (1, 0.8)]));
        let found = measured(&plan.points[0], &flex);
        let accuracies: Vec<_> = found.iter().map(|(_, _, accuracy)| accuracy.unwrap()).collect();
        assert_eq!(accuracies, [0.9, 0.8]);
        for ((settings, ..), point) in found.iter().zip([&plan.points[2], &plan.points[1]]) {
            assert_eq!(with(settings, &plan.baselines[0]), point.group());
        }
    }

    #[test]
    fn points_are_gathered_by_seed_and_compared_with_the_baseline_alone() {
        let place = tempfile::tempdir().unwrap();
        let text = "[settings]\nepochs = 1\n[grid]\nbits = ['1,2,4', '2,2,4']\nseed = [3, 5]\n[[baseline]]\nbits = '1,2,4'";
        let (plan, folder) = begun(place.path(), text);
        for (point, accuracy) in plan.points.iter().zip([0.25, 0.5, 0.75]) {
            trained(&folder, point, &[accuracy], 1);
        }
        let found = Results::gather(&folder, &plan);
        let by_seed: Vec<_> = found.groups.iter().map(|group| group.accuracies.clone()).collect();
        assert_eq!(by_seed, [BTreeMap::from([(3, 0.25), (5, 0.5)]), BTreeMap::from([(3, 0.75)])]);
        assert_eq!((found.groups[0].mean, found.groups[1].deviation), (Some(0.375), None));
        let [only] = &found.comparisons[..] else { panic!("{:?}", found.comparisons) };
        assert_eq!((&only.settings, only.pairs, only.difference), (&found.groups[1].settings, 1, 0.5));
        assert_eq!(found.with_status("open").count(), 1);
    }

    #[test]
    fn only_seeds_of_both_are_paired() {
        let found = compare(&group(&[0.5, 0.6]), &group(&[0.4]), String::new()).expect("a pair");
        assert_eq!((found.pairs, found.standard_error), (1, None));
        assert!(compare(&group(&[]), &group(&[0.4]), String::new()).is_none());
    }

    #[test]
    fn means_and_deviations_are_those_of_samples() {
        assert_eq!(mean_and_deviation(&[]), (None, None));
        assert_eq!(mean_and_deviation(&[0.5]), (Some(0.5), None));
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0, 6.0]);
        assert_eq!(mean, Some(3.0));
        assert!((deviation.expect("four values") - (14f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
