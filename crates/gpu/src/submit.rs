//! Submissions, waits and read-backs.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use recording::ExecutorError;

use crate::{
    Gpu, Prepared,
    fault::During,
    prepared::Step,
    split::Split,
    wait::{Signal, Waited, wait},
};

// One submission runs while the next waits behind it; more would only delay errors.
const DEPTH: usize = 2;

// A wait shorter than this many seconds saw a submission that had ended before.
const BLOCKED_SECONDS: f64 = 1e-4;

/// A submission that may still run.
#[derive(Debug)]
pub(crate) struct InFlight {
    index: wgpu::SubmissionIndex,
    signal: Signal,
    kernel: &'static str,
    submitted: f64,
    range: Range<usize>,
    split: Arc<Mutex<Split>>,
}

/// The buffer that results are copied to for the host, kept from read to read.
#[derive(Debug, Default)]
pub(crate) struct Readback {
    buffer: Option<wgpu::Buffer>,
}

impl Gpu {
    /// Submits all dispatches, in as many submissions as the budget asks for.
    pub(crate) async fn submit(&mut self, prepared: &Prepared) -> Result<(), ExecutorError> {
        let mut start = 0;
        let calibrating = lock(&prepared.split).is_calibrating();
        while start < prepared.steps.len() {
            let range = lock(&prepared.split).next(start, self.budget);
            let steps = &prepared.steps[range.clone()];
            start = range.end;
            if calibrating {
                self.finish().await?;
            }
            let kernel = steps.last().map_or("", |step| step.name);
            let submitted = (self.clock)();
            let (index, signal) = self.enqueue(kernel, |encoder| {
                encode(encoder, steps, None);
            })?;
            self.statistics.submissions += 1;
            let split = prepared.split.clone();
            self.in_flight.push_back(InFlight { index, signal, kernel, submitted, range, split });
            while self.in_flight.len() > if calibrating { 0 } else { DEPTH } {
                self.retire().await?;
            }
        }
        lock(&prepared.split).finish_run();
        Ok(())
    }

    /// Waits for all submissions.
    pub(crate) async fn finish(&mut self) -> Result<(), ExecutorError> {
        while !self.in_flight.is_empty() {
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
        // Submissions run one after another; where the end was not watched this is only an upper bound.
        let seconds = done - oldest.submitted.max(self.last_done);
        self.last_done = done;
        let mut split = lock(&oldest.split);
        if done - began > BLOCKED_SECONDS || seconds < split.expected(oldest.range.clone()) {
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

    /// Copies words to the host; nothing is in flight.
    pub(crate) async fn read_back(
        &mut self,
        buffer: &wgpu::Buffer,
        offset: u64,
        words: u64,
    ) -> Result<Vec<u32>, ExecutorError> {
        self.device.fault.check()?;
        if words == 0 {
            return Ok(Vec::new());
        }
        let bytes = 4 * words;
        let staging = self.staging(bytes)?;
        let (index, _) = self.enqueue("read", |encoder| {
            encoder.copy_buffer_to_buffer(buffer, 4 * offset, &staging, 0, bytes);
        })?;
        let mapped = Signal::default();
        let set = mapped.clone();
        self.device.guard(During::Other("read".to_owned()), || {
            staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| set.set(result.is_ok()));
        })?;
        self.wait_for(index, &mapped, "read").await?;
        let words = self.device.guard(During::Other("read".to_owned()), || {
            let view = staging.slice(..bytes).get_mapped_range().map_err(|error| error.to_string())?;
            let words = bytemuck::pod_collect_to_vec::<u8, u32>(&view);
            drop(view);
            staging.unmap();
            Ok(words)
        })?;
        words.map_err(|message: String| ExecutorError::Validation { kernel: "read".to_owned(), message })
    }

    fn staging(&mut self, bytes: u64) -> Result<wgpu::Buffer, ExecutorError> {
        if let Some(buffer) = self.readback.buffer.as_ref().filter(|b| b.size() >= bytes) {
            return Ok(buffer.clone());
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes.next_power_of_two().min(4 * self.device.limits().buffer_words),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let buffer = self.device.guard(During::Other("allocating `readback`".to_owned()), || {
            self.device.device.create_buffer(&descriptor)
        })?;
        self.readback.buffer = Some(buffer.clone());
        Ok(buffer)
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
    for step in steps {
        pass.set_pipeline(&step.pipeline);
        pass.set_bind_group(0, &step.group, &[]);
        pass.dispatch_workgroups(step.count[0], step.count[1], 1);
    }
}

fn lock(split: &Mutex<Split>) -> std::sync::MutexGuard<'_, Split> {
    split.lock().unwrap_or_else(PoisonError::into_inner)
}
