//! From settings to a session on a GPU.

use std::cell::Cell;

use gpu::{AdapterInfo, DeviceType, Gpu};
use graph::{InputSpec, Network, Session, SessionOptions};
use pollster::block_on;

use crate::config::Config;
use crate::exit::Failure;
use crate::memory;
use crate::models::{self, Model, ModelInput};
use crate::output;
use crate::trainer::Backend;

/// Opens sessions of one network on the adapter that the user chose.
pub struct Engine {
    device: Option<String>,
    network: Network,
    options: SessionOptions,
    announced: Cell<bool>,
}

impl Engine {
    /// For the network that `config` names, on images of the shape `input`, `batch_size` at a time.
    ///
    /// # Errors
    /// A model that does not fit the images.
    pub fn new(config: &Config, input: &ModelInput, batch_size: u32) -> Result<Self, Failure> {
        let Model { network, input, .. } = models::build(&config.model, input, config.bits())?;
        let options = SessionOptions {
            batch_size,
            optimizer: config.optimizer(),
            seed: config.seed,
            input,
            first_sample: 0,
            max_binding_words: None,
            max_memory_bytes: None,
            frozen_batch_norm: false,
            kernels: graph::KernelPlan::default(),
            fold: true,
            fuse: true,
        };
        Ok(Self { device: config.device.clone(), network, options, announced: Cell::new(false) })
    }

    /// How images become input.
    pub fn input(&self) -> InputSpec {
        self.options.input
    }

    /// Says which adapter is used, the first time.
    fn announce(&self, info: &AdapterInfo, notice: Option<&str>) {
        if self.announced.replace(true) {
            return;
        }
        if let Some(notice) = notice {
            output::note(&format!("note: {}", data::printable(notice)));
        }
        output::note(&data::printable(&format!("adapter {info}")));
    }
}

impl Backend for Engine {
    type Executor = Gpu;

    fn open(&self) -> Result<Session<Gpu>, Failure> {
        let selected = block_on(gpu::select(self.device.as_deref()))?;
        self.announce(&selected.info, selected.notice.as_deref());
        let software = selected.info.device_type == DeviceType::Software;
        let max_memory_bytes = if software { memory::available() } else { None };
        let options = SessionOptions { max_memory_bytes, ..self.options.clone() };
        let gpu = block_on(Gpu::open(selected, kernels::SHARED))?;
        Ok(Session::new(gpu, &self.network, &options)?)
    }

    fn lose_device(&self, session: &mut Session<Gpu>) {
        // With nothing under way the next call notices, so that the step of the failure is always the same.
        let gpu = session.executor_mut();
        if block_on(gpu.finish()).is_ok() {
            gpu.destroy_device();
        }
    }
}
