//! A network on an executor: training steps, evaluation, saved state.

mod deployed;
mod evaluate;
mod lengths;
mod observe;
mod options;
mod pictures;
mod ring;
mod state;

use std::collections::{BTreeMap, VecDeque};

pub use observe::{Data, Observed};
pub use options::{Change, Evaluation, InputSpec, NamedTensor, SessionOptions, StepReport};
pub use ring::RING;

use recording::{BufferId, BufferSlice, Dispatch, Executor, Recording};

use crate::{
    GraphError, MemoryPlan, Network, Phase, ProductNote,
    batch::Input,
    parameter::Init,
    plan::checked_plan,
    schedule::{Schedule, status_words},
};

/// A network, its memory and its recordings on one executor.
#[derive(Debug)]
pub struct Session<E: Executor> {
    executor: E,
    schedule: Schedule,
    plan: MemoryPlan,
    buffers: Vec<BufferId>,
    /// All buffers and their words, also those that the network as it is recorded now has no use for.
    allocated: Vec<(u64, BufferId)>,
    recordings: BTreeMap<Phase, Recording>,
    prepared: BTreeMap<Phase, E::Prepared>,
    /// Forward, backward and apply as one.
    whole: Option<E::Prepared>,
    /// The same of each part of the heads that a step may draw.
    parts: Vec<E::Prepared>,
    queue: VecDeque<ring::Queued>,
    evaluations: VecDeque<evaluate::QueuedEvaluation>,
    /// Words on their way from or to the device; their memory is used again.
    words: Vec<u32>,
    /// What clears the status.
    zeros: Vec<u32>,
    options: SessionOptions,
    network: Network,
    classes: u32,
    parameter_count: u64,
    step: u32,
    ready: Option<Phase>,
    frozen: bool,
    /// Parameters of frozen parts, which no state holds.
    held: Vec<NamedTensor>,
    loaded: bool,
    deployed: bool,
}

/// Stream of the random numbers that choose a part of the heads; no layer has it.
const DRAW_STREAM: u32 = u32::MAX;

/// The phases of a step of all heads.
const WHOLE: [Phase; 3] = [Phase::Forward, Phase::Backward, Phase::Apply];

fn phases_of(part: usize) -> [Phase; 3] {
    let part = u32::try_from(part).expect("few parts");
    [Phase::Part { part, backward: false }, Phase::Part { part, backward: true }, Phase::Apply]
}

impl<E: Executor> Session<E> {
    /// Records `network`, plans and allocates memory, compiles, and initializes parameters from the seed.
    ///
    /// The batch is cut into chunks of samples where a tensor would pass the binding limit; results do not depend on it.
    ///
    /// # Errors
    /// Tensors that cannot be cut small enough, and the executor's failures.
    pub fn new(executor: E, network: &Network, options: &SessionOptions) -> Result<Self, GraphError> {
        let mut executor = executor;
        let (schedule, plan) = checked_plan(executor.limits(), network, options)?;
        let buffers = plan
            .slots
            .iter()
            .map(|(label, words)| executor.allocate(label, *words))
            .collect::<Result<Vec<_>, _>>()?;
        let allocated = plan.slots.iter().map(|slot| slot.1).zip(buffers.iter().copied()).collect();
        let mut session = Self {
            recordings: BTreeMap::new(),
            prepared: BTreeMap::new(),
            whole: None,
            parts: Vec::new(),
            queue: VecDeque::with_capacity(RING),
            evaluations: VecDeque::with_capacity(RING),
            words: Vec::new(),
            zeros: vec![0; status_words(&schedule.recorder) as usize],
            options: options.clone(),
            network: network.clone(),
            classes: network.classes,
            parameter_count: network.parameter_count(),
            step: 0,
            ready: None,
            frozen: false,
            held: Vec::new(),
            loaded: options.resident == 0,
            deployed: network.deployed,
            executor,
            schedule,
            plan,
            buffers,
            allocated,
        };
        session.prepare()?;
        session.initialize()?;
        Ok(session)
    }

    fn prepare(&mut self) -> Result<(), GraphError> {
        for (phase, dispatches) in &self.schedule.recorder.phases {
            let place = |slice: &BufferSlice| self.place(*slice);
            let dispatches = dispatches
                .iter()
                .map(|d| Dispatch { buffers: d.buffers.iter().map(place).collect(), ..d.clone() })
                .collect();
            self.recordings.insert(*phase, Recording { dispatches });
        }
        for (phase, recording) in &self.recordings {
            self.prepared.insert(*phase, self.executor.prepare(recording)?);
        }
        for phases in std::iter::once(WHOLE).chain((0..self.schedule.idle.len()).map(phases_of)) {
            let parts: Vec<_> = phases.iter().filter_map(|phase| self.prepared.get(phase)).collect();
            let joined = self.executor.join(&parts);
            match self.whole {
                None => self.whole = Some(joined),
                Some(_) => self.parts.push(joined),
            }
        }
        Ok(())
    }

