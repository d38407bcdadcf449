//! Buffers through which the host talks to a recorded network.

use kernels::ColumnSum;
use recording::{BufferSlice, SLICE_ALIGNMENT};

use crate::{GraphError, Network, Recorder, Shape, Tensor, session::SessionOptions};

/// Buffers through which the host talks to a recorded network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    /// Pictures that stay on the device; none where each batch brings its own.
    pub stores: Vec<Store>,
    /// Source pixels where batches bring them, view table and labels, per chunk.
    pub source: Vec<BufferSlice>,
    pub table: Vec<BufferSlice>,
    pub labels: Vec<BufferSlice>,
    /// What changes in training pictures, per chunk; none where they are shown as they are.
    pub changes: Vec<BufferSlice>,
    /// Losses and hits of an evaluation per chunk, as parts of the results.
    pub losses: Vec<BufferSlice>,
    pub hits: Vec<BufferSlice>,
    pub results: Option<BufferSlice>,
    /// Class scores of an evaluation, per chunk.
    pub logits: Vec<BufferSlice>,
}

/// A part of the pictures that stay on the device, no larger than a binding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub first_image: u32,
    pub images: u32,
    pub pixels: BufferSlice,
}

pub(super) fn declare_ports(recorder: &mut Recorder, network: &Network, options: &SessionOptions) -> Ports {
    let mut ports = Ports::default();
    let input = &options.input;
    for chunk in recorder.chunks() {
        let bytes = u64::from(chunk.samples) * u64::from(input.source_len());
        if options.resident == 0 {
            ports.source.push(recorder.uploaded("source pixels", chunk, bytes.div_ceil(4)));
        }
        ports.table.push(recorder.persistent_per_sample("views", chunk, 4 * u64::from(chunk.samples)));
        let words = u64::from(options.change.words()) * u64::from(chunk.samples);
        if words > 0 {
            ports.changes.push(recorder.persistent_per_sample("changes", chunk, words));
        }
        ports.labels.push(recorder.persistent_per_sample("labels", chunk, u64::from(chunk.samples)));
    }
    debug_assert_eq!(network.input, Shape::new(input.out_height, input.out_width, input.channels));
    ports
}

/// Buffers of at most `limit` words for the pictures that stay on the device. Each begins with a whole word.
pub(super) fn declare_stores(
    recorder: &mut Recorder,
    options: &SessionOptions,
    limit: u64,
) -> Result<Vec<Store>, GraphError> {
    let (held, size) = (options.resident, u64::from(options.input.source_len()));
    let most = u32::try_from(limit.saturating_mul(4) / size.max(1)).unwrap_or(u32::MAX) / 4 * 4;
    if held > 0 && most == 0 {
        let (tensor, needed) = ("pictures".to_owned(), 4 * size);
        return Err(GraphError::TooLarge { tensor, samples: 4, needed, limit: 4 * limit });
    }
    let starts = (0..held).step_by(most.max(1) as usize);
    let store = |first_image: u32| {
        let images = most.min(held - first_image);
        let words = (u64::from(images) * size).div_ceil(4);
        Store { first_image, images, pixels: recorder.persistent("pictures", words) }
    };
    Ok(starts.map(store).collect())
}

/// One buffer for the losses and hits of all chunks, so that one read brings them to the host.
pub(super) fn declare_results(recorder: &mut Recorder, ports: &mut Ports) {
    let mut words = 0;
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for chunk in recorder.chunks() {
        for _ in 0..2 {
            parts.push((words, u64::from(chunk.samples)));
            words += u64::from(chunk.samples).next_multiple_of(SLICE_ALIGNMENT);
        }
    }
    let results = recorder.persistent("results", words);
    let slices = parts.iter().map(|&(offset, words)| BufferSlice { offset, words, ..results });
    ports.losses = slices.clone().step_by(2).collect();
    ports.hits = slices.skip(1).step_by(2).collect();
    ports.results = Some(results);
}

/// The class scores where the host can read them after a run.
pub(super) fn persistent_copies(
    recorder: &mut Recorder,
    logits: &Tensor,
    network: &Network,
) -> Result<Vec<BufferSlice>, GraphError> {
    let mut copies = Vec::new();
    for chunk in recorder.chunks() {
        let words = u64::from(chunk.samples) * u64::from(network.classes);
        let copy = recorder.persistent_per_sample("logits", chunk, words);
        let kernel = ColumnSum::new(chunk.samples, network.classes, 1);
        recorder.dispatch(kernel, &[logits.chunks[chunk.index], copy])?;
        copies.push(copy);
    }
    Ok(copies)
}
