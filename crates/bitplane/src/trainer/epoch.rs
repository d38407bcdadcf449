//! One epoch after another: steps, saves within the epoch, evaluation, and the save at its end.

use std::time::{Duration, Instant};

use graph::{GraphError, Input, RING, Session, StepReport};
use pollster::block_on;

use super::{Backend, OPEN, Setup, Trainer};
use crate::batches::{Epoch, Source};
use crate::checkpoint::Checkpoint;
use crate::evaluation::{Portions, Totals, evaluate};
use crate::exit::Failure;
use crate::fault::{FaultKind, plant_nan};
use crate::position::{Best, Position};
use crate::report::{EpochRecord, WidthRecord};
use crate::run::Log;
use crate::signal;
use crate::statistics::Statistics;
use crate::teacher;

/// Times within the running epoch.
struct Clock {
    started: Instant,
    training: Duration,
    /// Since when it trains; absent while it saves.
    running: Option<Instant>,
    images: u64,
}

impl Clock {
    fn new() -> Self {
        Self { started: Instant::now(), training: Duration::ZERO, running: None, images: 0 }
    }

    fn resume(&mut self) {
        self.running.get_or_insert_with(Instant::now);
    }

    fn pause(&mut self) {
        self.training += self.running.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    fn images_per_second(&self) -> f64 {
        let training = self.training + self.running.map_or(Duration::ZERO, |since| since.elapsed());
        self.images as f64 / training.as_secs_f64().max(1e-9)
    }
}

impl<B: Backend> Trainer<'_, B> {
    /// Trains from the position to the last epoch.
    pub(super) fn epochs(&mut self) -> Result<(), Failure> {
        if self.position.epoch < self.setup.config.epochs {
            self.open_narrower()?;
        }
        while self.position.epoch < self.setup.config.epochs {
            self.remember_signs()?;
            let mut clock = Clock::new();
            self.progress.start_epoch(self.position.epoch, self.position.step_in_epoch);
            self.train_epoch(&mut clock)?;
            self.end_epoch_of_lengths()?;
            let before = self.checkpoint()?;
            let statistics = self.observe(&before)?;
            self.calibrate()?;
            let (totals, widths) = self.evaluate(before)?;
            self.finish_epoch(&clock, (&totals, widths), statistics.as_ref())?;
        }
        Ok(())
    }

    fn train_epoch(&mut self, clock: &mut Clock) -> Result<(), Failure> {
        let seed = self.setup.config.seed;
        let epoch = Epoch::new(seed, self.position.epoch, self.setup.data.train.len());
        let mut unsaved = false;
        while self.position.step_in_epoch < self.steps_per_epoch || unsaved && self.is_save_due() {
            clock.resume();
            let save = unsaved && self.is_save_due();
            if save || self.position.step_in_epoch + self.in_flight() == self.steps_per_epoch {
                self.settle(clock)?;
            } else {
                if self.is_follow_due() {
                    self.settle(clock)?;
                    self.follow_lengths(false)?;
                }
                self.submit(&epoch)?;
                self.collect(clock)?;
                unsaved = true;
            }
            clock.pause();
            if save {
                self.save_within_epoch()?;
                unsaved = false;
            }
        }
        Ok(())
    }

    /// Queues the step after the last queued one.
    fn submit(&mut self, epoch: &Epoch) -> Result<(), Failure> {
        self.disturb()?;
        let ahead = self.in_flight();
        let (step, step_in_epoch) = (self.position.step + ahead, self.position.step_in_epoch + ahead);
        let rate = self.rate(step_in_epoch);
        self.submitted = step;
        self.with_batch(epoch, step_in_epoch, |session, batch| {
            block_on(session.submit_step(batch, step, rate))
        })
    }

    /// The learning rate of step `step_in_epoch` of the running epoch.
    fn rate(&self, step_in_epoch: u32) -> f64 {
        let Position { epoch, plateau, .. } = self.position;
        self.schedule.rate(epoch, step_in_epoch, self.steps_per_epoch, plateau)
    }

