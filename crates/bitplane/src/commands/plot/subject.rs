//! A run that is drawn, and what it is called beside others.

use std::path::{Path, PathBuf};

use graph::Bits;

use crate::config::Config;
use crate::exit::Failure;
use crate::output::shown;
use crate::report::{EpochRecord, WidthRecord};
use crate::run;
use crate::settings::Settings;

use super::super::config::resolve;

/// A run that has finished an epoch.
pub struct Subject {
    /// Its folder.
    pub path: PathBuf,
    /// Its settings.
    pub config: Config,
    /// Its epochs.
    pub records: Vec<EpochRecord>,
}

impl Subject {
    /// Reads the run in the folder `path`, which may still be training.
    ///
    /// # Errors
    /// No run, settings or metrics that cannot be read, no epoch.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let config = resolve(Settings::default(), run::read_settings(path)?)?;
        let records = run::read_metrics(path)?;
        if records.is_empty() {
            let message = "no epoch is finished yet".to_owned();
            return Err(run::RunError::Metrics { path: path.to_owned(), message }.into());
        }
        Ok(Self { path: path.to_owned(), config, records })
    }
}

/// The runs, and in place of a FlexNet each of its widths with the test results of that width.
pub fn by_width(subjects: &[Subject]) -> Vec<Subject> {
    let of_run = |subject: &Subject| -> Vec<Subject> {
        let Subject { path, config, records } = subject;
        let Bits { gradient, .. } = config.bits();
        let of_width = |(at, bits): (usize, &u32)| {
            let cut = |record: &EpochRecord| {
                let width = record.widths.get(at).copied().unwrap_or_default();
                let WidthRecord { test_loss, test_accuracy, test_top5_accuracy, .. } = width;
                EpochRecord { test_loss, test_accuracy, test_top5_accuracy, ..record.clone() }
            };
            let config = Config { bits: format!("{bits},{bits},{gradient}"), ..config.clone() };
            Subject { path: path.clone(), config, records: records.iter().map(cut).collect() }
        };
        match config.trained_widths() {
            [] => vec![Subject { path: path.clone(), config: config.clone(), records: records.clone() }],
            widths => widths.iter().enumerate().map(of_width).collect(),
        }
    };
    subjects.iter().flat_map(of_run).collect()
}

/// What all of `subjects` have in common, as a title.
pub fn title(subjects: &[Subject]) -> String {
    let (model, data) =
        (common(subjects, |s| s.config.model.as_str()), common(subjects, |s| s.config.data_kind()));
    match (model, data) {
        (Some(model), Some(data)) => format!("{model} on {data}"),
        (Some(model), None) => model.to_owned(),
        (None, Some(data)) => data.to_owned(),
        (None, None) => format!("{} runs", subjects.len()),
    }
}

/// A name for each of `subjects` that says its bits and seed, and what else tells it from the others.
pub fn names(subjects: &[Subject]) -> Vec<String> {
    let model = common(subjects, |subject| subject.config.model.as_str()).is_none();
    let data = common(subjects, |subject| subject.config.data_kind()).is_none();
    let name = |subject: &Subject| {
        let Config { bits, seed, .. } = &subject.config;
        let mut name = format!("{bits} bits, seed {seed}");
        if data {
            name = format!("{}, {name}", data::printable(subject.config.data_kind()));
        }
        if model {
            name = format!("{}, {name}", subject.config.model);
        }
        name
    };
    let names: Vec<String> = subjects.iter().map(name).collect();
    let is_shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let full = |(name, subject): (&String, &Subject)| match is_shared(name) {
        true => format!("{name} ({})", shown(&subject.path)),
        false => name.clone(),
    };
    names.iter().zip(subjects).map(full).collect()
}

fn common<'a>(subjects: &'a [Subject], of: impl Fn(&'a Subject) -> &'a str) -> Option<&'a str> {
    let first = of(subjects.first()?);
    subjects.iter().all(|subject| of(subject) == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(path: &str, flags: &str) -> Subject {
        let settings = Settings::parse(flags, "").unwrap();
        let config = resolve(settings, Settings::default()).unwrap();
        Subject { path: path.into(), config, records: Vec::new() }
    }

    #[test]
    fn a_flexnet_is_drawn_at_each_of_its_widths() {
        let width = |bits, test_accuracy| WidthRecord { bits, test_accuracy, ..WidthRecord::default() };
        let widths = vec![width(3, 0.9), width(1, 0.7)];
        let record = EpochRecord { epoch: 1, test_accuracy: 0.9, widths, ..EpochRecord::default() };
        let flex = Subject { records: vec![record], ..subject("a", "widths = [3, 1]") };
        let drawn = by_width(&[flex, subject("b", "")]);
        assert_eq!(names(&drawn), ["3,3,4 bits, seed 0", "1,1,4 bits, seed 0", "1,2,4 bits, seed 0"]);
        let accuracies = drawn[..2].iter().map(|subject| subject.records[0].test_accuracy);
        assert_eq!(accuracies.collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn names_say_what_differs() {
        let one = [subject("a", "")];
        assert_eq!(
            (title(&one).as_str(), names(&one)),
            ("digits on digits", vec!["1,2,4 bits, seed 0".into()])
        );
        let two = [subject("a", "seed = 1"), subject("b", "model = \"svhn-d\"\nseed = 2")];
        assert_eq!(title(&two), "digits");
        assert_eq!(names(&two), ["digits, 1,2,4 bits, seed 1", "svhn-d, 1,2,4 bits, seed 2"]);
        let same = [subject("a", ""), subject("b", ""), subject("c", "seed = 1")];
        assert_eq!(names(&same), ["1,2,4 bits, seed 0 (a)", "1,2,4 bits, seed 0 (b)", "1,2,4 bits, seed 1"]);
    }
}
