//! Chooses how a batch is cut and what memory a session takes, before anything is allocated.

use std::collections::HashSet;

use recording::{ExecutorError, Limits};

use crate::{
    GraphError, MemoryPlan, Network, ProductNote, SessionOptions,
    memory::read_before_write,
    recorder::{PlannedBuffer, SAMPLE_BLOCK},
    schedule::{Schedule, binding_limit},
};

/// Bytes that a session of `network` would allocate on an executor with these limits.
///
/// # Errors
/// Tensors that cannot be cut small enough.
pub fn plan_memory(limits: Limits, network: &Network, options: &SessionOptions) -> Result<u64, GraphError> {
    Ok(plan(limits, network, options)?.1.bytes())
}

/// The products that a session of `network` would compute on an executor with these limits, in the order of recording.
///
/// # Errors
/// Tensors that cannot be cut small enough.
pub fn plan_products(
    limits: Limits,
    network: &Network,
    options: &SessionOptions,
) -> Result<Vec<ProductNote>, GraphError> {
    Ok(fitting_schedule(limits, network, options)?.recorder.products)
}

/// The recorded network and its memory, within the options' limit.
pub(crate) fn checked_plan(
    limits: Limits,
    network: &Network,
    options: &SessionOptions,
) -> Result<(Schedule, MemoryPlan), GraphError> {
    let (schedule, memory) = plan(limits, network, options)?;
    let needed = memory.bytes();
    let Some(limit) = options.max_memory_bytes.filter(|limit| needed > *limit) else {
        return Ok((schedule, memory));
    };
    let fits = |batch_size: &u32| {
        let smaller = SessionOptions { batch_size: *batch_size, ..options.clone() };
        plan_memory(limits, network, &smaller).is_ok_and(|bytes| bytes <= limit)
    };
    let halves = std::iter::successors(Some(options.batch_size / 2), |batch| Some(batch / 2));
    let advice = match halves.take_while(|batch| *batch > 0).find(fits) {
        Some(batch) => format!("--batch-size {batch} fits"),
        None => "no batch fits; use a narrower network or smaller pictures".to_owned(),
    };
    Err(GraphError::Memory { needed, batch: options.batch_size, limit, advice })
}

fn plan(
    limits: Limits,
    network: &Network,
    options: &SessionOptions,
) -> Result<(Schedule, MemoryPlan), GraphError> {
    let schedule = fitting_schedule(limits, network, options)?;
    let recorder = &schedule.recorder;
    if let Some((buffer, kernel)) = read_before_write(&recorder.buffers, &recorder.phases) {
        let message = format!("`{buffer}` is read before it is written");
        return Err(ExecutorError::Dispatch { kernel: kernel.to_owned(), message }.into());
    }
    let memory = MemoryPlan::new(&recorder.buffers, &recorder.phases);
    Ok((schedule, memory))
}

/// Records with large chunks of samples whose buffers all fit one binding.
fn fitting_schedule(
    limits: Limits,
    network: &Network,
    options: &SessionOptions,
) -> Result<Schedule, GraphError> {
    let limit = binding_limit(limits, options);
    // The largest f32 tensor decides a first chunk, so that no size of the recording leaves 32 bits.
    let largest = network.layers.iter().map(|l| l.output.shape.words()).max().unwrap_or(1).max(1);
    let mut chunk = options.batch_size;
    if chunk > SAMPLE_BLOCK && largest * u64::from(chunk) > limit {
        chunk = smaller(chunk, limit / largest);
    }
    loop {
        let can_shrink = chunk > SAMPLE_BLOCK;
        match Schedule::record(limits, network, options, chunk) {
            Err(GraphError::TooDeep { .. }) if can_shrink => {}
            Err(error) => return Err(error),
            Ok(schedule) => {
                let Some(large) = too_large(&schedule, limit, limits.buffer_words) else {
                    return Ok(schedule);
                };
                if large.samples == 0 || !can_shrink {
                    let (tensor, needed) = (large.label.clone(), 4 * large.words);
                    return Err(GraphError::TooLarge {
                        tensor,
                        samples: large.samples,
                        needed,
                        limit: 4 * limit,
                    });
                }
            }
        }
        chunk = smaller(chunk, u64::from((chunk / 2).next_multiple_of(SAMPLE_BLOCK)));
    }
}

/// The first buffer that is too large: one of samples that passes the binding `limit`, or a parameter of which a kernel would
/// bind more than that at once.
fn too_large(schedule: &Schedule, limit: u64, buffer_limit: u64) -> Option<&PlannedBuffer> {
    let recorder = &schedule.recorder;
    let slices = recorder.phases.values().flatten().flat_map(|dispatch| &dispatch.buffers);
    let bound: HashSet<u32> =
        slices.filter(|slice| slice.words > limit).map(|slice| slice.buffer.0).collect();
    let large = |(id, buffer): &(u32, &PlannedBuffer)| {
        let most = if buffer.samples == 0 { limit.max(buffer_limit) } else { limit };
        buffer.words > most || bound.contains(id)
    };
    (0..).zip(&recorder.buffers).find(large).map(|(_, buffer)| buffer)
}

/// A chunk below `chunk` of at most `wanted` samples, in whole blocks, at least one.
fn smaller(chunk: u32, wanted: u64) -> u32 {
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(chunk - 1);
    SAMPLE_BLOCK * (wanted / SAMPLE_BLOCK).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_shrink_in_whole_blocks() {
        assert_eq!(smaller(128, 64), 64);
        assert_eq!(smaller(96, 48), 32);
        assert_eq!(smaller(33, 16), 32);
        assert_eq!(smaller(100, u64::MAX), 96);
    }
}
