//! What the tests that cross crates share: a device, models and batches.
//!
//! A missing adapter fails a test, unless `BITPLANE_GPU_TESTS=skip` is set; then the test says that it was skipped.

mod python;

use std::collections::BTreeMap;

pub use python::python;

use bitplane::models::{self, Model, ModelInput};
use gpu::Gpu;
use graph::{
    Batch, Bits, EpsilonForm, InputSpec, NamedTensor, Optimizer, Session, SessionOptions, StepReport,
};
use pollster::block_on;
use recording::{Executor, HostExecutor};

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

/// A relative of a model for 224x224 pictures, at another size, for ten classes.
pub fn reduced(name: &str, size: models::Size, bits: Bits) -> Model {
    let input = ModelInput { height: size.side, width: size.side, channels: 3, classes: 10 };
    let mut model = models::build_reduced(name, &input, bits, size).expect("the model builds");
    model.network.pixel_scale = models::recipe(name).expect("a recipe").preprocess.scale();
    model
}

/// AlexNet with a sixteenth of its widths on pictures that leave 2x2 pixels to its first fully connected layer.
pub const SMALL_ALEXNET: models::Size = models::Size { side: 99, divisor: 16 };

/// ResNet-18 with a sixteenth of its widths.
pub const SMALL_RESNET18: models::Size = models::Size { side: 64, divisor: 16 };

/// Options for batches of `batch_size` with Adam.
pub fn options(model: &Model, batch_size: u32) -> SessionOptions {
    options_for(model.input, batch_size)
}

/// The same for any network that reads pictures of `input`.
pub fn options_for(input: InputSpec, batch_size: u32) -> SessionOptions {
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
        input,
        resident: 0,
        change: graph::Change::None,
        first_sample: 0,
        max_binding_words: None,
        max_memory_bytes: None,
        frozen_batch_norm: false,
        kernels: graph::KernelPlan::default(),
        fold: true,
        fuse: true,
    }
}

/// A session on the device.
pub fn gpu_session(model: &Model, options: &SessionOptions) -> Option<Session<Gpu>> {
    Some(Session::new(open_gpu()?, &model.network, options).expect("a session"))
}

/// A session on the reference, with the dispatches that the best adapter would run.
pub fn host_session(model: &Model, options: &SessionOptions) -> Session<HostExecutor> {
    let lanes = block_on(gpu::select(None)).ok().and_then(|selected| selected.info.subgroup);
    Session::new(HostExecutor::with_subgroup(lanes), &model.network, options).expect("a session")
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
        Self::of(&model.input, samples, seed)
    }

    /// The same for pictures of `input`.
    pub fn of(input: &InputSpec, samples: u32, seed: u32) -> Self {
        let mut random = kernels::Random::new(seed);
        let bytes = samples * input.source_len();
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
        Batch {
            pixels: &self.pixels[from * size..to * size],
            labels: &self.labels[from..to],
            transforms: &[],
        }
    }
}

/// Widths W, A and G.
pub fn bits([weight, activation, gradient]: [u32; 3]) -> Bits {
    Bits::new(weight, activation, gradient).expect("valid widths")
}

/// `count` training steps on the same batch, from step `first` on.
pub fn train<E: Executor>(
    session: &mut Session<E>,
    batch: &Batch<'_>,
    first: u32,
    count: u32,
) -> Vec<StepReport> {
    (first..first + count).map(|step| block_on(session.step(batch, step, 1e-3)).expect("a step")).collect()
}

/// The bits of every tensor, by name, so that NaN and the sign of zero count.
pub fn words(tensors: &[NamedTensor]) -> BTreeMap<String, Vec<u32>> {
    let words = |tensor: &NamedTensor| tensor.values.iter().map(|value| value.to_bits()).collect();
    tensors.iter().map(|tensor| (tensor.name.clone(), words(tensor))).collect()
}

/// Fails with the first name whose bits differ.
pub fn assert_same(got: &[NamedTensor], want: &[NamedTensor], what: &str) {
    let (got, want) = (words(got), words(want));
    assert!(got.keys().eq(want.keys()), "{what}: other tensors");
    for (name, got) in &got {
        let differing = got.iter().zip(&want[name]).filter(|(a, b)| a != b).count();
        assert!(differing == 0, "{what}: {differing} of {} values of `{name}` differ", got.len());
    }
}

/// The largest absolute value.
pub fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |max, value| max.max(f64::from(value.abs())))
}

/// The largest absolute difference.
pub fn deviation(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |max, (a, b)| max.max((f64::from(*a) - f64::from(*b)).abs()))
}

/// The index of the first largest score of each sample.
pub fn classes_of(logits: &[f32], classes: usize) -> Vec<usize> {
    let first_largest = |row: &[f32]| (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
    logits.chunks(classes).map(|row| first_largest(row).expect("there are classes")).collect()
}

/// Makes value `at` of parameter `name` `value`, on the device; `at` counts from the end where it is negative.
pub fn plant<E: Executor>(session: &mut Session<E>, name: &str, at: i64, value: f32) {
    let slice = *session.parameter_slices().get(name).expect("a trained parameter");
    let at = if at < 0 { slice.words - at.unsigned_abs() } else { at.unsigned_abs() };
    session.executor_mut().write(slice.buffer, slice.offset + at, &[value.to_bits()]).expect("writes");
}
