//! From settings to a session on a GPU.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use gpu::{AdapterInfo, DeviceType, Gpu};
use graph::{
    Change, Cut, GraphError, InputSpec, NamedTensor, Network, Optimizer, ProductKey, ProductNote, Session,
    SessionOptions, plan_products,
};
use kernels::Arithmetic;
use pollster::block_on;
use recording::{Executor, ExecutorError, HostExecutor};

use crate::config::Config;
use crate::exit::Failure;
use crate::flexnet;
use crate::kernel_choice::KernelChoice;
use crate::memory;
use crate::models::{Model, ModelInput};
use crate::output;
use crate::teacher::Teacher;
use crate::trainer::Backend;
use crate::tuner::{self, AdapterKey, Cache, Choices, Tuned, adapter_choices};

/// A switch for tests: with `streamed` each batch brings its pictures, with `files` it decodes them from their files too.
const PICTURES: &str = "BITPLANE_PICTURES";

/// How folders of images are read.
pub fn reading(bad: data::Bad) -> data::Reading {
    let in_files = std::env::var(PICTURES).is_ok_and(|value| value == "files");
    let in_memory = if in_files { 0 } else { data::SPLIT_LIMIT };
    data::Reading { bad, in_memory }
}

/// Opens sessions of one network on the adapter that the user chose.
pub struct Engine<'a> {
    device: Option<String>,
    network: Network,
    options: SessionOptions,
    arithmetic: Option<Arithmetic>,
    /// The choices that a run was started with.
    stored: Option<PathBuf>,
    choices: RefCell<Option<Choices>>,
    pictures: Vec<&'a [u8]>,
    /// Values of the network's frozen part.
    frozen: Vec<NamedTensor>,
    announced: RefCell<Option<String>>,
}

impl<'a> Engine<'a> {
    /// For the network that `config` names, on images of the shape `input`, `batch_size` at a time.
    ///
    /// # Errors
    /// A model that does not fit the images.
    pub fn new(config: &Config, input: &ModelInput, batch_size: u32) -> Result<Self, Failure> {
        let model = config.preprocess().of(flexnet::trained(config, input)?)?;
        Ok(Self::with(config, model, batch_size))
    }

    fn with(config: &Config, model: Model, batch_size: u32) -> Self {
        let Model { network, input, .. } = model;
        let (device, arithmetic) = (config.device.clone(), config.kernels.arithmetic());
        let engine = Self::of(network, input, batch_size, device, arithmetic);
        let (optimizer, seed, change) = (config.optimizer(), config.seed, config.augment.change());
        let options = SessionOptions { optimizer, seed, change, ..engine.options };
        Self { options, ..engine }
    }

    /// For an evaluation of the network that `config` names, cut to `cut` where there is one.
    ///
    /// # Errors
    /// As [`Engine::new`], and a cut that the network has no form for.
    pub fn cut(
        config: &Config,
        input: &ModelInput,
        batch_size: u32,
        cut: Option<&Cut>,
    ) -> Result<Self, Failure> {
        let model = flexnet::evaluated(config, input)?;
        let network = match cut {
            Some(cut) => model.network.cut(cut)?,
            None => model.network,
        };
        let model = config.preprocess().of(Model { network, ..model })?;
        Ok(Self::with(config, model, batch_size))
    }

    /// For a network of a packed file.
    pub fn deployed(
        network: Network,
        input: InputSpec,
        batch_size: u32,
        device: Option<String>,
        kernels: KernelChoice,
    ) -> Self {
        Self::of(network, input, batch_size, device, kernels.arithmetic())
    }

    fn of(
        network: Network,
        input: InputSpec,
        batch_size: u32,
        device: Option<String>,
        arithmetic: Option<Arithmetic>,
    ) -> Self {
        let options = SessionOptions {
            batch_size,
            optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
            seed: 0,
            input,
            resident: 0,
            change: Change::None,
            first_sample: 0,
            max_binding_words: None,
            max_memory_bytes: None,
            frozen_batch_norm: false,
            kernels: graph::KernelPlan::default(),
            fold: true,
            fuse: true,
        };
        Self {
            device,
            network,
            options,
            arithmetic,
            stored: None,
            choices: RefCell::new(None),
            pictures: Vec::new(),
            frozen: Vec::new(),
            announced: RefCell::new(None),
        }
    }

