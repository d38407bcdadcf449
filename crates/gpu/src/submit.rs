//! Submissions and waits.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex},
};

use recording::ExecutorError;

use crate::{
    Gpu, Prepared,
    fault::During,
    prepared::{Step, lock},
    readback::Copy,
    split::{Budget, Split},
    wait::{Signal, Waited, wait},
};

// One submission runs while the next waits behind it; more only where they are short.
const DEPTH: usize = 2;
const MAX_DEPTH: usize = 64;

// A wait shorter than this many seconds saw a submission that had ended before.
const BLOCKED_SECONDS: f64 = 1e-4;

/// A submission that may still run.
#[derive(Debug)]
pub(crate) struct InFlight {
    index: wgpu::SubmissionIndex,
    signal: Signal,
    kernel: &'static str,
    submitted: f64,
    number: u64,
    expected: f64,
    range: Range<usize>,
    split: Arc<Mutex<Split>>,
}

/// When the last submission that was waited for ended: one moment where the host saw it, else some time between.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    earliest: f64,
    latest: f64,
}

impl Gpu {
    /// Submits all dispatches, in as many submissions as the budget asks for, and `copy` with the last of them.
    pub(crate) async fn submit(
        &mut self,
        prepared: &Prepared,
        copy: Option<&Copy>,
    ) -> Result<Option<wgpu::SubmissionIndex>, ExecutorError> {
        let (mut start, end) = (0, prepared.steps.len());
        let mut last = None;
        let calibrating = lock(&prepared.split).is_calibrating();
        while start < end || last.is_none() && copy.is_some() {
            let (range, expected) = {
                let split = lock(&prepared.split);
                let range = split.next(start, self.budget);
                (range.clone(), split.expected(range))
            };
            let steps = &prepared.steps[range.clone()];
            start = range.end;
            if calibrating {
                self.finish().await?;
            }
            let kernel = steps.last().map_or("copy", |step| step.name);
            let submitted = (self.clock)();
            let (index, signal) = self.enqueue(kernel, |encoder| {
                encode(encoder, steps, None);
                if let Some(copy) = copy.filter(|_| start == end) {
                    copy.encode(encoder);
                }
            })?;
            last = Some(index.clone());
            self.statistics.submissions += 1;
            self.submitted += 1;
            let (number, split) = (self.submitted, prepared.split.clone());
            self.in_flight.push_back(InFlight {
                index,
                signal,
                kernel,
                submitted,
                number,
                expected,
                range,
                split,
            });
            while calibrating && !self.in_flight.is_empty() || is_crowded(&self.in_flight, self.budget) {
                self.retire().await?;
            }
        }
        lock(&prepared.split).finish_run();
        Ok(last)
    }

    /// Waits for all submissions.
    ///
    /// # Errors
    /// Device failure or time-out.
    pub async fn finish(&mut self) -> Result<(), ExecutorError> {
        self.retire_up_to(u64::MAX).await
    }

    /// Waits for the first `number` submissions.
    pub(crate) async fn retire_up_to(&mut self, number: u64) -> Result<(), ExecutorError> {
        while self.in_flight.front().is_some_and(|oldest| oldest.number <= number) {
            self.retire().await?;
        }
        Ok(())
    }

    /// Waits for the oldest submission and learns from the time it took.
    async fn retire(&mut self) -> Result<(), ExecutorError> {
        let Some(oldest) = self.in_flight.pop_front() else { return Ok(()) };
        let began = (self.clock)();
        self.wait_for(oldest.index, &oldest.signal, oldest.kernel).await?;
        let done = (self.clock)();
        // Submissions run one after another.
        let start = End {
            earliest: oldest.submitted.max(self.last_end.earliest),
            latest: oldest.submitted.max(self.last_end.latest),
        };
        let seen = done - began > BLOCKED_SECONDS;
        self.last_end = End { earliest: if seen { done } else { start.earliest }, latest: done };
        let mut split = lock(&oldest.split);
        let expected = split.expected(oldest.range.clone());
        let (shortest, longest) = (self.last_end.earliest - start.latest, done - start.earliest);
        if let Some(seconds) = corrected(expected, shortest, longest) {
            split.record(oldest.range, seconds, self.budget);
            if seconds > self.statistics.slowest_seconds {
                self.statistics.slowest_seconds = seconds;
                self.statistics.slowest_kernel = oldest.kernel.to_owned();
            }
            self.statistics.over_cap += u64::from(seconds > self.budget.cap);
        }
        Ok(())
    }

    /// Encodes and submits commands; the signal is set once they are done.
    pub(crate) fn enqueue(
        &self,
        name: &str,
        commands: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<(wgpu::SubmissionIndex, Signal), ExecutorError> {
        let device = &self.device;
        self.written.set(0);
        let signal = Signal::default();
        let set = signal.clone();
        let index = device.guard(During::Other(name.to_owned()), || {
            let mut encoder =
                device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            commands(&mut encoder);
            let index = device.queue.submit([encoder.finish()]);
            device.queue.on_submitted_work_done(move || set.set(true));
            index
        });
        // Half a recording may have run: what the buffers hold is unknown.
        let index = index.map_err(|error| device.fault.fail(error))?;
        Ok((index, signal))
    }

    /// Waits for `signal` of submission `index`; `name` is blamed for a time-out.
    pub(crate) async fn wait_for(
        &self,
        index: wgpu::SubmissionIndex,
        signal: &Signal,
        name: &str,
    ) -> Result<(), ExecutorError> {
        let fault = &self.device.fault;
        fault.check()?;
        let waiting = wait(&self.device.device, index, signal, self.timeout);
        let waited = self.device.guard_async(During::Other(name.to_owned()), waiting).await?;
        match waited {
            Waited::Done(true) => Ok(()),
            Waited::Done(false) => {
                Err(fault.fail(ExecutorError::DeviceLost { reason: format!("`{name}` was abandoned") }))
            }
            Waited::TimedOut => {
                let seconds = self.timeout.as_secs();
                Err(fault.fail(ExecutorError::Timeout { kernel: name.to_owned(), seconds }))
            }
        }
    }
}

/// One compute pass; wgpu puts barriers between dispatches that share buffers.
pub(crate) fn encode(
    encoder: &mut wgpu::CommandEncoder,
    steps: &[Step],
    timestamps: Option<wgpu::ComputePassTimestampWrites<'_>>,
) {
    let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: timestamps };
    let mut pass = encoder.begin_compute_pass(&descriptor);
    let mut current = None;
    for step in steps {
        if current.replace(&step.pipeline) != Some(&step.pipeline) {
            pass.set_pipeline(&step.pipeline);
        }
        pass.set_bind_group(0, &step.group, &[]);
        pass.dispatch_workgroups(step.count[0], step.count[1], 1);
    }
}

/// The bound that `expected` seconds are outside of.
fn corrected(expected: f64, shortest: f64, longest: f64) -> Option<f64> {
    if longest < expected { Some(longest) } else { Some(shortest).filter(|shortest| *shortest > expected) }
}

/// More is queued than keeps the device busy while the host prepares the next step.
fn is_crowded(queue: &VecDeque<InFlight>, budget: Budget) -> bool {
    let ahead: f64 = queue.iter().map(|submission| submission.expected).sum();
    queue.len() > MAX_DEPTH || queue.len() > DEPTH && ahead > 2.0 * budget.target
}
