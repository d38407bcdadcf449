//! Reductions that take several dispatches.

use kernels::{ColumnSum, CopyChannels, Reduce, ReduceMap, ReduceOp, RowDots};
use recording::BufferSlice;

use crate::{GraphError, Recorder, Shape, recorder::Chunk};

/// Records `first` and as many further passes as leave one value per row.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn reduce_to_one(
    recorder: &mut Recorder,
    label: &str,
    first: Reduce,
    source: BufferSlice,
    chunk: Option<Chunk>,
) -> Result<BufferSlice, GraphError> {
    let (mut pass, mut source) = (first, source);
    loop {
        let words = u64::from(pass.rows) * u64::from(pass.chunks());
        let result = match chunk {
            Some(chunk) => recorder.per_sample(label, chunk, words),
            None => recorder.transient(label, words),
        };
        recorder.dispatch(pass, &[source, result])?;
        if pass.chunks() == 1 {
            return Ok(result);
        }
        // Magnitudes stay what they are, and as such they keep a NaN.
        let map = if pass.map == ReduceMap::Identity { ReduceMap::Identity } else { ReduceMap::Abs };
        pass = Reduce { len: pass.chunks(), map, factor: 1.0, ..pass };
        source = result;
    }
}

/// Records the dot product of each of `rows` pairs of rows of `len` values, which are those of a chunk's samples where there is
/// one.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn row_dots(
    recorder: &mut Recorder,
    (rows, len): (u32, u32),
    [a, b]: [BufferSlice; 2],
    chunk: Option<Chunk>,
) -> Result<BufferSlice, GraphError> {
    let kernel = RowDots { rows, len };
    let chunks = kernel.chunks();
    let words = u64::from(rows) * u64::from(chunks);
    let parts = match chunk {
        Some(chunk) => recorder.per_sample("dot parts", chunk, words),
        None => recorder.transient("dot parts", words),
    };
    recorder.dispatch(kernel, &[a, b, parts])?;
    if chunks == 1 {
        return Ok(parts);
    }
    let (map, op) = (ReduceMap::Identity, ReduceOp::Sum);
    reduce_to_one(recorder, "dots", Reduce { rows, len: chunks, map, op, factor: 1.0 }, parts, chunk)
}

/// Records the means of |x| over the channels of each pixel of a chunk.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn channel_means(
    recorder: &mut Recorder,
    chunk: Chunk,
    shape: Shape,
    x: BufferSlice,
) -> Result<BufferSlice, GraphError> {
    let (rows, len) = (chunk.samples * shape.pixels(), shape.channels);
    let mean = Reduce { rows, len, map: ReduceMap::Abs, op: ReduceOp::Sum, factor: 1.0 / len as f32 };
    reduce_to_one(recorder, "mean magnitudes", mean, x, Some(chunk))
}

/// Records `first`, one row over `source`, and as many further passes as leave one value; a source larger than a binding
/// is reduced piece by piece, then the results of the pieces.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn reduce_pieces(
    recorder: &mut Recorder,
    label: &str,
    first: Reduce,
    source: BufferSlice,
) -> Result<BufferSlice, GraphError> {
    let pieces = recorder.pieces(source);
    let len = |words: usize| u32::try_from(words).expect("a binding has fewer than 2^32 words");
    let mut results = Vec::new();
    for piece in &pieces {
        let pass = Reduce { len: len(piece.words as usize), ..first };
        results.push(reduce_to_one(recorder, label, pass, *piece, None)?);
    }
    if let [result] = results[..] {
        return Ok(result);
    }
    let count = len(results.len());
    let all = recorder.transient(label, results.len() as u64);
    for (at, result) in (0..).zip(results) {
        let kernel = CopyChannels { rows: 1, count: 1, source: (1, 0), target: (count, at) };
        recorder.dispatch(kernel, &[result, all])?;
    }
    let map = if first.map == ReduceMap::Identity { ReduceMap::Identity } else { ReduceMap::Abs };
    reduce_to_one(recorder, label, Reduce { len: count, map, factor: 1.0, ..first }, all, None)
}

/// Records `dst = factor * (sum of all rows of all chunks' partials)`, row after row in chunk order, so that the result
/// does not depend on how the batch is cut. `partials` holds `(slice, rows)` per chunk.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn sum_partials(
    recorder: &mut Recorder,
    partials: &[(BufferSlice, u32)],
    columns: u32,
    factor: f32,
    dst: BufferSlice,
) -> Result<(), GraphError> {
    for (index, &(slice, rows)) in partials.iter().enumerate() {
        let last = index + 1 == partials.len();
        let factor = if last { factor } else { 1.0 };
        recorder.dispatch(
            ColumnSum { factor, accumulate: index > 0, ..ColumnSum::new(rows, columns, rows) },
            &[slice, dst],
        )?;
    }
    Ok(())
}

/// Samples whose sums share one partial: a power of two that divides the block at which batches are cut, so that about
/// `target` rows of `rows_per_sample` meet in one partial.
pub(crate) fn samples_per_partial(rows_per_sample: u32, target: u32) -> u32 {
    let wanted = (target / rows_per_sample.max(1)).clamp(1, crate::recorder::SAMPLE_BLOCK);
    if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 }
}

/// Rows whose sums share one partial, about `target`: whole samples as in [`samples_per_partial`], or an equal part of one
/// sample, so that partials never straddle a place where the batch may be cut.
pub(crate) fn rows_per_partial(rows_per_sample: u32, target: u32) -> u32 {
    if rows_per_sample <= target {
        return rows_per_sample * samples_per_partial(rows_per_sample, target);
    }
    let part = (1..=target).rev().find(|part| rows_per_sample.is_multiple_of(*part)).unwrap_or(1);
    // A prime number of rows has no useful part.
    if part < 16 { rows_per_sample } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_samples_fill_them_and_stay_small() {
        for (rows, want) in
            [(64, 1024), (1296, 648), (50_176, 1024), (65_536, 1024), (262_144, 1024), (1031, 1031)]
        {
            assert_eq!(rows_per_partial(rows, 1024), want, "{rows}");
            assert!(want.is_multiple_of(rows) || rows.is_multiple_of(want));
        }
    }

    #[test]
    fn partials_divide_the_sample_block() {
        for rows in [1, 2, 5, 25, 49, 64, 100, 324, 1296, 50_176] {
            let samples = samples_per_partial(rows, 2048);
            assert_eq!(crate::recorder::SAMPLE_BLOCK % samples, 0);
            assert!(samples == 1 || samples * rows <= 2048);
        }
    }
}
