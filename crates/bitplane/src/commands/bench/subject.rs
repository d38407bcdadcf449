//! A network on the adapter with a batch of seeded noise.

use std::time::Instant;

use gpu::{DeviceType, Gpu};
use graph::{Batch, Bits, GraphError, KernelPlan, Phase, RING, Session, SessionOptions, Structure};
use kernels::Random;
use pollster::block_on;
use recording::Executor;

use super::check::mismatch;
use super::context::{clock, go_on, open_device};
use crate::batches::centered;
use crate::exit::Failure;
use crate::memory;
use crate::models::{self, ModelInput};
use crate::settings::MAX_BATCH_SIZE;

const LEARNING_RATE: f64 = 1e-3;
/// A repetition does its work again until it takes this long.
const SECONDS: f64 = 0.2;
/// Batches that one repetition evaluates at most.
const MOST_BATCHES: u32 = 64;
/// Difference of two results, relative to their size, that roundings and the codes they move explain.
const TOLERANCE: f64 = 0.05;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Network.
    pub model: String,
    /// Bits of weights, activations and gradients.
    pub bits: Bits,
    /// What rebuilds the model from bases.
    pub structure: Option<Structure>,
    /// Images of a batch.
    pub batch_size: u32,
    /// Seed of pictures and parameters.
    pub seed: u32,
    /// Adapter.
    pub device: Option<String>,
}

/// A session, its batch and the steps that it has done.
pub struct Subject<E: Executor = Gpu> {
    /// The session.
    pub session: Session<E>,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    transforms: Vec<graph::Transform>,
    step: u32,
}

/// Times of the dispatches of one phase.
pub struct PhaseTimes {
    /// The phase.
    pub phase: Phase,
    /// Seconds of each dispatch, in order.
    pub seconds: Vec<f64>,
    /// The clock.
    pub timed_by: &'static str,
}

impl Spec {
    /// The model in f32, without bases.
    pub fn twin(&self) -> Self {
        let bits = Bits::new(32, 32, 32).expect("32 bits are f32");
        Self { bits, structure: None, ..self.clone() }
    }

    /// The same with each of these numbers of bases, where it has any, and with one of them at last.
    pub fn by_bases(&self, counts: &[u32]) -> Vec<Self> {
        let Some(structure) = &self.structure else { return vec![self.clone()] };
        let several = counts.iter().filter(|count| **count != 1).chain([&1]);
        let with = |&bases: &u32| Some(Structure { bases, ..structure.clone() });
        several.map(|bases| Self { structure: with(bases), ..self.clone() }).collect()
    }

    /// Bases of each part of the structure.
    pub fn bases(&self) -> Option<u32> {
        self.structure.as_ref().map(|structure| structure.bases)
    }

    /// True where all products run in f32 anyway.
    pub fn is_f32(&self) -> bool {
        *self == self.twin()
    }

    /// The network, without a device.
    ///
    /// # Errors
    /// An unknown model, too large a batch.
    pub fn model(&self) -> Result<models::Model, Failure> {
        if self.batch_size > MAX_BATCH_SIZE {
            let message = format!("batches of {}, at most {MAX_BATCH_SIZE} are trained", self.batch_size);
            return Err(Failure::Usage { message });
        }
        let input = ModelInput::usual(&self.model, None, None);
        let model = models::build(&self.model, &input, self.bits)?.structured(self.structure.as_ref())?;
        Ok(models::recipe(&self.model)?.preprocess.of(model)?)
    }

    /// A session on the adapter that runs its products on the kernels of `plan`.
    ///
    /// # Errors
    /// An unknown model, sizes beyond the adapter's limits.
    pub fn open(&self, plan: &KernelPlan) -> Result<Subject, Failure> {
        let gpu = open_device(self.device.as_deref(), false)?;
        let most = most_memory(&gpu);
        self.on(gpu, plan, most)
    }

    /// The same on kernels that run on every adapter.
    fn open_portable(&self) -> Result<Subject, Failure> {
        let plan = KernelPlan { portable: true, ..KernelPlan::default() };
        let gpu = open_device(self.device.as_deref(), true)?;
        let most = most_memory(&gpu);
        self.on(gpu, &plan, most)
    }

    fn on<E: Executor>(
        &self,
        executor: E,
        plan: &KernelPlan,
        max_memory_bytes: Option<u64>,
    ) -> Result<Subject<E>, Failure> {
        let model = self.model()?;
        let options = SessionOptions {
            batch_size: self.batch_size,
            optimizer: models::recipe(&self.model)?.optimizer,
            seed: u64::from(self.seed),
            input: model.input,
            resident: 0,
            change: graph::Change::None,
            first_sample: 0,
            max_binding_words: None,
            max_memory_bytes,
            frozen_batch_norm: false,
            fold: true,
            fuse: true,
            kernels: plan.clone(),
        };
        let session = Session::new(executor, &model.network, &options)?;
        Ok(Subject::new(session, &options, 10))
    }

