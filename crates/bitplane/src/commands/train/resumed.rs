//! The checkpoint that a training goes on from, and bringing its run back to where that stands.

use std::path::Path;

use graph::NamedTensor;

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::exit::Failure;
use crate::identity::Identity;
use crate::initial;
use crate::models::ModelInput;
use crate::output::{note, shown};
use crate::run::{self, RunFolder};
use crate::storage::Disk;
use crate::store::{Store, Which};
use crate::trainer::Start;

/// Height, width and channels of the images that the run in `path` was started with, if it holds a checkpoint.
pub(super) fn image(which: &Which, path: &Path, config: &Config) -> Result<Option<[u32; 3]>, Failure> {
    let store = Store::open(&Disk, &run::checkpoints(path))?;
    if store.manifest().is_none() {
        return Ok(None);
    }
    Ok(Some(store.load_for(which, config)?.checkpoint.identity.image))
}

/// What a training goes on from.
pub(super) struct Resumed {
    store: Store<'static>,
    /// The checkpoint and its file; none where the run holds none yet.
    loaded: Option<(Checkpoint, String)>,
    initial: Option<Vec<NamedTensor>>,
}

impl Resumed {
    /// Loads the checkpoint. Nothing of the run is changed, as the training may still be refused.
    pub(super) fn read(
        which: &Which,
        folder: &RunFolder,
        (identity, config, input): (&Identity, &Config, &ModelInput),
    ) -> Result<Self, Failure> {
        let store = Store::open(&Disk, &folder.checkpoints())?;
        if store.manifest().is_none() && *which == Which::Last {
            note("note: the run holds no checkpoint yet, training starts anew");
            let initial = initial::read(config, input)?.map(|initial| initial.tensors);
            return Ok(Self { store, loaded: None, initial });
        }
        let loaded = store.load(which, identity)?;
        for warning in &loaded.warnings {
            note(&format!("warning: {warning}; going on from {}", loaded.file));
        }
        let position = loaded.checkpoint.position;
        note(&format!(
            "resuming {} from {}: epoch {}, step {}",
            shown(folder.path()),
            loaded.file,
            position.epoch + 1,
            position.step
        ));
        Ok(Self { store, loaded: Some((loaded.checkpoint, loaded.file)), initial: None })
    }

    /// Brings manifest and metrics back to where the checkpoint stands.
    pub(super) fn rewind(mut self, folder: &RunFolder) -> Result<(Store<'static>, Start), Failure> {
        let epoch = self.loaded.as_ref().map_or(0, |(checkpoint, _)| checkpoint.position.epoch);
        // Whatever ends the program in between, the checkpoint that the manifest names has its lines.
        folder.recorded(&Disk, epoch)?;
        let mut checkpoint = None;
        if let Some((mut loaded, file)) = self.loaded {
            self.store.rewind(&file, &mut loaded.position)?;
            checkpoint = Some(loaded);
        }
        let records = folder.rewind_metrics(&Disk, epoch)?;
        folder.rewind_logs(&Disk, epoch)?;
        Ok((self.store, Start { checkpoint, initial: self.initial, records }))
    }
}
