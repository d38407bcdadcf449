//! `--init-from`: the weights and statistics of another training of the same model, at any widths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use graph::{NamedTensor, Network};
use sha2::{Digest, Sha256};

use crate::bit_masks::is_assigned;
use crate::checkpoint::{Checkpoint, check_finite};
use crate::config::{Config, hex};
use crate::exit::Failure;
use crate::flexnet;
use crate::models::ModelInput;
use crate::output::{note, shown};
use crate::run;
use crate::storage::{Disk, Storage, StorageError};
use crate::store::{Store, StoreError, Which};

/// Largest checkpoint in bytes that is read without a manifest.
const FILE_LIMIT: u64 = 4 << 30;
/// Tensors that a message names before it says how many more differ.
const NAMED: usize = 8;

/// What a training starts with in place of random weights.
pub struct Initial {
    /// Parameters and running statistics, without the optimizer's state.
    pub tensors: Vec<NamedTensor>,
    /// SHA-256 of the checkpoint's bytes, in hexadecimal.
    pub sha256: String,
}

/// Reads what `config` names, the best checkpoint of a run or a file, and checks that it fits pictures of `input`.
///
/// # Errors
/// A damaged file, another model, tensors that are missing or of another shape, values that are not finite unless the
/// settings admit them.
pub fn read(config: &Config, input: &ModelInput) -> Result<Option<Initial>, Failure> {
    let Some(given) = &config.init_from else { return Ok(None) };
    let (path, bytes) = find(Path::new(given))?;
    let refused = |source| StoreError::Refused { path: path.clone(), source };
    let unfit = |differences: String| StoreError::Unfit { path: path.clone(), differences };
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Some(wanted) = config.init_sha256.as_ref().filter(|wanted| **wanted != sha256) {
        return Err(unfit(format!("its SHA-256 is {sha256}, not {wanted}")).into());
    }
    let mut checkpoint = Checkpoint::decode_any(&bytes).map_err(refused)?;
    let model = flexnet::trained(config, input)?;
    checkpoint.tensors = match config.cut() {
        Some(cut) if !config.widths.is_empty() => {
            flexnet::of_cut(&checkpoint.tensors, &model.network, &cut, &config.widths)
        }
        _ => flexnet::completed(checkpoint.tensors, &model.network.parameters()),
    };
    let differences = differences(&checkpoint, &model.network, config);
    if !differences.is_empty() {
        return Err(unfit(data::printable(&differences.join("; "))).into());
    }
    let names: BTreeMap<String, Vec<usize>> = model.network.parameters().into_iter().collect();
    let own = own_parameters(config, &model.network);
    let wanted = |name: &String| names.contains_key(name) && !own.contains(name);
    let tensors: Vec<NamedTensor> =
        checkpoint.tensors.into_iter().filter(|tensor| wanted(&tensor.name)).collect();
    if !config.allow_nonfinite {
        tensors.iter().try_for_each(check_finite).map_err(refused)?;
    }
    let [weight, activation, gradient] = checkpoint.identity.bits;
    note(&format!(
        "starting with the weights and statistics of {} ({weight},{activation},{gradient} bits, epoch {}); the optimizer \
         starts anew",
        shown(&path),
        checkpoint.position.epoch
    ));
    Ok(Some(Initial { tensors, sha256 }))
}

/// The file that `given` means, and its bytes.
fn find(given: &Path) -> Result<(PathBuf, Vec<u8>), Failure> {
    if given.is_file() {
        let bytes = Disk.read(given, FILE_LIMIT).map_err(StorageError::at("read", given))?;
        return Ok((given.to_owned(), bytes));
    }
    run::read_settings(given)?;
    let intact = Store::open(&Disk, &run::checkpoints(given))?.intact(&Which::Best)?;
    Ok((intact.path, intact.bytes))
}

/// What a training does not start with, whatever was found: masks that it chooses, and lengths that it learns from those of
/// `--bits` on.
fn own_parameters(config: &Config, network: &Network) -> BTreeSet<String> {
    let lengths = config.trained_lengths().map(|_| network.length_parameters());
    let names = network.parameters().into_iter().map(|(name, _)| name);
    names.filter(|name| is_assigned(config, name)).chain(lengths.into_iter().flatten()).collect()
}

/// How what was found differs from what `network`, of the model that `config` names, needs.
fn differences(found: &Checkpoint, network: &Network, config: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    if found.identity.model != config.model {
        differences.push(format!("model is {}, not {}", found.identity.model, config.model));
    }
    let classes = found.identity.classes.len();
    if classes != network.classes as usize {
        differences.push(format!("number of classes is {classes}, not {}", network.classes));
    }
    let given: BTreeMap<&str, &[usize]> =
        found.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
    let lengths = network.length_parameters();
    let own = own_parameters(config, network);
    let tensors: Vec<String> = network
        .parameters()
        .into_iter()
        .filter(|(name, _)| !own.contains(name))
        .filter_map(|(name, shape)| match given.get(name.as_str()) {
            // A training may start with weights whose bits were not learned.
            None if lengths.contains(&name) => None,
            None => Some(format!("`{name}` is missing")),
            Some(found) if **found != shape => Some(format!("`{name}` has shape {found:?}, not {shape:?}")),
            Some(_) => None,
        })
        .collect();
    let more = tensors.len().saturating_sub(NAMED);
    differences.extend(tensors.into_iter().take(NAMED));
    if more > 0 {
        differences.push(format!("{more} more tensors"));
    }
    differences
}
