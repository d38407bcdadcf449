//! The training loop: steps, evaluation, checkpoints, and what to do when something fails.

use std::time::{Duration, Instant};

use data::Dataset;
use graph::{Batch, GraphError, InputSpec, Session, Transform};
use pollster::block_on;
use recording::Executor;

use crate::batches::{Epoch, gather};
use crate::checkpoint::{Best, Checkpoint, CheckpointError, Identity, Position};
use crate::config::Config;
use crate::evaluation::{Portions, Totals, evaluate};
use crate::exit::Failure;
use crate::fault::{Fault, FaultKind, plant_nan};
use crate::manifest::{Store, StoreError};
use crate::progress::Progress;
use crate::recovery::Recovery;
use crate::report::EpochRecord;
use crate::run::RunFolder;
use crate::schedule::Schedule;
use crate::signal;
use crate::storage::Storage;

/// A mean loss above this is divergence.
const LOSS_LIMIT: f32 = 1e4;
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
}

/// Where a training starts.
#[derive(Default)]
pub struct Start {
    /// The checkpoint to go on from; none starts anew.
    pub checkpoint: Option<Checkpoint>,
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
    store: Store<'a>,
    schedule: Schedule,
    steps_per_epoch: u32,
    position: Position,
    records: Vec<EpochRecord>,
    saved: Option<Checkpoint>,
    last_save: Instant,
    progress: Progress,
    recovery: Recovery,
    fault: Option<Fault>,
}

/// Times within the running epoch.
struct Clock {
    started: Instant,
    training: Duration,
    images: u64,
}

