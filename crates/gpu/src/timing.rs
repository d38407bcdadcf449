//! Time per dispatch.

use recording::ExecutorError;

use crate::{Gpu, Prepared, fault::During, submit::encode};

/// Where times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The device stamped the beginning and end of each dispatch.
    Timestamps,
    /// The host's clock around a submission of its own for each dispatch: includes the cost of submitting.
    WallClock,
}

/// Time of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelTime {
    /// Index in the recording.
    pub index: usize,
    /// Duration.
    pub seconds: f64,
}

/// Times of all dispatches of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Where the times come from.
    pub source: TimeSource,
    /// One entry a dispatch, in order.
    pub kernels: Vec<KernelTime>,
}

impl Gpu {
    /// Runs a prepared recording, dispatch by dispatch, and times each; results are those of a plain run.
    ///
    /// # Errors
    /// Device failure or time-out.
    pub async fn profile(&mut self, prepared: &Prepared) -> Result<Profile, ExecutorError> {
        self.finish().await?;
        let source =
            if self.device.has_timestamps() { TimeSource::Timestamps } else { TimeSource::WallClock };
        self.profile_by(prepared, source).await
    }

    pub(crate) async fn profile_by(
        &mut self,
        prepared: &Prepared,
        source: TimeSource,
    ) -> Result<Profile, ExecutorError> {
        let seconds = match source {
            TimeSource::Timestamps => self.by_timestamps(prepared).await?,
            TimeSource::WallClock => self.by_clock(prepared).await?,
        };
        let kernels =
            seconds.into_iter().enumerate().map(|(index, seconds)| KernelTime { index, seconds }).collect();
        Ok(Profile { source, kernels })
    }

    async fn by_clock(&mut self, prepared: &Prepared) -> Result<Vec<f64>, ExecutorError> {
        let mut times = Vec::with_capacity(prepared.steps.len());
        for step in &prepared.steps {
            let began = (self.clock)();
            let (index, signal) =
                self.enqueue(step.name, |encoder| encode(encoder, std::slice::from_ref(step), None))?;
            self.wait_for(index, &signal, step.name).await?;
            times.push((self.clock)() - began);
        }
        Ok(times)
    }

    async fn by_timestamps(&mut self, prepared: &Prepared) -> Result<Vec<f64>, ExecutorError> {
        let stamps = self.allocate_stamps()?;
        let mut times = Vec::with_capacity(prepared.steps.len());
        // Each dispatch is its own submission, so that no submission outgrows the budget while it is being measured.
        for step in &prepared.steps {
            let (index, signal) = self.enqueue(step.name, |encoder| {
                let writes = wgpu::ComputePassTimestampWrites {
                    query_set: &stamps.queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                };
                encode(encoder, std::slice::from_ref(step), Some(writes));
                encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.buffer, 0);
            })?;
            self.wait_for(index, &signal, step.name).await?;
            let words = self.read_back(&stamps.buffer, 0, 4).await?;
            let tick = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
            let ticks = tick(2).saturating_sub(tick(0));
            times.push(ticks as f64 * stamps.period * 1e-9);
        }
        Ok(times)
    }

    fn allocate_stamps(&self) -> Result<Stamps, ExecutorError> {
        let device = &self.device;
        device.guard(During::Other("timestamps".to_owned()), || Stamps {
            queries: device.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            buffer: device.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period: f64::from(device.queue.get_timestamp_period()),
        })
    }
}

struct Stamps {
    queries: wgpu::QuerySet,
    buffer: wgpu::Buffer,
    period: f64,
}
