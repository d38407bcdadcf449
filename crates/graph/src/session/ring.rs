//! Steps that are queued without waiting, and their reports, which arrive later.

use recording::{Executor, ExecutorError, Ticket};

use super::{Session, StepReport};
use crate::{
    GraphError, Input, Phase,
    recorder::{FLAGS_OFFSET, TOKEN_OFFSET},
    schedule::status_words,
};

/// Reports that may be on their way at once.
pub const RING: usize = 8;

/// A queued step whose status is on its way to the host.
#[derive(Debug)]
pub(crate) struct Queued {
    step: u32,
    status: Ticket,
}

impl<E: Executor> Session<E> {
    /// Queues one training step: forward, backward, apply, and behind them a copy of its status to the host. Waits only
    /// where the device has more to do than keeps it busy. A value that is not finite comes to light in the step's report,
    /// by then later steps may be queued; nothing of the session can be saved before all reports were seen.
    ///
    /// # Errors
    /// A batch of another size, [`RING`] reports that nobody has taken, a device failure.
    pub async fn submit_step(
        &mut self,
        input: impl Into<Input<'_>>,
        step: u32,
        rate: f64,
    ) -> Result<(), GraphError> {
        if self.queue.len() >= RING {
            let message = "the reports of earlier steps come first";
            return Err(GraphError::Order { call: "submit_step", message });
        }
        self.begin(&input.into(), step, rate)?;
        let status = self.place(self.status());
        self.prepare_step(step)?;
        let whole = match self.drawn(step) {
            Some(part) => &self.parts[part],
            None => self.whole.as_ref().expect("a session is prepared"),
        };
        let status = self.executor.run_and_read(whole, status).await?;
        self.ready = Some(Phase::Apply);
        self.queue.push_back(Queued { step, status });
        Ok(())
    }

    /// Steps that were queued and whose reports nobody has taken yet.
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// The report of the oldest step in flight if it has arrived; never waits.
    ///
    /// # Errors
    /// As [`Session::next_report`].
    pub async fn poll_report(&mut self) -> Result<Option<StepReport>, GraphError> {
        match self.queue.front() {
            Some(oldest) if self.executor.is_done(&oldest.status)? => self.next_report().await,
            _ => Ok(None),
        }
    }

    /// The report of the oldest step in flight, after a wait where it has not arrived; `None` where there is none.
    ///
    /// # Errors
    /// [`GraphError::NonFinite`] names the step and the first layer with a NaN or an infinity; a step that did nothing is a
    /// [`ExecutorError::StepToken`]. Either takes the report.
    pub async fn next_report(&mut self) -> Result<Option<StepReport>, GraphError> {
        let Some(Queued { step, status }) = self.queue.pop_front() else { return Ok(None) };
        let mut words = std::mem::take(&mut self.words);
        self.executor.take(status, &mut words).await?;
        let report = self.judge(&words, step, true);
        self.words = words;
        report.map(Some)
    }

    /// Nothing that later steps could have spoiled is read while reports are in flight.
    pub(crate) fn expect_settled(&self, call: &'static str) -> Result<(), GraphError> {
        let message = "the reports of all queued steps come first";
        if self.queue.is_empty() { Ok(()) } else { Err(GraphError::Order { call, message }) }
    }

    pub(crate) fn status(&self) -> recording::BufferSlice {
        let recorder = &self.schedule.recorder;
        recorder.status(0, status_words(recorder))
    }

    /// What the status of `step` says; the token is asked for where the step was `applied`.
    pub(crate) fn judge(&self, status: &[u32], step: u32, applied: bool) -> Result<StepReport, GraphError> {
        let (found, expected) = (status[TOKEN_OFFSET as usize], step.wrapping_add(1));
        if applied && found != expected {
            return Err(ExecutorError::StepToken { found, expected }.into());
        }
        let (samples, batch) = (status[3], self.options.batch_size);
        if samples != batch {
            return Err(ExecutorError::StepToken { found: samples, expected: batch }.into());
        }
        let flags = &status[FLAGS_OFFSET as usize..];
        if let Some(slot) = flags.iter().position(|&flag| flag != 0) {
            let (layer, what) = self.schedule.recorder.checks[slot].clone();
            return Err(GraphError::NonFinite { layer, what: what.to_owned(), step });
        }
        let loss = f32::from_bits(status[0]) / samples.max(1) as f32;
        Ok(StepReport { step, loss, top1: status[1], top5: status[2], samples })
    }
}
