//! A trained network, found in its run folder or in a packed file and loaded on a device.

use std::path::{Path, PathBuf};

use gpu::Gpu;
use graph::{InputSpec, NamedTensor, Session};
use packed::File;

use super::config::resolve;
use crate::checkpoint::Checkpoint;
use crate::cli::CheckpointName;
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::identity::Identity;
use crate::kernel_choice::KernelChoice;
use crate::output;
use crate::packed_network::{identity, unpack};
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::store::{Store, Which};
use crate::trainer::Backend;

/// Images that a packed network is evaluated on at once; no result depends on it.
const PACKED_BATCH: u32 = 128;

/// A trained network as the disk holds it; no device is open yet.
pub struct Trained {
    /// What it was trained on.
    pub identity: Identity,
    /// The checkpoint's or the packed file's name.
    pub file: String,
    /// The data set that it is evaluated on where none is named.
    pub data: String,
    /// What becomes of images of that set that cannot be used.
    pub bad_images: data::Bad,
    /// Images that it is evaluated on at once.
    pub batch_size: u32,
    form: Form,
}

enum Form {
    Run { config: Box<Config>, checkpoint: Box<Checkpoint>, run: PathBuf },
    Packed { file: Box<File>, device: Option<String>, kernels: KernelChoice },
}

/// Finds the network in the run folder or packed file `path`; `flags` go before its settings.
///
/// # Errors
/// A folder without a run, a refused checkpoint or packed file.
pub fn find(path: &Path, checkpoint: Option<CheckpointName>, flags: Settings) -> Result<Trained, Failure> {
    if path.is_file() {
        return find_packed(path, checkpoint, flags);
    }
    let settings = run::read_settings(path)?;
    let config = resolve(flags, settings)?;
    let which = match checkpoint {
        None | Some(CheckpointName::Best) => Which::Best,
        Some(CheckpointName::Last) => Which::Last,
    };
    let loaded = Store::open(&Disk, &run::checkpoints(path))?.load_for(&which, &config)?;
    for warning in &loaded.warnings {
        output::note(&format!("warning: {warning}; using {}", loaded.file));
    }
    let (identity, data, batch_size) =
        (loaded.checkpoint.identity.clone(), config.data.clone(), config.batch_size);
    let bad_images = config.bad_images();
    let (config, checkpoint) = (Box::new(config), Box::new(loaded.checkpoint));
    let form = Form::Run { config, checkpoint, run: path.to_owned() };
    Ok(Trained { identity, file: loaded.file, data, bad_images, batch_size, form })
}

fn find_packed(path: &Path, checkpoint: Option<CheckpointName>, flags: Settings) -> Result<Trained, Failure> {
    let file = File::open(path)?;
    if checkpoint.is_some() {
        let message = format!("{} is a packed file, which has no --checkpoint", output::shown(path));
        return Err(Failure::Usage { message });
    }
    let identity = identity(&file);
    let data = identity.data.clone();
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (device, kernels) = (flags.device, flags.kernels.unwrap_or_default());
    let form = Form::Packed { file: Box::new(file), device, kernels };
    let (file, bad_images) = (data::printable(&name), data::Bad::Refuse);
    Ok(Trained { identity, file, data, bad_images, batch_size: PACKED_BATCH, form })
}

impl Trained {
    /// Loads it on its device, `batch_size` samples at once, with the form that images take there. `pictures` come first on
    /// the device where they fit, see [`Engine::holding`].
    ///
    /// # Errors
    /// No adapter, a checkpoint that does not fit the network, a device failure.
    pub fn open(&self, batch_size: u32, pictures: &[&[u8]]) -> Result<(Session<Gpu>, InputSpec), Failure> {
        match &self.form {
            Form::Packed { file, device, kernels } => {
                let unpacked = unpack(file)?;
                let engine =
                    Engine::deployed(unpacked.network, unpacked.input, batch_size, device.clone(), *kernels);
                let engine = engine.holding(pictures);
                let mut session = engine.open()?;
                session.load_deployed(&unpacked.tensors)?;
                Ok((session, engine.input()))
            }
            Form::Run { config, checkpoint, run } => {
                let engine = Engine::new(config, &self.identity.input(), batch_size)?
                    .preferring(run::kernels(run))
                    .holding(pictures);
                let mut session = engine.open()?;
                let tensors: &[NamedTensor] = &checkpoint.tensors;
                match config.allow_nonfinite {
                    true => session.load_parameters(tensors)?,
                    false => session.load_state(tensors)?,
                }
                Ok((session, engine.input()))
            }
        }
    }

    /// The checkpoint, where the network lies in a run folder.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match &self.form {
            Form::Run { checkpoint, .. } => Some(checkpoint),
            Form::Packed { .. } => None,
        }
    }
}
