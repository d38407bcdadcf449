//! Plans: the points of a sweep, as a TOML file names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;

use super::folder::run_folder;
use super::plans;
use super::point::{INIT, Point, shown};
use super::source::{Line, MAX_POINTS, Source, canonical};
use crate::average_bits;
use crate::exit::Failure;
use crate::output::{self, printable_lines};
use crate::settings::{Settings, SettingsError};
use crate::storage::{Disk, Storage, StorageError};

/// Largest plan in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// Why a plan was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Neither a file nor a plan of the program.
    #[error("there is no plan file {}; the program's own plans are {}", output::shown(.path), plans::names().join(", "))]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file is not a plan.
    #[error("{file}: {message}")]
    Parse {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        message: String,
    },
    /// A setting is not one, or out of range.
    #[error(transparent)]
    Setting(#[from] SettingsError),
    /// Two points would train in one folder.
    #[error("{file} has two points {name}; every point needs settings of its own")]
    Twice {
        /// The file.
        file: String,
        /// The name of both.
        name: String,
    },
    /// A flag would make all points equal.
    #[error("--{key} is what {file} varies; change the plan, or leave the flag away")]
    Axis {
        /// The file.
        file: String,
        /// The flag's name.
        key: String,
    },
}

/// A row of a published table.
#[derive(Clone, Debug)]
pub struct Published {
    /// Settings that vary.
    pub settings: Table,
    /// Accuracy that was published for them.
    pub accuracy: f64,
}

/// The points of a sweep and how they are reported.
#[derive(Clone, Debug)]
pub struct Plan {
    /// File or name.
    pub file: String,
    /// The command without the flags that are settings.
    pub verb: String,
    /// The sweep's folder.
    pub place: PathBuf,
    /// Heading of the tables.
    pub title: String,
    /// In the order of the tables.
    pub points: Vec<Point>,
    /// Settings that vary beside model, bits and seed.
    pub axes: Vec<String>,
    /// What paired differences are taken to: the settings in which a baseline differs from the points compared with it.
    pub baselines: Vec<Table>,
    /// The settings given by flags.
    pub flags: Table,
    /// Accuracies to show beside.
    published: Vec<Published>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    #[serde(default)]
    settings: Line,
    #[serde(default)]
    grid: Line,
    #[serde(default)]
    point: Vec<Line>,
    #[serde(default)]
    baseline: Vec<Line>,
    #[serde(default)]
    published: Vec<Line>,
}

impl Plan {
    /// Reads the plan file at `path`, or the program's own plan of that name; `flags` win over it. The sweep lies in `place`, or
    /// where it usually does.
    ///
    /// # Errors
    /// [`PlanError`] with the place in the file, or an unknown model.
    pub fn read(path: &Path, flags: &Settings, place: Option<&Path>) -> Result<Self, Failure> {
        let usual = |stem: &str| place.map_or_else(|| Path::new("sweeps").join(stem), Path::to_owned);
        let bytes = match Disk.read(path, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let own = path.to_str().and_then(|name| Some((name, plans::find(name)?)));
                let (name, text) = own.ok_or_else(|| PlanError::Missing { path: path.to_owned() })?;
                return Self::parse(text, name, usual(name), flags);
            }
            Err(error) => return Err(PlanError::from(StorageError::at("read", path)(error)).into()),
        };
        let file = output::shown(path);
        let message = "is not UTF-8 text".to_owned();
        let text = String::from_utf8(bytes).map_err(|_| PlanError::Parse { file: file.clone(), message })?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("sweep");
        Self::parse(&text, &file, usual(stem), flags)
    }

    /// Parses the text of `file`, which is named in messages only.
    ///
    /// # Errors
    /// As [`Plan::read`].
    pub fn parse(text: &str, file: &str, place: PathBuf, flags: &Settings) -> Result<Self, Failure> {
        let source = Source { text, file };
        let content: File =
            toml::from_str(text).map_err(|error| source.parse_error(printable_lines(&error.to_string())))?;
        flags.check_flags()?;
        let flags = Table::try_from(flags).expect("settings are plain values");
        let shared = source.single(&content.settings)?;
        let varied: BTreeSet<&String> =
            content.grid.keys().chain(content.point.iter().flat_map(Line::keys)).collect();
        if let Some(key) = flags.keys().find(|key| varied.contains(key)) {
            return Err(PlanError::Axis { file: file.to_owned(), key: key.clone() }.into());
        }
        let axes = varied.into_iter().filter(|key| !["model", "bits", "seed"].contains(&key.as_str()));
        let axes: Vec<String> = axes.cloned().collect();
        let mut points = points(&source, &content, &axes, |line| {
            shared.clone().into_iter().chain(line).chain(flags.clone()).collect()
        })?;
        link(&mut points, &place, &source)?;
        let baselines =
            content.baseline.iter().map(|line| source.baseline(line)).collect::<Result<_, _>>()?;
        let published = content.published.iter().map(|line| -> Result<Published, PlanError> {
            let Published { settings, accuracy } = source.published(line)?;
            Ok(Published { settings: shared.clone().into_iter().chain(settings).collect(), accuracy })
        });
        let published = published.collect::<Result<_, _>>()?;
        let title = content.title.unwrap_or_else(|| file.to_owned());
        let plan = Self {
            file: file.to_owned(),
            verb: format!("bitplane sweep {file}"),
            place,
            title: data::printable(&title),
            points,
            axes,
            baselines,
            flags,
            published,
        };
        plan.check_baselines(&source)?;
        Ok(plan)
    }

    fn check_baselines(&self, source: &Source<'_>) -> Result<(), PlanError> {
        let groups: BTreeSet<_> = self.points.iter().map(Point::group).collect();
        for baseline in &self.baselines {
            let missing = |key: &str| !self.points.iter().any(|point| point.settings.contains_key(key));
            let mut left_out = baseline.iter().filter(|(_, value)| value.as_str() == Some(""));
            if let Some((key, _)) = left_out.find(|(key, _)| missing(key)) {
                let message = format!("a baseline leaves out {}, which no point sets", data::printable(key));
                return Err(source.parse_error(message));
            }
            if !groups.iter().any(|group| groups.contains(&with(group, baseline))) {
                return Err(source.parse_error(format!("no point is the baseline {}", inline(baseline))));
            }
        }
        Ok(())
    }

    /// The command that runs the sweep.
    pub fn command(&self) -> String {
        let flags = self.flags.iter().map(|(key, value)| format!(" --{key} {}", argument(value)));
        data::printable(&format!("{}{}", self.verb, flags.collect::<String>()))
    }

    /// The published accuracy of a group of points.
    pub fn published(&self, group: &[(String, String)]) -> Option<f64> {
        // A row that leaves out the model or the bits is of what the plan has there.
        let is_usual =
            |row: &Published, key: &str| ["model", "bits"].contains(&key) && !row.settings.contains_key(key);
        let fits = |row: &&Published| {
            let equal = |(key, value): &(String, String)| {
                is_usual(row, key) || shown(row.settings.get(key)) == *value
            };
            group.iter().all(equal)
        };
        self.published.iter().find(fits).map(|row| row.accuracy)
    }

    /// Whether points have bits on average, which their widths do not say.
    pub fn has_averages(&self) -> bool {
        self.points.iter().any(|point| average_bits::differ(&point.config))
    }

    /// Whether there are published accuracies at all.
    pub fn has_published(&self) -> bool {
        !self.published.is_empty()
    }
}

