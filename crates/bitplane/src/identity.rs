//! What a checkpoint belongs to, and how two of these differ.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::models::ModelInput;

/// What a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Model name.
    pub model: String,
    /// Bits of weights, activations and gradients.
    pub bits: [u32; 3],
    /// Kind of data set.
    pub data: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Height, width and channels of an image of the data set.
    pub image: [u32; 3],
    /// Seed of everything random.
    pub seed: u64,
    /// [`crate::config::Config::hash`].
    pub config_hash: String,
}

impl Identity {
    /// The identity of a training with these settings on images of this height, width and channels.
    pub fn new(config: &Config, image: [u32; 3], classes: Vec<String>) -> Self {
        let bits = config.computed_bits();
        Self {
            model: config.model.clone(),
            bits: [bits.weight, bits.activation, bits.gradient],
            data: config.data_kind().to_owned(),
            classes,
            image,
            seed: config.seed,
            config_hash: config.hash(),
        }
    }

    /// The images and classes as a model takes them.
    pub fn input(&self) -> ModelInput {
        let [height, width, channels] = self.image;
        let classes = u32::try_from(self.classes.len()).expect("a checkpoint's header bounds its classes");
        ModelInput { height, width, channels, classes }
    }

    /// Where this, as found, differs from what is wanted, in words; the model's own description comes first.
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, mine: String, theirs: String| {
            if mine != theirs {
                found.push(data::printable(&format!("{what} is {mine}, not {theirs}")));
            }
        };
        compare("model", self.model.clone(), wanted.model.clone());
        compare("bits", format!("{:?}", self.bits), format!("{:?}", wanted.bits));
        compare("data set", self.data.clone(), wanted.data.clone());
        compare("image", format!("{:?}", self.image), format!("{:?}", wanted.image));
        compare("number of classes", self.classes.len().to_string(), wanted.classes.len().to_string());
        if self.classes.len() == wanted.classes.len() {
            compare("classes", self.classes.join(" "), wanted.classes.join(" "));
        }
        compare("seed", self.seed.to_string(), wanted.seed.to_string());
        if found.is_empty() && self.config_hash != wanted.config_hash {
            found.push(
                "other training settings (batch size, optimizer, schedule, augmentation, or epochs of a cosine)"
                    .to_owned(),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;

    #[test]
    fn differences_are_listed() {
        let wanted = sample(1).identity;
        assert!(wanted.differences(&wanted).is_empty());
        let other =
            Identity { model: "svhn-c".into(), bits: [8, 8, 8], classes: vec!["x".into()], ..wanted.clone() };
        let text = other.differences(&wanted).join("; ");
        assert_eq!(
            text,
            "model is svhn-c, not digits; bits is [8, 8, 8], not [1, 2, 4]; number of classes is 1, not 2"
        );
        let settings = Identity { config_hash: "cd".into(), ..wanted.clone() };
        assert!(settings.differences(&wanted)[0].contains("other training settings"));
    }
}