impl Clock {
    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.training.as_secs_f64().max(1e-9)
    }
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
        if let Some(checkpoint) = &start.checkpoint {
            session.load_state(&checkpoint.tensors)?;
        }
        Ok(Self {
            schedule: setup.config.schedule(),
            position: start
                .checkpoint
                .as_ref()
                .map_or_else(Position::default, |checkpoint| checkpoint.position),
            progress: Progress::new(setup.config.epochs, steps_per_epoch, setup.config.print_freq),
            fault: setup.fault.clone(),
            records: start.records,
            saved: start.checkpoint,
            last_save: Instant::now(),
            recovery: Recovery::default(),
            setup,
            backend,
            session: Some(session),
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

    fn epochs(&mut self) -> Result<(), Failure> {
        while self.position.epoch < self.setup.config.epochs {
            let mut clock = Clock { started: Instant::now(), training: Duration::ZERO, images: 0 };
            self.progress.start_epoch(self.position.epoch, self.position.step_in_epoch);
            self.train_epoch(&mut clock)?;
            let totals = self.evaluate()?;
            self.finish_epoch(&clock, &totals)?;
        }
        Ok(())
    }

    fn train_epoch(&mut self, clock: &mut Clock) -> Result<(), Failure> {
        let config = self.setup.config;
        let train = &self.setup.data.train;
        let epoch = Epoch::new(config.seed, self.position.epoch, train.len());
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        while self.position.step_in_epoch < self.steps_per_epoch {
            let started = Instant::now();
            self.disturb()?;
            let samples = epoch.samples(self.position.step_in_epoch, config.batch_size);
            gather(train, samples, &mut pixels, &mut labels);
            let show =
                |&sample| epoch.transform(sample, config.augment, config.crop_padding, &self.setup.input);
            let transforms: Vec<Transform> = samples.iter().map(show).collect();
            let batch = Batch { pixels: &pixels, labels: &labels, transforms: &transforms };
            let report = {
                let rate = self.learning_rate();
                let session = self.session.as_mut().expect(OPEN);
                block_on(session.step(&batch, self.position.step, rate))?
            };
            if !report.loss.is_finite() || report.loss > LOSS_LIMIT {
                let what = format!("the mean loss is {}, allowed is up to {LOSS_LIMIT}", report.loss);
                return Err(Failure::Diverged { step: self.position.step, what, checkpoint: None });
            }
            self.position.sums.add(report.loss, report.top1, report.samples);
            self.position.step_in_epoch += 1;
            self.position.step += 1;
            clock.training += started.elapsed();
            clock.images += u64::from(report.samples);
            self.progress.step(self.position.step_in_epoch, &self.position.sums, clock.images_per_second());
            self.maybe_save()?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.schedule.rate(self.position.epoch, self.position.step_in_epoch, self.steps_per_epoch)
    }

    /// Saves within an epoch when the user wants to stop or the last save is long ago.
    fn maybe_save(&mut self) -> Result<(), Failure> {
        let interval = Duration::from_secs(u64::from(self.setup.config.checkpoint_interval));
        let stop = signal::interrupted();
        if stop || self.last_save.elapsed() >= interval {
            let checkpoint = self.checkpoint()?;
            self.save(checkpoint, false)?;
        }
        if stop { Err(self.interruption()) } else { Ok(()) }
    }

    fn evaluate(&mut self) -> Result<Totals, Failure> {
        let config = self.setup.config;
        let portions = Portions { batch_size: config.batch_size, limit: config.limit_test_batches };
        let go_on = || !signal::interrupted();
        let totals = evaluate(
            self.session.as_mut().expect(OPEN),
            &self.setup.data.test,
            &self.setup.input,
            portions,
            go_on,
        )?;
        match totals {
            Some(totals) => Ok(totals),
            None => {
                let checkpoint = self.checkpoint()?;
                self.save(checkpoint, false)?;
                Err(self.interruption())
            }
        }
    }

    fn finish_epoch(&mut self, clock: &Clock, totals: &Totals) -> Result<(), Failure> {
        let last_step = self.position.step_in_epoch - 1;
        let sums = self.position.sums;
        let record = EpochRecord {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            learning_rate: self.schedule.rate(self.position.epoch, last_step, self.steps_per_epoch),
            train_loss: sums.mean_loss(),
            train_accuracy: sums.accuracy(),
            test_loss: totals.loss(),
            test_accuracy: totals.accuracy(),
            test_top5_accuracy: totals.top5_accuracy(),
            seconds: clock.started.elapsed().as_secs_f64(),
            images_per_second: clock.images_per_second(),
        };
        let is_best = self.position.best.is_none_or(|best| record.test_accuracy > best.accuracy());
        if is_best {
            let (correct, total) = (totals.correct, totals.total);
            self.position.best = Some(Best { epoch: record.epoch, correct, total });
        }
        self.position = Position {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            best: self.position.best,
            ..Position::default()
        };
        // Reading the state is the last thing that the device can fail at; the metrics come after it and before the
        // checkpoint, so that every checkpoint finds the lines of its epochs.
        let checkpoint = self.checkpoint()?;
        self.setup.run.append_metrics(self.setup.storage, &record)?;
        self.progress.finish_epoch(&record, is_best);
        self.records.push(record);
        self.save(checkpoint, is_best)?;
        let more = self.position.epoch < self.setup.config.epochs;
        if more && signal::interrupted() { Err(self.interruption()) } else { Ok(()) }
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, Failure> {
        let tensors = block_on(self.session.as_mut().expect(OPEN).state())?;
        Ok(Checkpoint { identity: self.setup.identity.clone(), position: self.position, tensors })
    }

    fn save(&mut self, checkpoint: Checkpoint, best: bool) -> Result<(), Failure> {
        self.store.save(&checkpoint, best)?;
        self.saved = Some(checkpoint);
        self.last_save = Instant::now();
        Ok(())
    }

    fn interruption(&self) -> Failure {
        Failure::Interrupted {
            epoch: self.position.epoch + 1,
            checkpoint: self.store.last_path().expect("it was saved just now"),
            run: self.setup.run.path().to_owned(),
        }
    }

    /// Makes the fault happen that tests ask for at this step.
    fn disturb(&mut self) -> Result<(), Failure> {
        let step = self.position.step;
        match self.fault.as_mut().and_then(|fault| fault.strikes(step)) {
            None => {}
            Some(FaultKind::Destroy) => self.backend.lose_device(self.session.as_mut().expect(OPEN)),
            Some(FaultKind::Nan(layer)) => plant_nan(self.session.as_mut().expect(OPEN), &layer)?,
        }
        Ok(())
    }

    /// Opens a new device and goes back to the last checkpoint, again and again while that may help.
    fn recover(&mut self, mut cause: Failure) -> Result<(), Failure> {
        loop {
            let Some(wait) = self.recovery.failed_at(self.position.step) else {
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
        let mut session = self.backend.open()?;
        if let Some(saved) = &self.saved {
            session.load_state(&saved.tensors)?;
        }
        self.session = Some(session);
        self.position = self.saved.as_ref().map_or_else(Position::default, |saved| saved.position);
        self.records.truncate(self.position.epoch as usize);
        Ok(())
    }

    /// Gives divergence one face, with the checkpoint that is left.
    fn explained(&self, failure: Failure) -> Failure {
        let what = match &failure {
            Failure::Diverged { what, .. } => what.clone(),
            Failure::Graph(error @ GraphError::NonFinite { .. }) => error.to_string(),
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
