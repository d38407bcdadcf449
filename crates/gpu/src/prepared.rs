//! A recording with its pipelines and bind groups.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recording::{Access, Dispatch, ExecutorError, Recording};

use crate::{buffers::Buffers, device::Device, fault::During, fold::fold, pipeline::Pipelines, split::Split};

// Uniform bindings start at multiples of this many words, WebGPU's default alignment.
const PARAMS_STRIDE: usize = 64;

/// A recording made ready to run many times on the device that prepared it.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) steps: Vec<Step>,
    pub(crate) split: Arc<Mutex<Split>>,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub name: &'static str,
    pub pipeline: wgpu::ComputePipeline,
    pub group: wgpu::BindGroup,
    pub count: [u32; 2],
}

impl Prepared {
    /// Compiles and binds `recording`; the parameters of all dispatches share one uniform buffer.
    pub(crate) fn new(
        device: &Device,
        buffers: &Buffers,
        pipelines: &mut Pipelines,
        recording: &Recording,
    ) -> Result<Self, ExecutorError> {
        let params: Vec<Vec<u32>> = recording.dispatches.iter().map(params).collect();
        let uniform = uniform(device, &params.concat())?;
        let mut offset = 0;
        let mut steps = Vec::with_capacity(recording.dispatches.len());
        for (dispatch, params) in recording.dispatches.iter().zip(&params) {
            dispatch.check()?;
            check_aliasing(dispatch)?;
            let kernel = dispatch.kernel.name();
            let mut bindings = vec![wgpu::BufferBinding {
                buffer: &uniform,
                offset,
                size: wgpu::BufferSize::new(4 * params.len() as u64),
            }];
            for (slice, binding) in dispatch.buffers.iter().zip(dispatch.kernel.bindings()) {
                bindings.push(buffers.bind(device, kernel, binding.name, *slice)?);
            }
            let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
                .zip(bindings)
                .map(|(binding, b)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(b),
                })
                .collect();
            check_subgroup(device, dispatch)?;
            let groups = dispatch.kernel.workgroups();
            let count = fold(groups).ok_or_else(|| ExecutorError::Dispatch {
                kernel: kernel.to_owned(),
                message: format!("{groups} workgroups do not fit two dimensions"),
            })?;
            let pipeline = pipelines.get(device, &*dispatch.kernel)?;
            let descriptor = wgpu::BindGroupDescriptor {
                label: Some(kernel),
                layout: &pipeline.layout,
                entries: &entries,
            };
            let group = device.create_bind_group(kernel, &descriptor)?;
            steps.push(Step { name: kernel, pipeline: pipeline.pipeline, group, count });
            offset += 4 * params.len() as u64;
        }
        let work = recording.dispatches.iter().map(|d| d.kernel.work());
        Ok(Self { steps, split: Arc::new(Mutex::new(Split::new(work))) })
    }

    /// The dispatches of `parts` in a row, over the same pipelines and bind groups.
    pub(crate) fn joined(parts: &[&Self]) -> Self {
        let steps = parts.iter().flat_map(|part| part.steps.iter().cloned()).collect();
        let splits: Vec<_> = parts.iter().map(|part| lock(&part.split)).collect();
        let split = Split::joined(splits.iter().map(|split| &**split));
        Self { steps, split: Arc::new(Mutex::new(split)) }
    }
}

/// Estimates are replaced one by one, so a panic elsewhere leaves them usable.
pub(crate) fn lock(split: &Mutex<Split>) -> MutexGuard<'_, Split> {
    split.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The parameters, padded to where the next ones may start.
fn params(dispatch: &Dispatch) -> Vec<u32> {
    let mut words: Vec<u32> = dispatch.kernel.params().iter().map(|p| p.word).collect();
    words.resize(words.len().next_multiple_of(PARAMS_STRIDE).max(PARAMS_STRIDE), 0);
    words
}

fn uniform(device: &Device, words: &[u32]) -> Result<wgpu::Buffer, ExecutorError> {
    let limit = 4 * device.limits().buffer_words;
    let needed = 4 * words.len() as u64;
    if needed > limit {
        return Err(ExecutorError::Limit { what: "parameters of a recording".to_owned(), needed, limit });
    }
    let descriptor = wgpu::BufferDescriptor {
        label: Some("params"),
        size: needed.max(4),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    let buffer = device.create_buffer("params", &descriptor)?;
    device.guard(During::Other("params".to_owned()), || {
        device.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    })?;
    Ok(buffer)
}

fn check_subgroup(device: &Device, dispatch: &Dispatch) -> Result<(), ExecutorError> {
    let (wanted, offered) = (dispatch.kernel.subgroup(), device.limits().subgroup);
    if wanted.is_none() || wanted == offered {
        return Ok(());
    }
    let has = offered.map_or("no subgroups of one size".to_owned(), |size| format!("subgroups of {size}"));
    let message =
        format!("it is written for subgroups of {}, the adapter has {has}", wanted.unwrap_or_default());
    Err(ExecutorError::Dispatch { kernel: dispatch.kernel.name().to_owned(), message })
}

/// WebGPU forbids a buffer that one dispatch both reads and writes through different bindings, and overlapping writes.
fn check_aliasing(dispatch: &Dispatch) -> Result<(), ExecutorError> {
    let bound: Vec<_> = dispatch.buffers.iter().zip(dispatch.kernel.bindings()).collect();
    for (at, (a, left)) in bound.iter().enumerate() {
        for (b, right) in &bound[at + 1..] {
            let overlap = a.offset < b.offset + b.words && b.offset < a.offset + a.words;
            let writes = [left, right].iter().filter(|x| x.access == Access::Write).count();
            if a.buffer == b.buffer && (writes == 1 || writes == 2 && overlap) {
                let message = format!(
                    "`{}` and `{}` share buffer {}, which is written",
                    left.name, right.name, a.buffer.0
                );
                return Err(ExecutorError::Dispatch { kernel: dispatch.kernel.name().to_owned(), message });
            }
        }
    }
    Ok(())
}
