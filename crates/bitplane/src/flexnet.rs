//! FlexNet: the network that `--widths` trains, and what of it belongs to one width.

use std::collections::BTreeMap;

use graph::{Bits, Cut, NamedTensor, Network, WidthLoss, Widths, width_of_name};

use crate::config::Config;
use crate::exit::Failure;
use crate::method::{FlexBatchNorm, FlexTraining, Rounding};
use crate::models::{self, Model, ModelError, ModelInput};
use crate::settings::Settings;

/// Refuses settings that do not go together with `--widths`, or need it.
///
/// # Errors
/// [`Failure::Usage`] names both.
pub fn check(settings: &Settings) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::Usage { message });
    let Some(&widest) = settings.widths.as_ref().and_then(|widths| widths.first()) else {
        let alone = [
            ("flex-training", settings.flex_training.is_some()),
            ("flex-batch-norm", settings.flex_batch_norm.is_some()),
            ("nested-form", settings.nested_form.is_some()),
        ];
        return match alone.iter().find(|(_, given)| *given) {
            Some((name, _)) => usage(format!("--{name} belongs to --widths, which is not given")),
            None => Ok(()),
        };
    };
    let bits: Option<Bits> = settings.bits.as_deref().and_then(|text| text.parse().ok());
    if let Some(bits) = bits.filter(|bits| bits.weight != widest || bits.activation != widest) {
        let gradient = bits.gradient;
        return usage(format!(
            "--bits {bits} has other weights and activations than --widths, whose widest is {widest}; write --bits \
             {widest},{widest},{gradient}, or leave --bits away"
        ));
    }
    if settings.rounding == Some(Rounding::Floor) {
        return usage(
            "--rounding floor has no codes for --widths; --nested-form chooses among those".to_owned(),
        );
    }
    if settings.structure.is_some() {
        return usage("--structure does not go together with --widths; bases have one width".to_owned());
    }
    if settings.max_gradient == Some(true) {
        return usage(
            "--max-gradient does not go together with --widths, whose maximum is a constant".to_owned(),
        );
    }
    Ok(())
}

/// The widths that `config` trains together, where there are several.
pub fn widths(config: &Config) -> Option<Widths> {
    let loss = match config.flex_training {
        FlexTraining::Recursive => WidthLoss::Recursive,
        FlexTraining::Joint => WidthLoss::Joint,
        FlexTraining::Sampled => WidthLoss::Sampled,
    };
    let own_batch_norms = config.flex_batch_norm == FlexBatchNorm::PerWidth;
    let bits = config.trained_widths();
    (!bits.is_empty()).then(|| Widths { bits: bits.to_vec(), loss, own_batch_norms })
}

/// The network that `config` trains, with a head for every width.
///
/// # Errors
/// As [`models::build_by`].
pub fn trained(config: &Config, input: &ModelInput) -> Result<Model, ModelError> {
    let model = evaluated(config, input)?;
    Ok(match widths(config) {
        Some(widths) => Model { network: model.network.with_widths(&widths)?, ..model },
        None => model,
    })
}

/// The network that `config` evaluates: at its widest, or cut with its batch norm alone to train.
///
/// # Errors
/// As [`models::build_by`], and a cut that the network has no form for.
pub fn evaluated(config: &Config, input: &ModelInput) -> Result<Model, ModelError> {
    let structure = config.structure();
    let model =
        models::build_by(&config.model, input, config.bits(), (&config.method(), structure.as_ref()))?;
    Ok(match config.cut() {
        Some(cut) => Model { network: model.network.cut(&cut)?.with_batch_norm_alone()?, ..model },
        None => model,
    })
}

/// The widths that a FlexNet was trained at, where those of `cut` are none of them.
pub fn untrained(config: &Config, cut: &Cut) -> Option<String> {
    let known = config.trained_widths();
    let trained = cut.width().is_some_and(|bits| known.contains(&bits));
    let widths = || known.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    (!known.is_empty() && !trained).then(widths)
}

/// The tensors that an evaluation cut to `cut` takes from the state of a training of `widths`, under the names of `network`,
/// which is cut. Of batch norms it takes those of the same width, in a mix those of the next wider one to the operands of the
/// convolution before them.
pub fn of_cut(tensors: &[NamedTensor], network: &Network, cut: &Cut, widths: &[u32]) -> Vec<NamedTensor> {
    let next_wider = |bits: u32| widths.iter().copied().filter(|width| *width >= bits).min();
    let norms = network.batch_norm_widths().into_iter();
    let chosen: BTreeMap<&str, Option<u32>> =
        norms.map(|(name, bits)| (name, cut.width().or(bits).and_then(next_wider))).collect();
    let mut taken: BTreeMap<String, &NamedTensor> = BTreeMap::new();
    for tensor in tensors {
        match split(&tensor.name) {
            Some((layer, bits, suffix)) if chosen.get(layer) == Some(&Some(bits)) => {
                taken.insert(format!("{layer}.{suffix}"), tensor);
            }
            Some(_) => {}
            None => _ = taken.entry(tensor.name.clone()).or_insert(tensor),
        }
    }
    taken.into_iter().map(|(name, tensor)| NamedTensor { name, ..tensor.clone() }).collect()
}

/// `tensors`, and for batch norms of narrower widths that they lack, those of the layer that all widths are named after.
pub fn completed(tensors: Vec<NamedTensor>, wanted: &[(String, Vec<usize>)]) -> Vec<NamedTensor> {
    let known: BTreeMap<String, NamedTensor> =
        tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let copied = wanted.iter().filter(|(name, _)| !known.contains_key(name)).filter_map(|(name, _)| {
        let (layer, _, suffix) = split(name)?;
        let source = known.get(&format!("{layer}.{suffix}"))?;
        Some(NamedTensor { name: name.clone(), ..source.clone() })
    });
    let copied: Vec<NamedTensor> = copied.collect();
    known.into_values().chain(copied).collect()
}

/// Layer, bits and parameter of a tensor that belongs to a narrower width alone.
fn split(name: &str) -> Option<(&str, u32, &str)> {
    let (layer, suffix) = name.rsplit_once('.')?;
    let (layer, bits) = width_of_name(layer)?;
    Some((layer, bits, suffix))
}

#[cfg(test)]
mod tests {
    use graph::name_at_width;

    use super::*;

    fn tensor(name: &str, value: f32) -> NamedTensor {
        NamedTensor { name: name.to_owned(), shape: vec![1], values: vec![value] }
    }

    #[test]
    fn narrower_batch_norms_start_as_the_widest() {
        let wanted: Vec<(String, Vec<usize>)> =
            ["bn1.gamma", "bn1@2.gamma", "conv1.weight"].map(|name| (name.to_owned(), vec![1])).into();
        let found = completed(vec![tensor("bn1.gamma", 3.0), tensor("conv1.weight", 1.0)], &wanted);
        assert!(found.contains(&tensor("bn1@2.gamma", 3.0)));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn names_of_widths_are_read_back() {
        assert_eq!(split(&format!("{}.gamma", name_at_width("a.bn1", 3))), Some(("a.bn1", 3, "gamma")));
        assert_eq!(split("a.bn1.gamma"), None);
    }
}
