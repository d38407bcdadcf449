//! `--teacher`: a trained run whose class scores, and features, another training learns.

use std::path::Path;

use graph::{FeatureMatch, GraphError, NamedTensor, Network, Node, SoftTarget};
use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::config::{Config, hex};
use crate::exit::Failure;
use crate::flexnet;
use crate::identity::Identity;
use crate::models::{self, Model};
use crate::output::{note, shown};
use crate::run;
use crate::storage::Disk;
use crate::store::{Intact, Store, StoreError, Which};

/// Names the teacher's layers within the network that is trained.
const PREFIX: &str = "teacher";
/// Share of the soft targets in the loss of the class scores.
pub const DEFAULT_WEIGHT: f64 = 0.5;
/// Temperature of the soft targets.
pub const DEFAULT_TEMPERATURE: f64 = 4.0;
/// Weight of the features' mean squared error.
pub const DEFAULT_FEATURE_WEIGHT: f64 = 1.0;
/// A mean loss above this is divergence, where there is no teacher.
const LOSS_LIMIT: f64 = 1e4;

/// A trained network that teaches another.
pub struct Teacher {
    model: Model,
    tensors: Vec<NamedTensor>,
    /// SHA-256 of the checkpoint's bytes, in hexadecimal.
    pub sha256: String,
}

/// Reads the best checkpoint of the run that `config` names and checks that it is of the same pictures and classes as
/// `wanted`.
///
/// # Errors
/// Settings of a teacher without one, a damaged or foreign checkpoint, other pictures or classes, another checkpoint than the
/// run was started with.
pub fn read(config: &Config, wanted: &Identity) -> Result<Option<Teacher>, Failure> {
    let Some(given) = &config.teacher else { return check_unused(config).map(|()| None) };
    let folder = Path::new(given);
    let settings = run::read_settings(folder)?;
    let recipe = models::recipe(settings.model.as_deref().unwrap_or(crate::config::DEFAULT_MODEL))?;
    let theirs = Config::resolve(settings, &recipe);
    let Intact { path, bytes, .. } = Store::open(&Disk, &run::checkpoints(folder))?.intact(&Which::Best)?;
    let unfit = |differences: String| StoreError::Teacher { path: path.clone(), differences };
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Some(expected) = config.teacher_sha256.as_ref().filter(|expected| **expected != sha256) {
        return Err(unfit(format!("its SHA-256 is {sha256}, not {expected}")).into());
    }
    let refused = |source| StoreError::Refused { path: path.clone(), source };
    let checkpoint = Checkpoint::decode(&bytes).map_err(refused)?;
    let found = &checkpoint.identity;
    let own = Identity::new(&theirs, found.image, found.classes.clone());
    let foreign = found.differences(&own).join("; ");
    if !foreign.is_empty() {
        return Err(StoreError::Foreign { path, differences: foreign }.into());
    }
    let differences = data::printable(&apart(found, wanted).join("; "));
    if !differences.is_empty() {
        return Err(unfit(differences).into());
    }
    let model = theirs.preprocess().of(flexnet::evaluated(&theirs, &found.input())?)?;
    let network = model.network.as_saved(&checkpoint.tensors)?;
    let model = Model { network, ..model };
    let names: Vec<String> = model.network.parameters().into_iter().map(|(name, _)| name).collect();
    let tensors = checkpoint.tensors.into_iter().filter(|tensor| names.contains(&tensor.name));
    let tensors =
        tensors.map(|tensor| NamedTensor { name: format!("{PREFIX}.{}", tensor.name), ..tensor }).collect();
    note(&format!(
        "learning from {} ({} at {} bits, epoch {})",
        shown(&path),
        theirs.model,
        theirs.bits,
        checkpoint.position.epoch
    ));
    Ok(Some(Teacher { model, tensors, sha256 }))
}