    /// Lets sessions hold `pictures`, one part behind the other, where the device has memory for them.
    #[must_use]
    pub fn holding(self, pictures: &[&'a [u8]]) -> Self {
        Self { pictures: pictures.to_vec(), ..self }
    }

    /// Lets the network learn from `teacher`, as `config` asks.
    ///
    /// # Errors
    /// As [`Teacher::teach`].
    pub fn taught_by(self, teacher: Teacher, config: &Config) -> Result<Self, Failure> {
        let student = Model { network: self.network, input: self.options.input };
        let (Model { network, .. }, frozen) = teacher.teach(student, config)?;
        Ok(Self { network, frozen, ..self })
    }

    /// Prefers the kernels in the file at `path`, if it is there and was measured on the adapter, to the user's cache.
    #[must_use]
    pub fn preferring(self, path: PathBuf) -> Self {
        Self { stored: Some(path), ..self }
    }

    /// Measures which kernel computes each product fastest, for this engine's sessions and for later ones on the adapter.
    /// Calls `each` after every product, and gives the file that keeps the choices.
    ///
    /// # Errors
    /// No adapter, a product that no kernel computes correctly, a device failure.
    pub fn tune(&self, mut each: impl FnMut(&Tuned)) -> Result<Option<PathBuf>, Failure> {
        let selected = block_on(gpu::select(self.device.as_deref()))?;
        self.announce(&selected.info, selected.notice.as_deref());
        let adapter = AdapterKey::from(&selected.info);
        let cache = Cache::of_user();
        let mut choices = cache.load(&adapter);
        let mut gpu = block_on(Gpu::open(selected, kernels::SHARED))?;
        let notes = plan_products(gpu.limits(), &self.network, &self.options)?;
        let keys: BTreeSet<ProductKey> =
            notes.iter().filter_map(|note| note.tactic).map(|(key, _)| key).collect();
        for key in keys {
            let tuned = tuner::tune(&mut gpu, key, &choices.struck(), self.arithmetic)?;
            for (tactic, why) in &tuned.struck {
                output::note(&data::printable(&format!(
                    "warning: kernel {tactic} is not used on this adapter: {why}"
                )));
            }
            choices.add(self.arithmetic, &tuned);
            each(&tuned);
        }
        let file = match cache.save(&adapter, &choices) {
            Ok(()) => cache.file(&adapter),
            Err(error) => {
                output::note(&format!("warning: the choices are kept for this process alone: {error}"));
                None
            }
        };
        *self.choices.borrow_mut() = Some(choices);
        Ok(file)
    }

    /// The measured choices that the sessions opened so far use.
    pub fn choices(&self) -> Option<Choices> {
        self.choices.borrow().clone()
    }

    /// Those that were measured by this engine, or stored with the run, or cached.
    fn find_choices(&self, info: &AdapterInfo) -> Choices {
        let adapter = AdapterKey::from(info);
        let mut known = self.choices.borrow_mut();
        if known.as_ref().is_none_or(|choices| *choices.adapter() != adapter) {
            let stored = self.stored.as_ref().and_then(|path| adapter_choices(path, &adapter));
            *known = Some(stored.unwrap_or_else(|| Cache::of_user().load(&adapter)));
        }
        known.clone().expect("filled above")
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The products of a training step on an adapter with no more than WebGPU's default limits, where nothing was tuned. Needs
    /// no device.
    ///
    /// # Errors
    /// Tensors that such an adapter cannot hold.
    pub fn products(&self) -> Result<Vec<ProductNote>, Failure> {
        Ok(plan_products(HostExecutor::new().limits(), &self.network, &self.options)?)
    }

    /// Layers with weights.
    pub fn weighted_layers(&self) -> Vec<&str> {
        self.network.weighted_layers()
    }

    /// How images become input.
    pub fn input(&self) -> InputSpec {
        self.options.input
    }

    /// Says which adapter is used, the first time and where a later session has another.
    fn announce(&self, info: &AdapterInfo, notice: Option<&str>) {
        let name = info.to_string();
        let before = self.announced.replace(Some(name.clone()));
        if before.as_ref() == Some(&name) {
            return;
        }
        announce(info, notice);
        if let Some(before) = before {
            let message = format!("warning: training goes on here, as {before} is gone; results may differ");
            output::note(&data::printable(&message));
        }
    }
}

impl Engine<'_> {
    /// A session that may hold the pictures.
    fn open_with(&self, may_hold: bool) -> Result<Session<Gpu>, Failure> {
        let selected = block_on(gpu::select(self.device.as_deref()))?;
        self.announce(&selected.info, selected.notice.as_deref());
        let software = selected.info.device_type == DeviceType::Software;
        let max_memory_bytes = if software { memory::available() } else { None };
        let kernels = self.find_choices(&selected.info).plan(self.arithmetic);
        let gpu = block_on(Gpu::open(selected, kernels::SHARED))?;
        let bytes: usize = self.pictures.iter().map(|part| part.len()).sum();
        let binding = gpu.limits().binding_words.saturating_mul(4);
        let held = may_hold && memory::may_hold(bytes as u64, binding, max_memory_bytes);
        let count = bytes / self.options.input.source_len().max(1) as usize;
        let resident = if held { u32::try_from(count).unwrap_or(0) } else { 0 };
        let options = SessionOptions { max_memory_bytes, resident, kernels, ..self.options.clone() };
        let mut session = Session::new(gpu, &self.network, &options)?;
        if !self.frozen.is_empty() {
            session.load_frozen(&self.frozen)?;
        }
        if resident > 0 {
            session.load_pictures(&self.pictures)?;
        }
        Ok(session)
    }
}

impl Backend for Engine<'_> {
    type Executor = Gpu;