    /// Compares the gradients of the first step under `plan` with those of kernels that run everywhere; tells how close
    /// they are.
    ///
    /// # Errors
    /// [`Failure::Mismatch`], a device failure.
    pub fn check_training(&self, plan: &KernelPlan) -> Result<&'static str, Failure> {
        let wanted = self.open_portable()?.gradients()?;
        self.compare(&self.open(plan)?.gradients()?, &wanted)
    }

    /// Compares the class scores under `plan` with those of kernels that run everywhere; tells how close they are.
    ///
    /// # Errors
    /// [`Failure::Mismatch`], a device failure.
    pub fn check_inference(&self, plan: &KernelPlan) -> Result<&'static str, Failure> {
        let wanted = self.open_portable()?.scores()?;
        self.compare(&self.open(plan)?.scores()?, &wanted)
    }

    fn compare(&self, got: &[Values], wanted: &[Values]) -> Result<&'static str, Failure> {
        for (got, want) in got.iter().zip(wanted) {
            close(
                &format!("{} of {} at {} bits", want.name, self.model, self.bits),
                &got.values,
                &want.values,
            )?;
        }
        let equal = got.iter().zip(wanted).all(|(got, want)| bits_of(got).eq(bits_of(want)));
        Ok(if equal { "portable kernels, bit for bit" } else { "portable kernels but for roundings" })
    }
}

/// Bytes that a software adapter may take; others refuse on their own.
pub fn most_memory(gpu: &Gpu) -> Option<u64> {
    if gpu.info().device_type == DeviceType::Software { memory::available() } else { None }
}

/// A result that is compared.
struct Values {
    name: String,
    values: Vec<f32>,
}

fn bits_of(values: &Values) -> impl Iterator<Item = u32> {
    values.values.iter().map(|value| value.to_bits())
}

/// Nothing, if `got` is `want` but for roundings.
///
/// # Errors
/// [`Failure::Mismatch`].
pub fn close(what: &str, got: &[f32], want: &[f32]) -> Result<(), Failure> {
    let size = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = size(&mut got.iter().zip(want).map(|(got, want)| f64::from(*got) - f64::from(*want)));
    let bound = TOLERANCE * size(&mut want.iter().map(|&value| f64::from(value)));
    // Written so that a NaN fails.
    if got.len() == want.len() && apart <= bound {
        return Ok(());
    }
    Err(mismatch(
        what,
        &format!("{apart:e} from the portable kernels' result, at most {bound:e} is rounding"),
    ))
}

impl<E: Executor> Subject<E> {
    /// A session with a batch of noise in up to ten of its classes.
    pub fn new(session: Session<E>, options: &SessionOptions, classes: u32) -> Self {
        let &SessionOptions { batch_size, input, seed, .. } = options;
        let mut random = Random::new(seed as u32);
        let pixels = (0..u64::from(batch_size) * u64::from(input.source_len()))
            .map(|_| (random.word() >> 24) as u8)
            .collect();
        let labels = (0..batch_size).map(|_| random.word() % classes.min(10)).collect();
        let transforms = vec![centered(&input); batch_size as usize];
        Self { session, pixels, labels, transforms, step: 0 }
    }

    /// The gradients of the first step.
    fn gradients(mut self) -> Result<Vec<Values>, Failure> {
        go_on()?;
        let (session, batch) = self.parts();
        block_on(session.forward(&batch, 0))?;
        block_on(session.backward())?;
        let gradients = block_on(session.gradients())?.into_iter();
        let named = |name| format!("the gradient of {name}");
        Ok(gradients.map(|found| Values { name: named(found.name), values: found.values }).collect())
    }

    /// The class scores of the deployed form.
    fn scores(mut self) -> Result<Vec<Values>, Failure> {
        go_on()?;
        let (session, batch) = self.parts();
        block_on(session.freeze())?;
        let values = block_on(session.logits(&batch))?;
        Ok(vec![Values { name: "the class scores".to_owned(), values }])
    }

    /// The session beside its batch.
    pub fn parts(&mut self) -> (&mut Session<E>, Batch<'_>) {
        let batch = Batch { pixels: &self.pixels, labels: &self.labels, transforms: &self.transforms };
        (&mut self.session, batch)
    }

