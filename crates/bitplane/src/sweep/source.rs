//! The parts of a plan's text, checked with the lines they stand on.

use std::collections::BTreeMap;

use toml::{Spanned, Table, Value};

use super::plan::{PlanError, Published};
use crate::settings::Settings;

/// More points than this are a mistake.
pub const MAX_POINTS: usize = 10_000;
/// Axes in the order in which the grid is walked; those not named here come between.
const OUTER: [&str; 3] = ["data", "model", "bits"];
const INNERMOST: &str = "seed";
/// Settings that are lists themselves; a plan varies them by a list of lists.
const LISTS: [&str; 4] = ["distill-features", "histograms", "lr-milestones", "widths"];

/// Settings, or lists of them, with their places.
pub type Line = BTreeMap<String, Spanned<Value>>;

/// A plan's text, for messages with lines.
pub struct Source<'a> {
    /// The text.
    pub text: &'a str,
    /// Its file.
    pub file: &'a str,
}

impl Source<'_> {
    /// A refusal of the whole.
    pub fn parse_error(&self, message: String) -> PlanError {
        PlanError::Parse { file: self.file.to_owned(), message }
    }

    /// Checks one value as a settings file would, in a text in which it stands on the same line.
    fn check(&self, key: &str, value: &Value, at: usize) -> Result<(), PlanError> {
        let line = self.text[..at].matches('\n').count();
        let table = Table::from_iter([(key.to_owned(), value.clone())]);
        let text = format!("{}{}", "\n".repeat(line), toml::to_string(&table).expect("a TOML value"));
        Ok(Settings::parse(&text, self.file).map(drop)?)
    }

    /// Settings with one value each.
    ///
    /// # Errors
    /// A setting that is none, or out of range.
    pub fn single(&self, line: &Line) -> Result<Table, PlanError> {
        line.iter()
            .map(|(key, value)| {
                self.check(key, value.get_ref(), value.span().start)?;
                Ok((key.clone(), canonical(key, value.get_ref().clone())))
            })
            .collect()
    }

    /// Settings of a baseline, in which an empty text stands for what is not set.
    ///
    /// # Errors
    /// As [`Source::single`].
    pub fn baseline(&self, line: &Line) -> Result<Table, PlanError> {
        let is_open = |value: &Value| value.as_str() == Some("");
        let (open, set): (Line, Line) =
            line.clone().into_iter().partition(|(_, value)| is_open(value.get_ref()));
        let open = open.into_iter().map(|(key, value)| (key, value.into_inner()));
        Ok(self.single(&set)?.into_iter().chain(open).collect())
    }

    /// All combinations of the listed values.
    ///
    /// # Errors
    /// As [`Source::single`], an empty list, too many points.
    pub fn product(&self, line: &Line) -> Result<Vec<Table>, PlanError> {
        let rank = |key: &str| match OUTER.iter().position(|outer| *outer == key) {
            Some(rank) => rank,
            None => OUTER.len() + usize::from(key == INNERMOST),
        };
        let mut axes: Vec<_> = line.iter().collect();
        axes.sort_by_key(|(key, _)| rank(key));
        let mut points = vec![Table::new()];
        for (key, value) in axes {
            let at = value.span().start;
            let choices = choices(key, value.get_ref());
            if choices.is_empty() {
                return Err(self.parse_error(format!("the list of {} is empty", data::printable(key))));
            }
            for choice in &choices {
                self.check(key, choice, at)?;
            }
            let longer = |point: &Table| {
                let point = point.clone();
                let one = |choice: &Value| {
                    let mut point = point.clone();
                    point.insert(key.clone(), canonical(key, choice.clone()));
                    point
                };
                choices.iter().map(one).collect::<Vec<_>>()
            };
            if points.len() * choices.len() > MAX_POINTS {
                return Err(self.parse_error(format!("more than {MAX_POINTS} points")));
            }
            points = points.iter().flat_map(longer).collect();
        }
        Ok(points)
    }

    /// A row of a published table.
    ///
    /// # Errors
    /// As [`Source::single`], or no accuracy.
    pub fn published(&self, line: &Line) -> Result<Published, PlanError> {
        let mut line = line.clone();
        let accuracy = line.remove("accuracy").and_then(|value| value.get_ref().as_float());
        match accuracy.filter(|accuracy| (0.0..=1.0).contains(accuracy)) {
            Some(accuracy) => Ok(Published { settings: self.single(&line)?, accuracy }),
            None => Err(self.parse_error("published rows need an accuracy from 0.0 to 1.0".to_owned())),
        }
    }
}

/// The values that a plan gives a setting.
fn choices(key: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) if !LISTS.contains(&key) || values.iter().any(Value::is_array) => values.clone(),
        value => vec![value.clone()],
    }
}

/// Equal settings in equal words.
pub fn canonical(key: &str, value: Value) -> Value {
    let bits = value.as_str().filter(|_| key == "bits").and_then(|text| text.parse::<graph::Bits>().ok());
    bits.map_or(value, |bits| Value::String(bits.to_string()))
}
