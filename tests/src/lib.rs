//! What the tests that cross crates share: a device, models and batches.
//!
//! A missing adapter fails a test, unless `BITPLANE_GPU_TESTS=skip` is set; then the test says that it was skipped.

use bitplane::models::{self, Model, ModelInput};
use gpu::Gpu;
use graph::{Batch, Bits, EpsilonForm, Optimizer, Session, SessionOptions};
use pollster::block_on;
use recording::HostExecutor;

/// The best adapter, or `None` where tests without one were asked for.
pub fn open_gpu() -> Option<Gpu> {
    let opened = block_on(async { Gpu::open(gpu::select(None).await?, kernels::SHARED).await });
    match opened {
        Ok(gpu) => Some(gpu),
        Err(error) if std::env::var("BITPLANE_GPU_TESTS").as_deref() == Ok("skip") => {
            println!("skipped for want of an adapter: {error}");
            None
        }
        Err(error) => panic!("{error}; set BITPLANE_GPU_TESTS=skip to run without"),
    }
}

/// A model for small pictures of ten classes.
pub fn model(name: &str, size: u32, bits: Bits) -> Model {
    let channels = if name == "digits" { 1 } else { 3 };
    let input = ModelInput { height: size, width: size, channels, classes: 10 };
    models::build(name, &input, bits).expect("the model builds")
}

/// Options for batches of `batch_size` with Adam.
pub fn options(model: &Model, batch_size: u32) -> SessionOptions {
    let optimizer = Optimizer::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-5,
        form: EpsilonForm::Uncorrected,
        weight_decay: 0.0,
    };
    SessionOptions {
        batch_size,
        optimizer,
        seed: 7,
        input: model.input,
        max_binding_words: None,
        frozen_batch_norm: false,
        fold: true,
    }
}

/// A session on the device.
pub fn gpu_session(model: &Model, options: &SessionOptions) -> Option<Session<Gpu>> {
    Some(Session::new(open_gpu()?, &model.network, options).expect("a session"))
}

/// A session on the reference.
pub fn host_session(model: &Model, options: &SessionOptions) -> Session<HostExecutor> {
    Session::new(HostExecutor::new(), &model.network, options).expect("a session")
}

/// Seeded pictures with labels.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// Bytes, `[sample][row][column][channel]`.
    pub pixels: Vec<u8>,
    /// Classes.
    pub labels: Vec<u32>,
}

impl Pictures {
    /// `samples` pictures of noise for `model`, each class equally likely.
    pub fn new(model: &Model, samples: u32, seed: u32) -> Self {
        let mut random = kernels::Random::new(seed);
        let bytes = samples * model.input.source_len();
        let pixels = (0..bytes).map(|_| (random.word() >> 24) as u8).collect();
        Self { pixels, labels: (0..samples).map(|_| random.word() % 10).collect() }
    }

    /// All pictures as one batch.
    pub fn batch(&self) -> Batch<'_> {
        Batch { pixels: &self.pixels, labels: &self.labels, transforms: &[] }
    }

    /// Pictures `from..to` as a batch.
    pub fn part(&self, from: usize, to: usize) -> Batch<'_> {
        let size = self.pixels.len() / self.labels.len();
        Batch { pixels: &self.pixels[from * size..to * size], labels: &self.labels[from..to], transforms: &[] }
    }
}
