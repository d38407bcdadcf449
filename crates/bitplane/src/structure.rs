//! Flags and settings that rebuild a model from bases.

use clap::{Args, ValueEnum};
use graph::{GraphError, Partition, Structure};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::settings::Settings;

/// K where a structure is named without it, the number of the paper's main results.
pub const DEFAULT_BASES: u32 = 5;

/// What the outputs of the bases are multiplied with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BaseScales {
    /// Learned factors, which start at 1/K
    #[default]
    Learned,
    /// 1/K
    Average,
}

/// Whose the layers in the shortcut of a group's first block are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcut {
    /// One for all bases
    #[default]
    Shared,
    /// One for each base
    Own,
}

/// Flags of commands that take a model without a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct StructureArgs {
    /// Build layers (layer-wise), blocks (v1), pairs of blocks (v2), the network (v3) or groups of these many blocks from bases
    #[arg(long, value_name = "NAME|N,N")]
    pub structure: Option<String>,
    /// Bases of each part of the structure [default: 5]
    #[arg(long, value_name = "K")]
    pub bases: Option<u32>,
    /// What the outputs of the bases are multiplied with
    #[arg(long, value_name = "KIND")]
    pub base_scales: Option<BaseScales>,
    /// Whose the layers in the shortcut of a group's first block are
    #[arg(long, value_name = "WHOSE")]
    pub shortcut: Option<Shortcut>,
    /// Let bases read the mean of all in a learned ratio, between the blocks of a group
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub soft: Option<bool>,
}

impl StructureArgs {
    /// `settings` with these flags.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Settings {
        let Self { structure, bases, base_scales, shortcut, soft } = self;
        Settings { structure, bases, base_scales, shortcut, soft, ..settings }
    }

    /// The structure, or none where none is named.
    ///
    /// # Errors
    /// [`GraphError::Structure`] or [`GraphError::StructureText`] for words that are none, and for flags without the structure
    /// that they are about.
    pub fn structure(&self) -> Result<Option<Structure>, GraphError> {
        let refused = |message: &str| Err(GraphError::Structure { message: message.to_owned() });
        let Some(text) = &self.structure else {
            return match self {
                Self { bases: Some(_), .. } => {
                    refused("--bases counts the bases of a --structure, which is not named")
                }
                Self { base_scales: Some(_), .. } => {
                    refused("--base-scales is about the bases of a --structure, which is not named")
                }
                Self { shortcut: Some(_), .. } => {
                    refused("--shortcut is about the groups of a --structure, which is not named")
                }
                Self { soft: Some(true), .. } => {
                    refused("--soft joins the bases of a --structure, which is not named")
                }
                _ => Ok(None),
            };
        };
        let partition: Partition = text.parse()?;
        if partition == Partition::LayerWise && self.shortcut.is_some() {
            return refused(
                "--shortcut is about groups of blocks; layer-wise gives every layer its own bases",
            );
        }
        let soft = self.soft.unwrap_or(false);
        if partition == Partition::LayerWise && soft {
            return refused("--soft joins the bases between the blocks of a group; layer-wise has no groups");
        }
        let bases = self.bases.unwrap_or(DEFAULT_BASES);
        if !(1..=graph::MOST_BASES).contains(&bases) {
            return refused(&format!("--bases {bases}; 1 to {} can be combined", graph::MOST_BASES));
        }
        let scales = match self.base_scales.unwrap_or_default() {
            BaseScales::Learned => graph::BaseScales::Learned,
            BaseScales::Average => graph::BaseScales::Average,
        };
        let shortcut = match self.shortcut.unwrap_or_default() {
            Shortcut::Shared => graph::Shortcut::Shared,
            Shortcut::Own => graph::Shortcut::Own,
        };
        Ok(Some(Structure { partition, bases, scales, shortcut, soft }))
    }
}

impl Settings {
    /// What rebuilds the model from bases.
    pub fn structure(&self) -> StructureArgs {
        let Self { structure, bases, base_scales, shortcut, soft, .. } = self;
        let structure = structure.clone();
        StructureArgs {
            structure,
            bases: *bases,
            base_scales: *base_scales,
            shortcut: *shortcut,
            soft: *soft,
        }
    }
}

impl Config {
    /// What rebuilds the model from bases, if anything.
    pub fn structure(&self) -> Option<Structure> {
        let Self { structure, bases, base_scales, shortcut, soft, .. } = self;
        let structure = structure.clone();
        let args = StructureArgs {
            structure,
            bases: *bases,
            base_scales: *base_scales,
            shortcut: *shortcut,
            soft: soft.then_some(true),
        };
        args.structure().expect("the structure was checked")
    }

    /// What a run's name has behind the model's, such as `-v1-k5`.
    pub(crate) fn structure_name(&self) -> String {
        self.structure().map_or(String::new(), |structure| {
            let partition = structure.partition.to_string().replace(',', ".");
            format!("-{partition}-k{}", structure.bases)
        })
    }
}

/// Refuses words that are no structure: key, value and what is allowed.
pub(crate) fn check(structure: Option<&str>) -> Result<(), (&'static str, String, String)> {
    let Some(text) = structure else { return Ok(()) };
    let allowed = || "layer-wise, v1, v2, v3, or blocks per group such as 1,1,2".to_owned();
    let parsed: Result<Partition, _> = text.parse();
    parsed.map(drop).map_err(|_| ("structure", data::printable(text), allowed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(structure: Option<&str>) -> StructureArgs {
        StructureArgs { structure: structure.map(str::to_owned), ..StructureArgs::default() }
    }

    #[test]
    fn a_structure_has_five_bases_with_learned_scales() {
        assert_eq!(args(None).structure(), Ok(None));
        let structure = args(Some("1,1,2")).structure().expect("valid").expect("a structure");
        assert_eq!(structure.partition, Partition::Groups(vec![1, 1, 2]));
        let Structure { bases, scales, shortcut, .. } = structure;
        assert_eq!((bases, scales, shortcut), (5, graph::BaseScales::Learned, graph::Shortcut::Shared));
    }

    #[test]
    fn flags_that_say_nothing_are_refused_by_name() {
        let refused = |args: StructureArgs| args.structure().expect_err("refused").to_string();
        assert!(refused(StructureArgs { bases: Some(3), ..args(None) }).contains("--bases"));
        let scales = Some(BaseScales::Average);
        assert!(refused(StructureArgs { base_scales: scales, ..args(None) }).contains("--base-scales"));
        let own = Some(Shortcut::Own);
        assert!(refused(StructureArgs { shortcut: own, ..args(None) }).contains("--shortcut"));
        assert!(refused(StructureArgs { shortcut: own, ..args(Some("layer-wise")) }).contains("layer-wise"));
        assert!(refused(StructureArgs { bases: Some(0), ..args(Some("v1")) }).contains("--bases 0"));
        let soft = Some(true);
        assert!(refused(StructureArgs { soft, ..args(None) }).contains("--soft"));
        assert!(refused(StructureArgs { soft, ..args(Some("layer-wise")) }).contains("--soft"));
        assert!(refused(args(Some("v7"))).contains("`v7` is no structure"));
    }
}
