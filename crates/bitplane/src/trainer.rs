//! The training loop: steps, evaluation, checkpoints, and what to do when something fails.

mod epoch;
mod lengths;
mod observe;

use std::time::Instant;

use data::Dataset;
use graph::{GraphError, InputSpec, NamedTensor, Session};
use recording::Executor;

use crate::batches::Assembly;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::Config;
use crate::exit::Failure;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::position::{Best, Position};
use crate::progress::Progress;
use crate::recovery::Recovery;
use crate::report::EpochRecord;
use crate::run::RunFolder;
use crate::schedule::Schedule;
use crate::statistics::Signs;
use crate::storage::Storage;
use crate::store::{Store, StoreError};
use crate::tensorboard::EventFile;

const OPEN: &str = "a session is open outside recovery";

/// Whoever gives the trainer its sessions: a GPU, or in tests something else.
pub trait Backend {
    /// Runs the recordings.
    type Executor: Executor;

    /// A session with freshly initialized parameters on a device of its own.
    ///
    /// # Errors
    /// No adapter, or the session's.
    fn open(&self) -> Result<Session<Self::Executor>, Failure>;

    /// A session of one head of the network, to evaluate it.
    ///
    /// # Errors
    /// As [`Backend::open`].
    fn open_head(&self, _head: usize) -> Result<Session<Self::Executor>, Failure> {
        self.open()
    }

    /// Loses the session's device on purpose.
    fn lose_device(&self, session: &mut Session<Self::Executor>);
}

/// What a training works on.
pub struct Setup<'a> {
    /// Settings.
    pub config: &'a Config,
    /// Images.
    pub data: &'a Dataset,
    /// How images become input.
    pub input: InputSpec,
    /// What checkpoints belong to.
    pub identity: Identity,
    /// Where results go.
    pub run: &'a RunFolder,
    /// How files are written.
    pub storage: &'a dyn Storage,
    /// What is to go wrong on purpose.
    pub fault: Option<Fault>,
    /// Layers whose values are looked at.
    pub observed: &'a [String],
    /// TensorBoard's file, where one is written.
    pub events: Option<EventFile>,
}

/// Where a training starts.
#[derive(Default)]
pub struct Start {
    /// The checkpoint to go on from; none starts anew.
    pub checkpoint: Option<Checkpoint>,
    /// Weights and statistics that a training starts with which has no checkpoint; none draws them from the seed.
    pub initial: Option<Vec<NamedTensor>>,
    /// The epochs before it.
    pub records: Vec<EpochRecord>,
}

/// What came out.
pub struct Outcome {
    /// All epochs of the run.
    pub records: Vec<EpochRecord>,
    /// The best evaluation.
    pub best: Option<Best>,
    /// Times that a new device was opened.
    pub recoveries: u32,
}

/// A training under way.
pub struct Trainer<'a, B: Backend> {
    setup: Setup<'a>,
    backend: &'a B,
    /// Absent only while a failed device is being replaced.
    session: Option<Session<B::Executor>>,
    /// Sessions of the narrower widths.
    narrower: Vec<Session<B::Executor>>,
    store: Store<'a>,
    schedule: Schedule,
    steps_per_epoch: u32,
    position: Position,
    /// The step that was queued last; the position follows once its report is in.
    submitted: u32,
    records: Vec<EpochRecord>,
    saved: Option<Checkpoint>,
    initial: Option<Vec<NamedTensor>>,
    last_save: Instant,
    progress: Progress,
    assembly: Assembly,
    recovery: Recovery,
    fault: Option<Fault>,
    /// Signs of the observed layers' weights where the running epoch began, if that is known.
    signs: Option<Signs>,
}

/// Training steps of an epoch: whole batches only.
///
/// # Errors
/// [`Failure::Usage`] where the set is smaller than one batch.
pub fn steps_per_epoch(config: &Config, data: &Dataset) -> Result<u32, Failure> {
    let (samples, batch) = (data.train.len(), config.batch_size as usize);
    if samples < batch {
        let message = format!(
            "--batch-size {batch} is larger than the {samples} training images of {}; use a smaller one",
            data::printable(&data.name)
        );
        return Err(Failure::Usage { message });
    }
    let steps = u32::try_from(samples / batch)
        .unwrap_or(u32::MAX)
        .min(config.limit_train_batches.unwrap_or(u32::MAX));
    if u64::from(steps) * u64::from(config.epochs) >= u64::from(u32::MAX) - 16 {
        let message = format!("{} epochs of {steps} steps are more than 2^32 steps", config.epochs);
        return Err(Failure::Usage { message });
    }
    Ok(steps)
}