    /// The part of the heads that training step `step` draws, where there are parts: a function of seed and step alone.
    fn drawn(&self, step: u32) -> Option<usize> {
        let parts = self.schedule.idle.len();
        let uniform = reference::random::uniform(self.options.seed, step, DRAW_STREAM, 0, 0);
        (parts > 0).then(|| ((uniform * parts as f64) as usize).min(parts - 1))
    }

    /// The phases of training step `step`.
    pub(crate) fn step_phases(&self, step: u32) -> [Phase; 3] {
        self.drawn(step).map_or(WHOLE, phases_of)
    }

    /// Sets the gradients that training step `step` leaves alone to 0.
    pub(crate) fn prepare_step(&mut self, step: u32) -> Result<(), GraphError> {
        let Some(part) = self.drawn(step) else { return Ok(()) };
        for slice in self.schedule.idle[part].clone() {
            self.write(slice, &vec![0; slice.words as usize])?;
        }
        Ok(())
    }

    fn place(&self, slice: BufferSlice) -> BufferSlice {
        let (slot, first) = self.plan.place[slice.buffer.0 as usize];
        BufferSlice { buffer: self.buffers[slot], offset: first + slice.offset, ..slice }
    }

    fn initialize(&mut self) -> Result<(), GraphError> {
        let seed = self.options.seed;
        self.write(self.schedule.recorder.shared.one, &[1.0f32.to_bits()])?;
        for (slice, words) in self.schedule.recorder.constants.clone() {
            self.write(slice, &words)?;
        }
        let parameters: Vec<_> = self.schedule.recorder.parameters.values().cloned().collect();
        for parameter in &parameters {
            let draw = |element: u32| match parameter.spec.init {
                Init::Constant(value) => value,
                Init::Normal(deviation) => {
                    (f64::from(deviation) * reference::random::normal(seed, parameter.position, element))
                        as f32
                }
            };
            let words: Vec<u32> = (0..parameter.len()).map(|element| draw(element).to_bits()).collect();
            self.write(parameter.value, &words)?;
        }
        Ok(())
    }

    fn write(&mut self, slice: BufferSlice, words: &[u32]) -> Result<(), GraphError> {
        let slice = self.place(slice);
        Ok(self.executor.write(slice.buffer, slice.offset, words)?)
    }

    async fn read(&mut self, slice: BufferSlice) -> Result<Vec<u32>, GraphError> {
        let slice = self.place(slice);
        Ok(self.executor.read(slice.buffer, slice.offset, slice.words).await?)
    }

    async fn read_f32(&mut self, slice: BufferSlice) -> Result<Vec<f32>, GraphError> {
        Ok(self.read(slice).await?.into_iter().map(f32::from_bits).collect())
    }

    async fn run(&mut self, phase: Phase) -> Result<(), GraphError> {
        match self.prepared.get(&phase) {
            Some(prepared) => Ok(self.executor.run(prepared).await?),
            None => Ok(()),
        }
    }

    /// One training step: forward, backward, apply, and the wait and the check that the device did all of it.
    ///
    /// # Errors
    /// A batch of another size, a non-finite value, reports of queued steps that nobody has taken, a device failure.
    pub async fn step(
        &mut self,
        input: impl Into<Input<'_>>,
        step: u32,
        rate: f64,
    ) -> Result<StepReport, GraphError> {
        self.expect_settled("step")?;
        self.submit_step(input, step, rate).await?;
        Ok(self.next_report().await?.expect("a step was queued"))
    }

    /// Runs the forward pass of training step `step` on a whole batch.
    ///
    /// # Errors
    /// A batch of another size, or a device failure.
    pub async fn forward(&mut self, input: impl Into<Input<'_>>, step: u32) -> Result<(), GraphError> {
        self.begin(&input.into(), step, 0.0)?;
        self.ready = Some(Phase::Forward);
        self.run(Phase::Forward).await
    }

    /// Uploads a batch and clears the status of the step before.
    pub(crate) fn begin(
        &mut self,
        input: &Input<'_>,
        step: u32,
        learning_rate: f64,
    ) -> Result<(), GraphError> {
        if self.deployed {
            let message = "a deployed network is evaluated and not trained";
            return Err(GraphError::Order { call: "step", message });
        }
        if input.labels.len() != self.options.batch_size as usize {
            let message =
                format!("{} samples, training takes {}", input.labels.len(), self.options.batch_size);
            return Err(GraphError::Batch { message });
        }
        self.upload(input)?;
        (self.step, self.frozen, self.ready) = (step, false, None);
        self.write_step(learning_rate)?;
        let status = self.status();
        let zeros = std::mem::take(&mut self.zeros);
        let written = self.write(status, &zeros);
        self.zeros = zeros;
        written
    }

