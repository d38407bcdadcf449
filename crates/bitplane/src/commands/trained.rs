//! A trained network, found in its run folder and loaded on a device.

use std::path::{Path, PathBuf};

use gpu::Gpu;
use graph::{InputSpec, NamedTensor, Session};

use super::config::resolve;
use crate::checkpoint::Checkpoint;
use crate::cli::CheckpointName;
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::identity::Identity;
use crate::models::ModelInput;
use crate::output;
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::store::{Store, Which};
use crate::trainer::Backend;

/// A trained network as the run folder holds it; no device is open yet.
pub struct Trained {
    /// Settings of its training.
    pub config: Config,
    /// What it was trained on.
    pub identity: Identity,
    /// The checkpoint's file name.
    pub file: String,
    tensors: Vec<NamedTensor>,
    run: PathBuf,
}

/// Finds the network in the run folder `run`; `flags` go before its settings.
///
/// # Errors
/// A folder without a run, a refused checkpoint.
pub fn find(run: &Path, checkpoint: CheckpointName, flags: Settings) -> Result<Trained, Failure> {
    let settings = run::read_settings(run)?;
    let config = resolve(flags, settings)?;
    let which = match checkpoint {
        CheckpointName::Best => Which::Best,
        CheckpointName::Last => Which::Last,
    };
    let loaded = Store::open(&Disk, &run::checkpoints(run))?.load_for(&which, &config)?;
    for warning in &loaded.warnings {
        output::note(&format!("warning: {warning}; using {}", loaded.file));
    }
    let Checkpoint { identity, tensors, .. } = loaded.checkpoint;
    Ok(Trained { config, identity, file: loaded.file, tensors, run: run.to_owned() })
}

impl Trained {
    /// Loads it on its device, `batch_size` samples at once, with the form that images take there. `pictures` come first on
    /// the device where they fit, see [`Engine::holding`].
    ///
    /// # Errors
    /// No adapter, a checkpoint that does not fit the network, a device failure.
    pub fn open(&self, batch_size: u32, pictures: &[&[u8]]) -> Result<(Session<Gpu>, InputSpec), Failure> {
        let [height, width, channels] = self.identity.image;
        let classes =
            u32::try_from(self.identity.classes.len()).expect("a checkpoint's header bounds its classes");
        let input = ModelInput { height, width, channels, classes };
        let engine = Engine::new(&self.config, &input, batch_size)?
            .preferring(run::kernels(&self.run))
            .holding(pictures);
        let mut session = engine.open()?;
        session.load_state(&self.tensors)?;
        Ok((session, engine.input()))
    }
}