/// The points of the grid and of the rows beside it, each made whole by `complete`.
fn points(
    source: &Source<'_>,
    content: &File,
    axes: &[String],
    complete: impl Fn(Table) -> Table,
) -> Result<Vec<Point>, Failure> {
    let mut lines = Vec::new();
    if !content.grid.is_empty() || content.point.is_empty() {
        lines.extend(source.product(&content.grid)?);
    }
    for line in &content.point {
        lines.extend(source.product(line)?);
    }
    if lines.len() > MAX_POINTS {
        let message = format!("{} points, at most {MAX_POINTS} are run", lines.len());
        return Err(source.parse_error(message).into());
    }
    let mut names = BTreeSet::new();
    let mut points = Vec::new();
    for line in lines {
        let point = Point::new(complete(line), axes)?;
        // Some file systems take names in capitals for the same.
        if !names.insert(point.name.to_lowercase()) {
            return Err(PlanError::Twice { file: source.file.to_owned(), name: point.name }.into());
        }
        points.push(point);
    }
    Ok(points)
}

/// Lets a point whose `init-from` is `@W,A,G` start with the weights of the point that has these bits and is the same otherwise.
fn link(points: &mut [Point], place: &Path, source: &Source<'_>) -> Result<(), PlanError> {
    for number in 0..points.len() {
        let point = &points[number];
        let from =
            point.settings.get(INIT).and_then(toml::Value::as_str).and_then(|from| from.strip_prefix('@'));
        let Some(bits) = from else { continue };
        let mut wanted = point.settings.clone();
        wanted.remove(INIT);
        wanted.insert("bits".to_owned(), canonical("bits", toml::Value::String(bits.to_owned())));
        let Some(origin) = points.iter().position(|other| other.settings == wanted) else {
            let message =
                format!("{} starts from bits {}, and no point has these", point.name, data::printable(bits));
            return Err(source.parse_error(message));
        };
        let run = run_folder(place, &points[origin].name);
        let run = std::path::absolute(&run).unwrap_or(run);
        points[number].config.init_from = Some(run.display().to_string());
        points[number].after = Some(origin);
    }
    Ok(())
}

/// A group with the settings of `baseline` in place of its own; equal to none where the baseline sets what does not vary.
pub fn with(group: &[(String, String)], baseline: &Table) -> Vec<(String, String)> {
    let mut group = group.to_vec();
    for (key, value) in baseline {
        match group.iter_mut().find(|(known, _)| known == key) {
            Some((_, own)) => *own = shown(Some(value)),
            None => group.push((key.clone(), shown(Some(value)))),
        }
    }
    group
}

/// A flag's value as a shell takes it.
fn argument(value: &toml::Value) -> String {
    let text = match value {
        toml::Value::Array(values) => values.iter().map(argument).collect::<Vec<_>>().join(","),
        toml::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@+=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A table as one line, `bits 32,32,32`.
pub fn inline(table: &Table) -> String {
    let word = |value: &toml::Value| match shown(Some(value)) {
        text if text.is_empty() => "off".to_owned(),
        text => text,
    };
    let words: Vec<String> = table.iter().map(|(key, value)| format!("{key} {}", word(value))).collect();
    data::printable(&words.join(", "))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
