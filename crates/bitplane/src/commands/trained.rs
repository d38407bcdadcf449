//! A trained network, found in its run folder and loaded on a device.

use std::path::{Path, PathBuf};

use gpu::Gpu;
use graph::{InputSpec, Session};

use super::config::resolve;
use crate::checkpoint::Identity;
use crate::cli::CheckpointName;
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::manifest::{Store, Which};
use crate::models::ModelInput;
use crate::output;
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::trainer::Backend;

/// What to load and how.
pub struct Request<'a> {
    /// Run folder.
    pub run: &'a Path,
    /// Which checkpoint.
    pub checkpoint: CheckpointName,
    /// Adapter, where it is not the training's.
    pub device: Option<&'a str>,
    /// Samples at once; none takes the training's batch size.
    pub batch_size: Option<u32>,
}

/// The network, ready to be evaluated.
pub struct Trained {
    /// Settings of its training.
    pub config: Config,
    /// What it was trained on.
    pub identity: Identity,
    /// The checkpoint's file name.
    pub file: String,
    /// The session that holds it.
    pub session: Session<Gpu>,
    /// How images become input.
    pub input: InputSpec,
    /// Samples at once.
    pub batch_size: u32,
}

/// Loads what is asked for.
///
/// # Errors
/// A folder without a run, a refused checkpoint, no adapter.
pub fn load(request: &Request<'_>) -> Result<Trained, Failure> {
    let settings = run::read_settings(request.run)?;
    let flags = Settings { device: request.device.map(str::to_owned), ..Settings::default() };
    let config = resolve(flags, settings)?;
    let which = match request.checkpoint {
        CheckpointName::Best => Which::Best,
        CheckpointName::Last => Which::Last,
    };
    let folder: PathBuf = run::checkpoints(request.run);
    let store = Store::open(&Disk, &folder)?;
    let loaded = store.load_for(&which, &config)?;
    for warning in &loaded.warnings {
        output::note(&format!("warning: {warning}; using {}", loaded.file));
    }
    let identity = loaded.checkpoint.identity;
    let batch_size = request.batch_size.unwrap_or(config.batch_size);
    let [height, width, channels] = identity.image;
    let classes = u32::try_from(identity.classes.len()).expect("a checkpoint's header bounds its classes");
    let engine = Engine::new(&config, &ModelInput { height, width, channels, classes }, batch_size)?;
    let mut session = engine.open()?;
    session.load_state(&loaded.checkpoint.tensors)?;
    Ok(Trained { config, identity, file: loaded.file, session, input: engine.input(), batch_size })
}
