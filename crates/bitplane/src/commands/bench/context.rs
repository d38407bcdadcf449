//! The adapter that is measured, its buffers and its clock.

use std::collections::BTreeMap;

use gpu::{Gpu, Prepared, TimeSource};
use graph::GraphError;
use kernels::POISON;
use pollster::block_on;
use recording::{BufferId, BufferSlice, Dispatch, Executor, ExecutorError, Kernel, Recording, Scope};

use super::rows::{Row, Rows};
use crate::cli::bench::MeasureArgs;
use crate::engine::announce;
use crate::exit::Failure;
use crate::report::{DeviceReport, bytes};
use crate::signal;
use crate::spread::Spread;

/// A device, the rows that were measured on it, and buffers that are used again and again.
#[derive(Debug)]
pub struct Bench {
    /// The device.
    pub gpu: Gpu,
    /// Rows so far.
    pub rows: Rows,
    /// Timed repetitions.
    pub repetitions: u32,
    device: DeviceReport,
    slots: BTreeMap<&'static str, (BufferId, u64)>,
}

impl Bench {
    /// Opens the adapter; from here on Ctrl-C ends the measurement between two repetitions.
    ///
    /// # Errors
    /// No such adapter.
    pub fn open(args: &MeasureArgs) -> Result<Self, Failure> {
        signal::install();
        let gpu = announced_device(args.device.as_deref())?;
        let device = DeviceReport::from(gpu.info());
        let (rows, repetitions) = (Rows::new(args.output), args.repetitions);
        Ok(Self { gpu, rows, repetitions, device, slots: BTreeMap::new() })
    }

    /// Lanes of a subgroup, where all have the same number.
    pub fn lanes(&self) -> Option<u32> {
        self.gpu.limits().subgroup
    }

    /// An empty row of this adapter.
    pub fn row(&self, what: &'static str) -> Row {
        Row::new(what, &self.device, self.lanes())
    }

    /// `words` words of the buffer named `slot`, whose contents are lost when it has to grow.
    ///
    /// # Errors
    /// More words than the adapter binds at once, or no memory.
    pub fn buffer(&mut self, slot: &'static str, words: u64) -> Result<BufferSlice, Failure> {
        let limit = self.gpu.limits().binding_words;
        if words > limit {
            let (needed, most) = (bytes(4 * words), bytes(4 * limit));
            let message = format!(
                "{slot} needs {needed}, the adapter binds at most {most} at once; measure smaller sizes"
            );
            return Err(Failure::Limit { message });
        }
        let id = match self.slots.get(slot) {
            Some((id, held)) if *held >= words => *id,
            _ => {
                let held = words.next_power_of_two().min(limit);
                let id = device(self.gpu.allocate(slot, held))?;
                self.slots.insert(slot, (id, held));
                id
            }
        };
        Ok(BufferSlice::whole(id, words))
    }

    /// A buffer that holds `words`.
    ///
    /// # Errors
    /// As [`Bench::buffer`].
    pub fn upload(&mut self, slot: &'static str, words: &[u32]) -> Result<BufferSlice, Failure> {
        let slice = self.buffer(slot, words.len() as u64)?;
        device(self.gpu.write(slice.buffer, slice.offset, words))?;
        Ok(slice)
    }

    /// Runs `prepared` on a poisoned `dst` and reads what it left there.
    ///
    /// # Errors
    /// A device failure.
    pub fn result(&mut self, prepared: &Prepared, dst: BufferSlice) -> Result<Vec<u32>, Failure> {
        device(self.gpu.write(dst.buffer, dst.offset, &vec![POISON; dst.words as usize]))?;
        device(block_on(self.gpu.run(prepared)))?;
        device(block_on(self.gpu.read(dst.buffer, dst.offset, dst.words)))
    }

    /// Compiles `recording`.
    ///
    /// # Errors
    /// A dispatch that does not fit the adapter.
    pub fn prepare(&mut self, recording: &Recording) -> Result<Prepared, Failure> {
        device(self.gpu.prepare(recording))
    }

    /// Seconds that all dispatches of `prepared` take, and the clock.
    ///
    /// # Errors
    /// A device failure, an interruption.
    pub fn time(&mut self, prepared: &Prepared) -> Result<(f64, &'static str), Failure> {
        go_on()?;
        let profile = device(block_on(self.gpu.profile(prepared)))?;
        Ok((profile.kernels.iter().map(|time| time.seconds).sum(), clock(profile.source)))
    }

    /// The times of all `subjects`, measured in turns after one turn to warm up.
    ///
    /// # Errors
    /// A device failure, an interruption.
    pub fn in_turns(&mut self, subjects: &[&Prepared]) -> Result<(Vec<Spread>, &'static str), Failure> {
        let mut times = vec![Vec::new(); subjects.len()];
        let mut clock = "";
        for turn in 0..=self.repetitions {
            for (times, prepared) in times.iter_mut().zip(subjects) {
                let (seconds, source) = self.time(prepared)?;
                clock = source;
                if turn > 0 {
                    times.push(seconds);
                }
            }
        }
        Ok((times.iter().map(|times| Spread::of(times)).collect(), clock))
    }
}

fn announced_device(spec: Option<&str>) -> Result<Gpu, Failure> {
    let selected = block_on(gpu::select(spec))?;
    announce(&selected.info, selected.notice.as_deref());
    Ok(block_on(Gpu::open(selected, kernels::SHARED))?)
}

/// Opens an adapter, where `portable` without its subgroups, so that only kernels run that every adapter has.
///
/// # Errors
/// No such adapter.
pub fn open_device(spec: Option<&str>, portable: bool) -> Result<Gpu, Failure> {
    let mut selected = block_on(gpu::select(spec))?;
    if portable {
        selected.info.subgroup = None;
    }
    Ok(block_on(Gpu::open(selected, kernels::SHARED))?)
}

/// What the rows call a source of times.
pub fn clock(source: TimeSource) -> &'static str {
    match source {
        TimeSource::Timestamps => "timestamps",
        TimeSource::WallClock => "wall clock",
    }
}

/// A failure of the device as a failure of the program.
///
/// # Errors
/// The given one.
pub fn device<T>(result: Result<T, ExecutorError>) -> Result<T, Failure> {
    result.map_err(|error| Failure::Graph(GraphError::Executor(error)))
}

/// Nothing, unless the user asked for the end.
///
/// # Errors
/// [`Failure::Stopped`].
pub fn go_on() -> Result<(), Failure> {
    if signal::interrupted() { Err(Failure::Stopped) } else { Ok(()) }
}

/// A recording of one dispatch.
///
/// # Errors
/// Buffers that do not fit the kernel.
pub fn single(kernel: std::sync::Arc<dyn Kernel>, buffers: Vec<BufferSlice>) -> Result<Recording, Failure> {
    let mut recording = Recording::new();
    device(recording.push(Dispatch { kernel, buffers, scope: Scope::default() }))?;
    Ok(recording)
}