    /// Counts every phase of a step as run.
    pub(crate) fn end(&mut self) {
        self.ready = Some(Phase::Apply);
    }

    /// Runs the backward pass of the last forward pass.
    ///
    /// # Errors
    /// No forward pass before, or a device failure.
    pub async fn backward(&mut self) -> Result<(), GraphError> {
        self.expect("backward", Phase::Forward, "it needs a forward pass before it")?;
        self.ready = Some(Phase::Backward);
        self.run(Phase::Backward).await
    }

    /// Gradients of all trainable parameters after a backward pass.
    ///
    /// # Errors
    /// No backward pass before, or a device failure.
    pub async fn gradients(&mut self) -> Result<Vec<NamedTensor>, GraphError> {
        self.expect("gradients", Phase::Backward, "they need a backward pass before them")?;
        let parameters: Vec<_> =
            self.schedule.recorder.parameters.values().filter(|p| p.spec.trainable).cloned().collect();
        let mut result = Vec::new();
        for parameter in parameters {
            let values = self.read_f32(parameter.gradient).await?;
            result.push(NamedTensor { name: parameter.name, shape: parameter.spec.shape, values });
        }
        Ok(result)
    }

    /// Updates the parameters from the gradients of the last backward pass.
    ///
    /// # Errors
    /// No backward pass before, or a device failure.
    pub async fn apply(&mut self, learning_rate: f64) -> Result<(), GraphError> {
        self.expect("apply", Phase::Backward, "it needs a backward pass before it")?;
        self.ready = Some(Phase::Apply);
        self.write_step(learning_rate)?;
        self.run(Phase::Apply).await
    }

    /// Waits for the last forward pass, or for the whole step where it was applied, and checks it.
    ///
    /// # Errors
    /// As [`Session::next_report`].
    pub async fn report(&mut self) -> Result<StepReport, GraphError> {
        if self.ready.is_none() {
            return Err(GraphError::Order { call: "report", message: "it needs a training step before it" });
        }
        let status = self.read(self.status()).await?;
        self.judge(&status, self.step, self.ready == Some(Phase::Apply))
    }

    fn expect(&self, call: &'static str, phase: Phase, message: &'static str) -> Result<(), GraphError> {
        if self.ready == Some(phase) { Ok(()) } else { Err(GraphError::Order { call, message }) }
    }

    fn write_step(&mut self, learning_rate: f64) -> Result<(), GraphError> {
        let seed = self.options.seed;
        let [rate, adam, denominator] =
            self.options.optimizer.step_words(self.step.saturating_add(1), learning_rate);
        let words = [self.step, seed as u32, (seed >> 32) as u32, rate, adam, denominator];
        if let (Some(slice), Some(lengths)) =
            (self.schedule.recorder.shared.length_step, self.network.lengths)
        {
            let own = self
                .options
                .optimizer
                .step_words(self.step.saturating_add(1), learning_rate * lengths.method.rate);
            let words = [self.step, seed as u32, (seed >> 32) as u32, own[0], own[1], own[2]];
            self.write(slice, &words)?;
        }
        self.write(self.schedule.recorder.shared.step, &words)
    }

    /// Which kernel carries each product, in the order of recording.
    pub fn products(&self) -> &[ProductNote] {
        &self.schedule.recorder.products
    }

    /// The dispatches of a phase over the executor's buffers.
    pub fn recording(&self, phase: Phase) -> Option<&Recording> {
        self.recordings.get(&phase)
    }

    /// The executor and the prepared recording of a phase, e.g. to time it kernel by kernel. Run outside of a step, a phase
    /// of training overwrites what a freeze left, so that the next evaluation needs another.
    pub fn prepared(&mut self, phase: Phase) -> (&mut E, Option<&E::Prepared>) {
        self.frozen &= matches!(phase, Phase::Freeze | Phase::Evaluate);
        (&mut self.executor, self.prepared.get(&phase))
    }

    /// Samples that are dispatched at once; the batch where nothing was cut.
    pub fn chunk_samples(&self) -> u32 {
        self.schedule.recorder.chunks().first().map_or(0, |chunk| chunk.samples)
    }

    /// Bytes of all buffers.
    pub fn memory_bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// Where the values of each trainable parameter lie on the executor, by name.
    pub fn parameter_slices(&self) -> BTreeMap<&str, BufferSlice> {
        let trained = self.schedule.recorder.parameters.values().filter(|p| p.spec.trainable);
        trained.map(|parameter| (parameter.name.as_str(), self.place(parameter.value))).collect()
    }

    /// How pictures become input.
    pub fn input(&self) -> InputSpec {
        self.options.input
    }

    /// Trainable values.
    pub fn parameter_count(&self) -> u64 {
        self.parameter_count
    }

    /// The executor.
    pub fn executor_mut(&mut self) -> &mut E {
        &mut self.executor
    }
}