/// Brings a fresh session to `checkpoint`, or without one to the parameters that the training starts with.
fn restore<E: Executor>(
    session: &mut Session<E>,
    checkpoint: Option<&Checkpoint>,
    initial: Option<&[NamedTensor]>,
) -> Result<(), GraphError> {
    match (checkpoint, initial) {
        (Some(checkpoint), _) => session.load_state(&checkpoint.tensors),
        (None, Some(tensors)) => session.load_parameters(tensors),
        (None, None) => Ok(()),
    }
}

impl<'a, B: Backend> Trainer<'a, B> {
    /// A training that begins where `start` says, in a session that `backend` has just opened.
    ///
    /// # Errors
    /// A batch larger than the set, or a checkpoint that does not fit the session.
    pub fn new(
        setup: Setup<'a>,
        backend: &'a B,
        mut session: Session<B::Executor>,
        store: Store<'a>,
        start: Start,
    ) -> Result<Self, Failure> {
        let steps_per_epoch = steps_per_epoch(setup.config, setup.data)?;
        restore(&mut session, start.checkpoint.as_ref(), start.initial.as_deref())?;
        Ok(Self {
            schedule: setup.config.schedule(),
            position: start
                .checkpoint
                .as_ref()
                .map_or_else(Position::default, |checkpoint| checkpoint.position),
            submitted: 0,
            progress: Progress::new(setup.config.epochs, steps_per_epoch, setup.config.print_freq),
            fault: setup.fault.clone(),
            records: start.records,
            saved: start.checkpoint,
            initial: start.initial,
            last_save: Instant::now(),
            assembly: Assembly::default(),
            recovery: Recovery::default(),
            signs: None,
            setup,
            backend,
            session: Some(session),
            narrower: Vec::new(),
            store,
            steps_per_epoch,
        })
    }

    /// Trains to the last epoch.
    ///
    /// # Errors
    /// Divergence, a device that stays away, a file that cannot be written, an interruption. What was saved before is
    /// intact in each case.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        loop {
            match self.epochs() {
                Ok(()) => break,
                Err(failure) if failure.is_recoverable() => self.recover(failure)?,
                Err(failure) => return Err(self.explained(failure)),
            }
        }
        let recoveries = self.recovery.total();
        Ok(Outcome { records: self.records, best: self.position.best, recoveries })
    }

    /// Opens a new device and goes back to the last checkpoint, again and again while that may help.
    fn recover(&mut self, mut cause: Failure) -> Result<(), Failure> {
        loop {
            let Some(wait) = self.recovery.failed_at(self.submitted.max(self.position.step)) else {
                let (tries, checkpoint) = (self.recovery.failures(), self.store.last_path());
                return Err(Failure::DeviceGone { tries, cause: Box::new(cause), checkpoint });
            };
            self.progress.note(&format!(
                "warning: {cause}; going back to step {} on a new device",
                self.saved.as_ref().map_or(0, |saved| saved.position.step)
            ));
            std::thread::sleep(wait);
            match self.reopen() {
                Ok(()) => return Ok(()),
                Err(failure @ (Failure::Gpu(_) | Failure::Graph(_))) => cause = failure,
                Err(failure) => return Err(failure),
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        // The failed device gives its memory back before the new one asks for it.
        self.session = None;
        self.narrower.clear();
        let mut session = self.backend.open()?;
        restore(&mut session, self.saved.as_ref(), self.initial.as_deref())?;
        self.session = Some(session);
        self.position = self.saved.as_ref().map_or_else(Position::default, |saved| saved.position);
        self.records.truncate(self.position.epoch as usize);
        self.signs = None;
        Ok(())
    }

    /// Gives divergence one face, with the checkpoint that is left.
    fn explained(&self, failure: Failure) -> Failure {
        let what = match &failure {
            Failure::Diverged { what, .. } => what.clone(),
            Failure::TestLoss { .. } | Failure::Graph(GraphError::NonFinite { .. }) => failure.to_string(),
            Failure::Store(StoreError::Refused {
                source: CheckpointError::NonFinite { tensor, .. }, ..
            }) => {
                format!("non-finite value in {tensor}")
            }
            _ => return failure,
        };
        Failure::Diverged { step: self.position.step, what, checkpoint: self.store.last_path() }
    }
}
