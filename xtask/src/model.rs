//! A model on an adapter with a batch of seeded noise, for tasks that run whole training steps.

use anyhow::Result;
use bitplane::models::{self, ModelInput};
use bitplane::structure::StructureArgs;
use gpu::Gpu;
use graph::{Batch, Bits, EpsilonForm, Input, Optimizer, Selection, Session, SessionOptions};
use kernels::Random;

use crate::device;

/// What runs, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Adapter by index, part of its name, or type.
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
    /// Model name.
    #[arg(long, default_value = "digits")]
    pub model: String,
    /// Bits of weights, activations and gradients.
    #[arg(long, default_value = "1,2,4", value_name = "W,A,G")]
    pub bits: Bits,
    /// What rebuilds the model from bases.
    #[command(flatten)]
    pub structure: StructureArgs,
    /// Samples of the batch.
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub batch_size: u32,
    /// Runs batch norm, pool and quantization as kernels of their own.
    #[arg(long)]
    pub unfused: bool,
    /// Uploads the pictures with every step instead of once.
    #[arg(long)]
    pub streamed: bool,
    /// Seed of pictures and parameters.
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
}

/// A session and its batch.
pub struct Subject {
    /// The session.
    pub session: Session<Gpu>,
    pixels: Vec<u8>,
    pictures: Vec<u32>,
    labels: Vec<u32>,
}

impl Options {
    /// Opens the adapter and records the model on it.
    pub fn open(&self) -> Result<Subject> {
        let input = ModelInput::usual(&self.model, None, None);
        let structure = self.structure.structure()?;
        let model = models::build(&self.model, &input, self.bits)?.structured(structure.as_ref())?;
        let model = models::recipe(&self.model)?.preprocess.of(model)?;
        let adapter = device::chosen(self.device.as_deref(), false)?.remove(0);
        println!("{adapter}");
        let form = EpsilonForm::Uncorrected;
        let options = SessionOptions {
            batch_size: self.batch_size,
            optimizer: Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, form, weight_decay: 0.0 },
            seed: u64::from(self.seed),
            input: model.input,
            resident: if self.streamed { 0 } else { self.batch_size },
            change: graph::Change::None,
            first_sample: 0,
            max_binding_words: None,
            max_memory_bytes: None,
            frozen_batch_norm: false,
            kernels: graph::KernelPlan::default(),
            fold: true,
            fuse: !self.unfused,
        };
        let mut session = Session::new(device::open(&adapter)?, &model.network, &options)?;
        let mut random = Random::new(self.seed);
        let bytes = self.batch_size * model.input.source_len();
        let pixels: Vec<u8> = (0..bytes).map(|_| (random.word() >> 24) as u8).collect();
        let labels = (0..self.batch_size).map(|_| random.word() % input.classes).collect();
        if !self.streamed {
            session.load_pictures(&[&pixels])?;
        }
        Ok(Subject { session, pixels, pictures: (0..self.batch_size).collect(), labels })
    }
}

impl Subject {
    /// The session beside its batch.
    pub fn parts(&mut self) -> (&mut Session<Gpu>, Input<'_>) {
        let Self { session, pixels, pictures, labels } = self;
        let input = if session.resident() > 0 {
            Input::from(&Selection { pictures, labels, transforms: &[] })
        } else {
            Input::from(&Batch { pixels, labels, transforms: &[] })
        };
        (session, input)
    }
}