    /// Counts the steps whose reports have arrived; waits only where no further step could be queued.
    fn collect(&mut self, clock: &mut Clock) -> Result<(), Failure> {
        if self.in_flight() as usize == RING {
            self.count_next(clock)?;
        }
        while let Some(report) = block_on(self.session.as_mut().expect(OPEN).poll_report())? {
            self.count(&report, clock)?;
        }
        Ok(())
    }

    /// Waits for the reports of all queued steps, so that the position is that of the session's state.
    fn settle(&mut self, clock: &mut Clock) -> Result<(), Failure> {
        while self.count_next(clock)? {}
        Ok(())
    }

    /// Waits for the oldest report and counts its step; false where no step is in flight.
    fn count_next(&mut self, clock: &mut Clock) -> Result<bool, Failure> {
        let report = block_on(self.session.as_mut().expect(OPEN).next_report())?;
        report.as_ref().map_or(Ok(()), |report| self.count(report, clock))?;
        Ok(report.is_some())
    }

    /// Moves the position behind a step that went well.
    fn count(&mut self, report: &StepReport, clock: &mut Clock) -> Result<(), Failure> {
        let limit = teacher::loss_limit(self.setup.config);
        if !report.loss.is_finite() || report.loss > limit {
            let what = format!("the mean loss is {}, allowed is up to {limit}", report.loss);
            return Err(Failure::Diverged { step: report.step, what, checkpoint: None });
        }
        self.position.sums.add(report.loss, report.top1, report.samples);
        self.position.step_in_epoch += 1;
        self.position.step += 1;
        clock.images += u64::from(report.samples);
        self.progress.step(self.position.step_in_epoch, &self.position.sums, clock.images_per_second());
        Ok(())
    }

    /// Steps that are queued and not yet counted.
    pub(super) fn in_flight(&self) -> u32 {
        self.session.as_ref().map_or(0, |session| session.in_flight() as u32)
    }

    /// The user wants to stop, or the last save is long ago.
    fn is_save_due(&self) -> bool {
        let interval = Duration::from_secs(u64::from(self.setup.config.checkpoint_interval));
        signal::interrupted() || self.last_save.elapsed() >= interval
    }

    /// Saves where all queued steps were counted.
    fn save_within_epoch(&mut self) -> Result<(), Failure> {
        let checkpoint = self.checkpoint()?;
        self.save(checkpoint, false)?;
        if signal::interrupted() { Err(self.interruption()) } else { Ok(()) }
    }

    /// Takes batch norm's running statistics again over the first batches of the epoch, with the weights that the epoch ended
    /// with. The averages lag behind weights that still move fast, which costs test accuracy but nothing in training.
    fn calibrate(&mut self) -> Result<(), Failure> {
        let config = self.setup.config;
        let epoch = Epoch::new(config.seed, self.position.epoch, self.setup.data.train.len());
        let batches = config.calibration_batches.min(self.steps_per_epoch);
        for step in 0..batches {
            let step_number = self.position.step;
            self.with_batch(&epoch, step, |session, batch| block_on(session.forward(batch, step_number)))?;
        }
        if batches > 0 {
            block_on(self.session.as_mut().expect(OPEN).report())?;
        }
        Ok(())
    }