    /// Seconds of a training step, the mean of `steps` that are queued one behind the other as training does, from the
    /// first upload to the last report.
    ///
    /// # Errors
    /// A value that is not finite, a device failure, an interruption.
    pub fn train(&mut self, steps: u32) -> Result<f64, Failure> {
        go_on()?;
        let first = self.step;
        self.step += steps;
        let (session, batch) = self.parts();
        let began = Instant::now();
        for step in first..first + steps {
            block_on(session.submit_step(&batch, step, LEARNING_RATE))?;
        }
        while block_on(session.next_report())?.is_some() {}
        Ok(began.elapsed().as_secs_f64() / f64::from(steps))
    }

    /// Packs the weights for [`Subject::infer`].
    ///
    /// # Errors
    /// A device failure.
    pub fn freeze(&mut self) -> Result<(), Failure> {
        Ok(block_on(self.session.freeze())?)
    }

    /// Seconds of the evaluation of a batch, from its upload to its loss, the mean of `batches`.
    ///
    /// # Errors
    /// A loss that is not finite, a device failure, an interruption.
    pub fn infer(&mut self, batches: u32) -> Result<f64, Failure> {
        go_on()?;
        let (session, batch) = self.parts();
        let began = Instant::now();
        for _ in 0..batches {
            let loss = block_on(session.evaluate(&batch))?.loss_sum;
            if !loss.is_finite() {
                return Err(Failure::TestLoss { loss });
            }
        }
        Ok(began.elapsed().as_secs_f64() / f64::from(batches))
    }
}

/// Steps that a repetition queues where one takes `seconds`: as many as training has under way.
pub fn steps_of_a_repetition(seconds: f64) -> u32 {
    ((SECONDS / seconds).ceil() as u32).clamp(1, RING as u32)
}

/// Batches that a repetition evaluates where one takes `seconds`.
pub fn batches_of_a_repetition(seconds: f64) -> u32 {
    ((SECONDS / seconds).ceil() as u32).clamp(1, MOST_BATCHES)
}

impl Subject {
    /// Times every dispatch of `phases`.
    ///
    /// # Errors
    /// A device failure, an interruption.
    pub fn profile(&mut self, phases: &[Phase]) -> Result<Vec<PhaseTimes>, Failure> {
        let mut result = Vec::new();
        for &phase in phases {
            go_on()?;
            let (gpu, prepared) = self.session.prepared(phase);
            let Some(prepared) = prepared else { continue };
            let profile = block_on(gpu.profile(prepared)).map_err(GraphError::from)?;
            let seconds = profile.kernels.iter().map(|time| time.seconds).collect();
            result.push(PhaseTimes { phase, seconds, timed_by: clock(profile.source) });
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::testing::{Broken, bench};

    #[test]
    fn results_that_differ_by_more_than_roundings_are_wrong() {
        assert!(close("x", &[1.0, 2.001], &[1.0, 2.0]).is_ok());
        for wrong in [&[1.0, 1.0][..], &[f32::NAN, 2.0], &[-1.0, -2.0], &[1.0]] {
            assert!(matches!(close("x", wrong, &[1.0, 2.0]), Err(Failure::Mismatch { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_repetition_is_long_enough_to_be_timed() {
        assert_eq!([3.0, 0.1, 1e-6, 0.0].map(steps_of_a_repetition), [1, 2, 8, 8]);
        assert_eq!([3.0, 0.1, 1e-6, 0.0].map(batches_of_a_repetition), [1, 2, 64, 64]);
    }

    #[test]
    fn a_wrong_kernel_is_noticed_before_a_network_is_timed() {
        if bench().is_none() {
            return;
        }
        let (model, bits) = ("digits".to_owned(), Bits::new(1, 2, 4).expect("widths"));
        let spec = Spec { model, bits, structure: None, batch_size: 32, seed: 0, device: None };
        let plan = KernelPlan { portable: true, ..KernelPlan::default() };
        let broken = |from, to| {
            let gpu = open_device(None, true).expect("opens");
            spec.on(Broken { gpu, kernel: "and_product", from, to }, &plan, None).expect("fits")
        };
        let gradients = spec.open_portable().and_then(Subject::gradients).expect("runs");
        let scores = spec.open_portable().and_then(Subject::scores).expect("runs");
        let intact = || spec.open(&KernelPlan::default()).expect("fits");
        spec.compare(&intact().gradients().expect("runs"), &gradients).expect("equal");
        spec.compare(&intact().scores().expect("runs"), &scores).expect("equal");
        let (from, to) = ("countOneBits(", "2u * countOneBits(");
        let wrong = spec.compare(&broken(from, to).gradients().expect("runs"), &gradients);
        assert!(matches!(wrong, Err(Failure::Mismatch { .. })), "{wrong:?}");
        let wrong = spec.compare(&broken(from, to).scores().expect("runs"), &scores);
        assert!(matches!(wrong, Err(Failure::Mismatch { .. })), "{wrong:?}");
    }
}
