//! One training of a sweep.

use sha2::{Digest, Sha256};

use crate::config::{Config, hex};
use crate::settings::Settings;

/// A setting as a table's cell shows it; a switch that is off or an empty list is as good as not set.
pub fn shown(value: Option<&toml::Value>) -> String {
    match value {
        None | Some(toml::Value::Boolean(false)) => String::new(),
        Some(toml::Value::Array(values)) if values.is_empty() => String::new(),
        Some(toml::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// One training of a sweep.
#[derive(Clone, Debug)]
pub struct Point {
    /// Names its run folder; unique in the sweep.
    pub name: String,
    /// The settings that the plan and the flags give, by their names in [`Settings`].
    pub settings: toml::Table,
    /// All settings.
    pub config: Config,
    /// What varies in the sweep beside model, bits and seed, and its value here.
    pub axes: Vec<(String, String)>,
    /// Number of the point whose weights it starts with, where it is one of the sweep's.
    pub after: Option<usize>,
}

/// Bytes of a point's name; a file name has at most 255 on most systems, with its ending.
const LONGEST_NAME: usize = 200;

/// The setting that names the weights to start with.
pub const INIT: &str = "init-from";

impl Point {
    /// The training of these settings, which were checked one by one, in a sweep that varies `axes`.
    ///
    /// # Errors
    /// An unknown model.
    pub fn new(mut settings: toml::Table, axes: &[String]) -> Result<Self, crate::exit::Failure> {
        // In a list, nothing stands for a training from scratch.
        if settings.get(INIT).and_then(toml::Value::as_str) == Some("") {
            settings.remove(INIT);
        }
        let from = settings.get(INIT).and_then(toml::Value::as_str);
        if from.is_some_and(|from| from.starts_with('@')) && settings.contains_key("cut-to") {
            let message = "cut-to needs the folder of a run; `init-from = \"@W,A,G\"` names one that is not trained yet";
            return Err(crate::exit::Failure::Usage { message: message.to_owned() });
        }
        let checked: Settings = settings.clone().try_into().expect("every setting was checked");
        let config = crate::commands::resolve(checked, Settings::default())?;
        let axes: Vec<_> = axes.iter().map(|key| (key.clone(), shown(settings.get(key)))).collect();
        let mut name = config.run_name();
        for (key, value) in axes.iter().filter(|(_, value)| !value.is_empty()) {
            match (key.as_str(), settings.get(key)) {
                (_, Some(toml::Value::Boolean(true))) => name.push_str(&format!("-{key}")),
                // They are in the name already, and so is the kind of the data.
                ("widths", _) => {}
                ("data", _) => {
                    let path = value.split_once(':').map_or("", |(_, path)| path);
                    let last =
                        path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
                    name.push_str(&format!("-{}", plain(last)));
                }
                _ => name.push_str(&format!("-{key}-{}", plain(value))),
            }
        }
        Ok(Self { name: short(name.trim_end_matches('-')), settings, config, axes, after: None })
    }

    /// What the point shares with its repetitions at other seeds: model, bits, and the other axes.
    pub fn group(&self) -> Vec<(String, String)> {
        let first = [("model", &self.config.model), ("bits", &self.config.bits)];
        first
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into_iter()
            .chain(self.axes.clone())
            .collect()
    }
}

/// A name that files and folders can have: what is too long for that ends in digits of its SHA-256.
fn short(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let sum = hex(&Sha256::digest(name.as_bytes()));
    let kept: String = name.chars().take(LONGEST_NAME - 17).collect();
    format!("{kept}-{}", &sum[..16])
}

/// A value as a part of a file name.
fn plain(value: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    value.chars().take(60).map(keep).collect()
}