    /// Hands batch `step` of `epoch` and the session to `action`.
    pub(super) fn with_batch<T>(
        &mut self,
        epoch: &Epoch,
        step: u32,
        action: impl FnOnce(&mut Session<B::Executor>, Input<'_>) -> Result<T, GraphError>,
    ) -> Result<T, Failure> {
        let config = self.setup.config;
        let session = self.session.as_mut().expect(OPEN);
        let source = Source::new(&self.setup.data.train, session, 0);
        let show = |sample| epoch.transform(sample, config.augment, config.crop_padding, &self.setup.input);
        let samples = |step: u32| epoch.samples(step, config.batch_size);
        let next = if step + 1 < self.steps_per_epoch { samples(step + 1) } else { &[] };
        let batch = self.assembly.fill(&source, (samples(step), next), show)?;
        Ok(action(session, batch)?)
    }

    /// Measures the test set. An interruption saves `before`, the state that a resumed run goes on from.
    fn evaluate(&mut self, before: Checkpoint) -> Result<(Totals, Vec<WidthRecord>), Failure> {
        let config = self.setup.config;
        let portions = Portions { batch_size: config.batch_size, limit: config.limit_test_batches };
        let session = self.session.as_mut().expect(OPEN);
        let data = self.setup.data;
        let source = Source::new(&data.test, session, data.train.len());
        let totals = evaluate(session, &source, &self.setup.input, portions, || !signal::interrupted())?;
        let widths = match &totals {
            Some(totals) => self.evaluate_narrower(totals)?,
            None => None,
        };
        match totals.zip(widths) {
            Some(results) => Ok(results),
            None => {
                self.save(before, false)?;
                Err(self.interruption())
            }
        }
    }

    /// Opens the sessions that evaluate the narrower widths of a FlexNet; before anything is trained, as they may not fit.
    fn open_narrower(&mut self) -> Result<(), Failure> {
        let widths = self.setup.config.trained_widths().len();
        while self.narrower.len() + 1 < widths {
            self.narrower.push(self.backend.open_head(self.narrower.len() + 1)?);
        }
        Ok(())
    }

    /// Measures the narrower widths of a FlexNet behind the widest, whose result is `widest`; `None` after an interruption.
    fn evaluate_narrower(&mut self, widest: &Totals) -> Result<Option<Vec<WidthRecord>>, Failure> {
        let Setup { config, data, input, .. } = &self.setup;
        let Some((&first, narrower)) = config.trained_widths().split_first() else {
            return Ok(Some(Vec::new()));
        };
        let mut records = vec![WidthRecord::new(first, widest)];
        let state = block_on(self.session.as_mut().expect(OPEN).state())?;
        let portions = Portions { batch_size: config.batch_size, limit: config.limit_test_batches };
        for (session, &bits) in self.narrower.iter_mut().zip(narrower) {
            session.load_parameters(&state)?;
            let source = Source::new(&data.test, session, 0);
            let Some(totals) = evaluate(session, &source, input, portions, || !signal::interrupted())? else {
                return Ok(None);
            };
            records.push(WidthRecord::new(bits, &totals));
        }
        Ok(Some(records))
    }

    fn finish_epoch(
        &mut self,
        clock: &Clock,
        (totals, widths): (&Totals, Vec<WidthRecord>),
        statistics: Option<&Statistics>,
    ) -> Result<(), Failure> {
        let last_step = self.position.step_in_epoch - 1;
        let sums = self.position.sums;
        let bits = self.length_record()?;
        let record = EpochRecord {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            learning_rate: self.rate(last_step),
            train_loss: sums.mean_loss(),
            train_accuracy: sums.accuracy(),
            test_loss: totals.loss(),
            test_accuracy: totals.accuracy(),
            test_top5_accuracy: totals.top5_accuracy(),
            seconds: clock.started.elapsed().as_secs_f64(),
            images_per_second: clock.images_per_second(),
            widths,
            bits,
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
            plateau: self.schedule.observed(self.position.plateau, self.position.epoch, sums.mean_loss()),
            ..Position::default()
        };
        // Reading the state is the last thing that the device can fail at; the metrics come after it and before the
        // checkpoint, so that every checkpoint finds the lines of its epochs.
        let checkpoint = self.checkpoint()?;
        let (run, storage) = (self.setup.run, self.setup.storage);
        if let Some(statistics) = statistics {
            run.append_log(storage, Log::Histograms, &statistics.histograms)?;
            run.append_log(storage, Log::Diagnostics, &statistics.diagnostics)?;
        }
        if let Some(events) = &self.setup.events {
            events.append(storage, &record, statistics)?;
        }
        run.append_metrics(storage, &record)?;
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

    /// Makes the fault happen that tests ask for before the step that is queued next.
    fn disturb(&mut self) -> Result<(), Failure> {
        let step = self.position.step + self.in_flight();
        match self.fault.as_mut().and_then(|fault| fault.strikes(step)) {
            None => {}
            Some(FaultKind::Destroy) => self.backend.lose_device(self.session.as_mut().expect(OPEN)),
            Some(FaultKind::Nan(layer)) => plant_nan(self.session.as_mut().expect(OPEN), &layer)?,
        }
        Ok(())
    }
}