    fn open_head(&self, head: usize) -> Result<Session<Gpu>, Failure> {
        let (stored, choices) = (self.stored.clone(), self.choices.borrow().clone());
        let engine = Engine {
            device: self.device.clone(),
            network: self.network.head(head),
            options: self.options.clone(),
            arithmetic: self.arithmetic,
            stored,
            choices: RefCell::new(choices),
            pictures: Vec::new(),
            frozen: Vec::new(),
            announced: self.announced.clone(),
        };
        engine.open_with(false)
    }

    fn open(&self) -> Result<Session<Gpu>, Failure> {
        let streamed = std::env::var(PICTURES).is_ok_and(|value| value == "streamed");
        match self.open_with(!streamed) {
            // Without the pictures the network may fit.
            Err(failure) if !streamed && !self.pictures.is_empty() && is_want_of_memory(&failure) => {
                self.open_with(false)
            }
            opened => opened,
        }
    }

    fn lose_device(&self, session: &mut Session<Gpu>) {
        // With nothing under way the next call notices, so that the step of the failure is always the same.
        let gpu = session.executor_mut();
        if block_on(gpu.finish()).is_ok() {
            gpu.destroy_device();
        }
    }
}

/// Says which adapter is used, and what there is to know about the choice.
pub fn announce(info: &AdapterInfo, notice: Option<&str>) {
    if let Some(notice) = notice {
        output::note(&format!("note: {}", data::printable(notice)));
    }
    output::note(&data::printable(&format!("adapter {info}")));
}

fn is_want_of_memory(failure: &Failure) -> bool {
    let Failure::Graph(error) = failure else { return false };
    matches!(
        error,
        GraphError::Memory { .. }
            | GraphError::TooLarge { .. }
            | GraphError::Executor(ExecutorError::OutOfMemory { .. } | ExecutorError::Limit { .. })
    )
}
