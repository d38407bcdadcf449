//! The measured choices for one adapter, as they lie in the cache and in a run's folder.

use std::collections::BTreeMap;

use gpu::AdapterInfo;
use graph::{KernelPlan, ProductKey};
use kernels::{Arithmetic, REGISTRY, SHARED, Tactic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Tuned;
use crate::config::hex;

/// Version of the file.
const FORMAT: u32 = 2;

/// The name of the choices among kernels of every arithmetic.
const AUTO: &str = "auto";

/// What measured times belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterKey {
    /// The adapter's name.
    pub name: String,
    /// Graphics API.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Lanes of a subgroup, where all have the same number.
    pub subgroup: Option<u32>,
}

/// The kernel of one product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The kernel with its tuning values, as [`Tactic`] is written.
    pub kernel: String,
    /// Its median time.
    pub microseconds: f64,
    /// The kernel that would run untuned.
    pub default: String,
    /// Its median time.
    pub default_microseconds: f64,
}

/// Choices for the products of one adapter, each one measured with the kernels of this version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    format: u32,
    /// SHA-256 of all shader texts.
    shaders: String,
    adapter: AdapterKey,
    /// Choices by product, by the arithmetic that they were confined to, or `auto` where they were not.
    products: BTreeMap<String, BTreeMap<String, Choice>>,
    /// Kernels that gave wrong results, with what was wrong.
    struck: BTreeMap<String, String>,
}

impl From<&Tuned> for Choice {
    fn from(tuned: &Tuned) -> Self {
        Self {
            kernel: tuned.tactic.to_string(),
            microseconds: tuned.seconds * 1e6,
            default: tuned.default.to_string(),
            default_microseconds: tuned.default_seconds * 1e6,
        }
    }
}

impl From<&AdapterInfo> for AdapterKey {
    fn from(info: &AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            subgroup: info.subgroup,
        }
    }
}

impl AdapterKey {
    /// A file name's part that is this adapter's alone.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).expect("a key is plain values");
        hex(&Sha256::digest(text.as_bytes())[..8])
    }
}

impl Choices {
    /// None yet.
    pub fn new(adapter: AdapterKey) -> Self {
        let (products, struck) = (BTreeMap::new(), BTreeMap::new());
        Self { format: FORMAT, shaders: shaders(), adapter, products, struck }
    }

    /// Reads the text of a file for `adapter`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(bytes: &[u8], adapter: &AdapterKey) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if value["format"].as_u64() != Some(u64::from(FORMAT)) {
            return Err(format!("format {}, this program reads {FORMAT}", value["format"]));
        }
        let choices: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if choices.shaders != shaders() {
            return Err("it was measured with other kernels than this version has".to_owned());
        }
        if choices.adapter != *adapter {
            return Err(format!("it was measured on {}", choices.adapter.name));
        }
        let unknown = choices.products.values().flatten().find_map(|(key, choice)| {
            let names: [Result<Tactic, _>; 2] = [choice.kernel.parse(), choice.default.parse()];
            let key_error = key.parse::<ProductKey>().err().map(|error| error.to_string());
            key_error.or(names.into_iter().find_map(|name| name.err().map(|error| error.to_string())))
        });
        let struck = choices.struck.keys().find_map(|name| name.parse::<Tactic>().err());
        match unknown.or(struck.map(|error| error.to_string())) {
            Some(error) => Err(error),
            None => Ok(choices),
        }
    }

    /// The text that [`Choices::parse`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("choices are plain values")
    }

    /// Takes over what was measured among kernels of one arithmetic alone, or of all.
    pub fn add(&mut self, arithmetic: Option<Arithmetic>, tuned: &Tuned) {
        let products = self.products.entry(name(arithmetic)).or_default();
        products.insert(tuned.key.to_string(), Choice::from(tuned));
        for (tactic, why) in &tuned.struck {
            self.struck.insert(tactic.to_string(), why.clone());
        }
    }

    /// What they were measured on.
    pub fn adapter(&self) -> &AdapterKey {
        &self.adapter
    }

    /// Kernels that gave wrong results.
    pub fn struck(&self) -> Vec<Tactic> {
        self.struck.keys().filter_map(|name| name.parse().ok()).collect()
    }

    /// The plan of a session that may run kernels of one arithmetic alone, or of all. What was measured among all serves
    /// the former too, where the fastest is of that arithmetic; the fastest of one arithmetic says nothing about all.
    pub fn plan(&self, arithmetic: Option<Arithmetic>) -> KernelPlan {
        let parse =
            |(key, choice): (&String, &Choice)| Some((key.parse().ok()?, choice.kernel.parse().ok()?));
        let measured = [AUTO.to_owned(), name(arithmetic)].into_iter();
        let rows = measured.filter_map(|name| self.products.get(&name)).flatten();
        let choices = rows.filter_map(parse).collect();
        KernelPlan { choices, arithmetic, struck: self.struck(), ..KernelPlan::default() }
    }
}

/// The name of the choices among kernels of `arithmetic`.
fn name(arithmetic: Option<Arithmetic>) -> String {
    arithmetic.map_or(AUTO.to_owned(), |arithmetic| arithmetic.to_string())
}

/// A digest of the shaders: times and verdicts of others say nothing.
fn shaders() -> String {
    let mut digest = Sha256::new();
    for entry in REGISTRY {
        digest.update(entry.shader.name);
        digest.update(entry.shader.source.as_bytes());
    }
    for (name, text) in SHARED {
        digest.update(name);
        digest.update(text);
    }
    hex(&digest.finalize())
}
