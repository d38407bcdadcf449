//! A trained network, found in its run folder or in a packed file and loaded on a device.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use data::Dataset;
use gpu::Gpu;
use graph::{Cut, InputSpec, NamedTensor, Session};
use packed::File;
use pollster::block_on;

use super::config::resolve;
use crate::batches::{Assembly, Epoch, Source};
use crate::checkpoint::{Checkpoint, check_finite};
use crate::cli::{CheckpointName, CutArgs};
use crate::config::Config;
use crate::cut;
use crate::dataset;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::fetch;
use crate::flexnet;
use crate::identity::Identity;
use crate::kernel_choice::KernelChoice;
use crate::output;
use crate::packed_network::{identity, unpack};
use crate::preprocess::Preprocess;
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::store::{Store, StoreError, Which};
use crate::trainer::{Backend, steps_per_epoch};

/// Images that a packed network is evaluated on at once; no result depends on it.
const PACKED_BATCH: u32 = 128;

/// Batches from which running statistics are taken again after a cut: the old ones are left with 0.9^64 of their weight.
const REESTIMATION_BATCHES: u32 = 64;

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
    Run { config: Box<Config>, checkpoint: Box<Checkpoint>, run: PathBuf, cut: Option<CutRun> },
    Packed { file: Box<File>, device: Option<String>, kernels: KernelChoice },
}