/// What speaks about a teacher needs one.
fn check_unused(config: &Config) -> Result<(), Failure> {
    let given = [
        ("distill-weight", config.distill_weight.is_some()),
        ("distill-temperature", config.distill_temperature.is_some()),
        ("distill-features", !config.distill_features.is_empty()),
        ("distill-feature-weight", config.distill_feature_weight.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(Failure::Usage { message: format!("--{key} needs a --teacher RUN") }),
        None => Ok(()),
    }
}

/// How the teacher's pictures and classes differ from those of this training.
fn apart(found: &Identity, wanted: &Identity) -> Vec<String> {
    let mut apart = Vec::new();
    if found.image != wanted.image {
        let ([h, w, c], [height, width, channels]) = (found.image, wanted.image);
        apart.push(format!("its pictures are {h}x{w}x{c}, not {height}x{width}x{channels}"));
    }
    if found.classes.len() != wanted.classes.len() {
        apart.push(format!("it knows {} classes, not {}", found.classes.len(), wanted.classes.len()));
    } else if let Some((theirs, ours)) = found.classes.iter().zip(&wanted.classes).find(|(a, b)| a != b) {
        apart.push(format!("its class `{theirs}` is `{ours}` here"));
    }
    apart
}

impl Teacher {
    /// `student` with this network as a frozen part and the loss that `config` asks for, and the values of that part.
    ///
    /// # Errors
    /// Another size of pictures within the network, features that do not exist or differ in shape.
    pub fn teach(self, student: Model, config: &Config) -> Result<(Model, Vec<NamedTensor>), Failure> {
        let Model { network, input } = student;
        let (ours, theirs) = (input, self.model.input);
        if ours != theirs {
            let message = format!(
                "--teacher {}: the teacher reads pictures of {}x{}, {} reads {}x{}",
                data::printable(config.teacher.as_deref().unwrap_or_default()),
                theirs.out_height,
                theirs.out_width,
                config.model,
                ours.out_height,
                ours.out_width
            );
            return Err(Failure::Usage { message });
        }
        let pixel_scale = network.pixel_scale;
        if pixel_scale != self.model.network.pixel_scale {
            let message = format!(
                "--teacher {}: the teacher reads pictures in another way; choose its --preprocess",
                data::printable(config.teacher.as_deref().unwrap_or_default())
            );
            return Err(Failure::Usage { message });
        }
        let mut net = network.into_builder();
        let scores = net.embed_frozen(PREFIX, &self.model.network)?;
        let weight = config.distill_weight.unwrap_or(DEFAULT_WEIGHT);
        let temperature = config.distill_temperature.unwrap_or(DEFAULT_TEMPERATURE) as f32;
        if let Some(head) = net.heads_mut().first_mut().filter(|_| weight > 0.0) {
            head.labels = (1.0 - weight) as f32;
            head.soft = Some(SoftTarget { scores, temperature, weight: weight as f32 });
        }
        let weight = config.distill_feature_weight.unwrap_or(DEFAULT_FEATURE_WEIGHT) as f32;
        for pair in &config.distill_features {
            let (node, target) = pair.split_once('=').unwrap_or((pair, pair));
            let find = |name: &str| net.node(name).ok_or_else(|| unknown(name, config));
            let (node, target): (Node, Node) = (find(node)?, find(&format!("{PREFIX}.{target}"))?);
            net.match_features(FeatureMatch { node, target, weight });
        }
        let mut network: Network = net.build().map_err(|error| unequal(error, config))?;
        network.pixel_scale = pixel_scale;
        Ok((Model { network, input }, self.tensors))
    }
}

/// A mean loss above this is divergence: 10,000, and as much again for all that a teacher's terms are multiplied by.
pub fn loss_limit(config: &Config) -> f32 {
    let mut weight = 1.0;
    if config.teacher.is_some() {
        let temperature = config.distill_temperature.unwrap_or(DEFAULT_TEMPERATURE);
        weight += config.distill_weight.unwrap_or(DEFAULT_WEIGHT) * temperature * temperature;
        let of_feature = config.distill_feature_weight.unwrap_or(DEFAULT_FEATURE_WEIGHT);
        weight += of_feature * config.distill_features.len() as f64;
    }
    (LOSS_LIMIT * weight) as f32
}

fn unknown(name: &str, config: &Config) -> Failure {
    let whose = match name.strip_prefix(&format!("{PREFIX}.")) {
        Some(name) => format!("`{}`, which is no layer of the teacher", data::printable(name)),
        None => format!("`{}`, which is no layer of {}", data::printable(name), config.model),
    };
    Failure::Usage { message: format!("--distill-features names {whose}; `bitplane summary` lists layers") }
}

fn unequal(error: GraphError, config: &Config) -> Failure {
    if config.distill_features.is_empty() {
        return error.into();
    }
    Failure::Usage { message: format!("--distill-features: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;

    #[test]
    fn a_hot_teacher_raises_the_limit_of_the_loss() {
        let config = |text: &str| {
            let settings = crate::settings::Settings::parse(text, "test").expect("settings");
            Config::resolve(settings, &models::recipe("digits").expect("a model"))
        };
        assert_eq!(loss_limit(&config("")), 1e4);
        // At 100 a batch of ten even classes costs 0.5 100^2 ln 10, more than the limit without a teacher.
        assert!(loss_limit(&config("teacher = \"run\"\ndistill-temperature = 100.0")) > 5e7);
    }
}