/// What a run is cut to.
struct CutRun {
    cut: Cut,
    /// The data set that batch norm's statistics are taken again from.
    reestimate: Option<Box<Dataset>>,
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
    let form = Form::Run { config, checkpoint, run: path.to_owned(), cut: None };
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
            Form::Run { config, checkpoint, run, cut } => {
                let engine = |batch_size| -> Result<Engine<'_>, Failure> {
                    let cut = cut.as_ref().map(|cut| &cut.cut);
                    let engine = Engine::cut(config, &self.identity.input(), batch_size, cut)?;
                    Ok(engine.preferring(run::kernels(run)))
                };
                let mut tensors = Cow::Borrowed(checkpoint.tensors.as_slice());
                if let [widest, ..] = config.trained_widths() {
                    let whole = Cut::uniform(*widest);
                    let cut = cut.as_ref().map_or(&whole, |cut| &cut.cut);
                    tensors =
                        Cow::Owned(flexnet::of_cut(&tensors, engine(1)?.network(), cut, &config.widths));
                }
                if let Some(dataset) = cut.as_ref().and_then(|cut| cut.reestimate.as_deref()) {
                    let mut session = engine(config.batch_size)?.open()?;
                    load(&mut session, (config, &self.file), &tensors)?;
                    tensors = Cow::Owned(reestimated(session, config, dataset)?);
                }
                let engine = engine(batch_size)?.holding(pictures);
                let mut session = engine.open()?;
                load(&mut session, (config, &self.file), &tensors)?;
                Ok((session, engine.input()))
            }
        }
    }

    /// The same network cut to what `args` ask for.
    ///
    /// # Errors
    /// Widths that are none, widths above the network's, a packed file, a data set that does not fit.
    pub fn cut(mut self, args: &CutArgs) -> Result<Self, Failure> {
        let wanted = |this: &Self, [weight, activation]: [u32; 2]| -> Result<Option<CutRun>, Failure> {
            let Some(cut) = cut::read(args, [weight, activation])? else {
                return match args.reestimate {
                    None => Ok(None),
                    Some(_) => usage("--reestimate follows a cut; give --bits or --bits-map too"),
                };
            };
            cut::check(&cut, [weight, activation])?;
            if [cut.weight, cut.activation] == [weight, activation] && cut.layers.is_empty() {
                return Ok(None);
            }
            if let Form::Run { config, .. } = &this.form
                && let Some(width) = flexnet::untrained(config, &cut)
                && args.reestimate.is_none()
            {
                return usage(&format!(
                    "the run was trained at {width} bits, batch norm has no statistics of {cut}; --reestimate DATA \
                     takes them from training images, such as --reestimate {}",
                    data::printable(&this.data)
                ));
            }
            let reestimate =
                args.reestimate.as_ref().map(|spec| this.dataset(spec).map(Box::new)).transpose()?;
            Ok(Some(CutRun { cut, reestimate }))
        };
        let [weight, activation, gradient] = self.identity.bits;
        if let Form::Packed { file, .. } = &mut self.form {
            if args.bits_map.is_some() || args.reestimate.is_some() {
                return usage(
                    "a packed file has the widths that it was written with; cut the run in its folder",
                );
            }
            if let Some(Cut { weight, activation, .. }) = cut::read(args, [weight, activation])? {
                **file = match file.at([weight, activation]) {
                    Ok(narrower) => narrower,
                    Err(error) => return usage(&format!("{} {error}", self.file)),
                };
                self.identity = identity(file);
            }
            return Ok(self);
        }
        let found = wanted(&self, [weight, activation])?;
        if let (Some(found), Form::Run { cut, config, .. }) = (found, &mut self.form) {
            let Cut { weight: to_weight, activation: to_activation, .. } = found.cut;
            self.identity.bits = [to_weight.min(weight), to_activation.min(activation), gradient];
            if config.trained_widths().is_empty() {
                let again = "; --reestimate DATA takes batch norm's statistics again";
                let advice = if found.reestimate.is_some() { "" } else { again };
                let cut = &found.cut;
                output::note(&format!("note: a network that was not trained for it is cut to {cut}{advice}"));
            }
            *cut = Some(found);
        }
        Ok(self)
    }

    /// The data set `spec`, if the network reads its pictures and knows its classes; warns of what could not be used.
    ///
    /// # Errors
    /// A refused data set, or one that does not fit.
    pub fn dataset(&self, spec: &str) -> Result<Dataset, Failure> {
        let dataset = dataset::for_network(&fetch::located(spec), self.bad_images, self.identity.image)?;
        let found = ([dataset.height, dataset.width, dataset.channels], dataset.classes.len());
        let wanted = (self.identity.image, self.identity.classes.len());
        if found != wanted {
            let message = format!(
                "the data set {} has images of {:?} in {} classes, the network was trained on {:?} in {}; \
                 choose a --data that fits",
                data::printable(&dataset.name),
                found.0,
                found.1,
                wanted.0,
                wanted.1
            );
            return Err(Failure::Usage { message });
        }
        Ok(dataset)
    }

    /// How pictures become input, where the network lies in a run folder.
    pub fn preprocess(&self) -> Preprocess {
        match &self.form {
            Form::Run { config, .. } => config.preprocess(),
            Form::Packed { .. } => Preprocess::Plain,
        }
    }

    /// The widths that a run was trained at together, the widest first; none where there is one.
    pub fn widths(&self) -> &[u32] {
        match &self.form {
            Form::Run { config, .. } => config.trained_widths(),
            Form::Packed { .. } => &[],
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

/// Puts parameters and statistics in place.
fn load(
    session: &mut Session<Gpu>,
    (config, file): (&Config, &str),
    tensors: &[NamedTensor],
) -> Result<(), Failure> {
    // A width of a FlexNet has no state of the optimizer of its own.
    if !config.allow_nonfinite && config.trained_widths().is_empty() {
        return Ok(session.load_state(tensors)?);
    }
    if !config.allow_nonfinite {
        let refused = |source| StoreError::Refused { path: PathBuf::from(file), source };
        tensors.iter().try_for_each(check_finite).map_err(refused)?;
    }
    Ok(session.load_parameters(tensors)?)
}

/// The state of `session`, with running statistics of the first training batches as training showed them.
fn reestimated(
    mut session: Session<Gpu>,
    config: &Config,
    dataset: &Dataset,
) -> Result<Vec<NamedTensor>, Failure> {
    let steps = steps_per_epoch(config, dataset)?;
    let (input, epoch) = (session.input(), Epoch::new(config.seed, 0, dataset.train.len()));
    let source = Source::new(&dataset.train, &session, 0);
    let mut assembly = Assembly::default();
    for step in 0..REESTIMATION_BATCHES {
        let show = |sample| epoch.transform(sample, config.augment, config.crop_padding, &input);
        let samples = |step: u32| epoch.samples(step % steps, config.batch_size);
        let batch = assembly.fill(&source, (samples(step), samples(step + 1)), show)?;
        block_on(session.forward(batch, step))?;
    }
    block_on(session.report())?;
    Ok(block_on(session.state())?)
}

fn usage<T>(message: &str) -> Result<T, Failure> {
    Err(Failure::Usage { message: message.to_owned() })
}
