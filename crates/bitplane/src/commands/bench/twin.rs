//! The f32 kernels that products of bit planes are compared with.

use std::sync::Arc;

use gpu::Prepared;
use kernels::{Conv2dForward, Conv2dForwardSubgroup, Random, Window, convolution_lanes};
use recording::{BufferSlice, Dispatch, Executor, Kernel, MAX_LOOP_TRIPS, Recording, SLICE_ALIGNMENT, Scope};

use super::check::matches;
use super::context::{Bench, device};
use super::sample::{Sample, rows};
use crate::exit::Failure;

/// `dst[m, n] = sum over k of input[m, k] * weight[n, k]` in f32, checked and ready to be timed.
pub struct Twin {
    /// All of its dispatches.
    pub prepared: Prepared,
    /// Name of the kernel.
    pub name: &'static str,
    /// Bytes read and written once each.
    pub bytes: u64,
    /// What the result was compared with.
    pub checked: &'static str,
}

/// How the sizes are cut: an operand beyond what the adapter binds at once is taken in parts of its rows, all of which
/// read the same values; their time is that of different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    m: u32,
    n: u32,
    /// Elements of a row, in fours where the faster kernel wants that; those beyond k are zeros.
    depth: u32,
    /// Rows of the left operand that a dispatch takes.
    rows: u32,
}

impl Cut {
    /// `None` where not even a few rows fit, or a sum is too long for one loop.
    fn new([m, n, k]: [u32; 3], lanes: Option<u32>, limit: u64) -> Option<Self> {
        let depth = if lanes.is_some() { k.checked_next_multiple_of(4)? } else { k };
        let most = limit / u64::from(depth);
        let rows = if u64::from(m) <= most { u64::from(m) } else { most - most % SLICE_ALIGNMENT };
        let fits = rows > 0 && u64::from(n) <= most && u64::from(m) * u64::from(n) <= limit;
        let cut = Self { m, n, depth, rows: u32::try_from(rows).ok()? };
        (fits && kernel([cut.rows, n, depth], lanes).loop_trips() < MAX_LOOP_TRIPS).then_some(cut)
    }

    /// The first row of each part and their number.
    fn parts(&self) -> impl Iterator<Item = (u32, u32)> {
        let Self { m, rows, .. } = *self;
        (0..m).step_by(rows as usize).map(move |first| (first, rows.min(m - first)))
    }
}

/// The product as a 1x1 convolution of m positions, on the fastest kernel for subgroups of `lanes`; bindings input,
/// weight, bias (one unread word), output.
fn kernel([m, n, depth]: [u32; 3], lanes: Option<u32>) -> Arc<dyn Kernel> {
    let window = Window {
        samples: 1,
        height: m,
        width: 1,
        kernel_h: 1,
        kernel_w: 1,
        stride: 1,
        pad_top: 0,
        pad_left: 0,
        out_height: m,
        out_width: 1,
    };
    let conv = Conv2dForward { window, in_channels: depth, out_channels: n, bias: false };
    match convolution_lanes(lanes) {
        Some(lanes) if Conv2dForwardSubgroup::fits(&conv) => Arc::new(Conv2dForwardSubgroup { conv, lanes }),
        _ => Arc::new(conv),
    }
}

/// The twin of a product of these sizes, or `None` where the adapter cannot bind its operands.
///
/// # Errors
/// A wrong result, a device failure.
pub fn prepare(bench: &mut Bench, sizes: [u32; 3]) -> Result<Option<Twin>, Failure> {
    let (lanes, limit) = (bench.lanes(), bench.gpu.limits().binding_words);
    let Some(cut) = Cut::new(sizes, lanes, limit) else { return Ok(None) };
    let Cut { m, n, depth, .. } = cut;
    let mut random = Random::new(3);
    let mut operand = |rows: u32| {
        let mut values = random.floats(rows as usize * depth as usize, -1.0, 1.0);
        values.chunks_exact_mut(depth as usize).for_each(|row| row[sizes[2] as usize..].fill(0));
        values
    };
    let (input, weight) = (operand(cut.rows), operand(n));
    let source = bench.upload("f32 input", &input)?;
    let weights = bench.upload("f32 weight", &weight)?;
    let one = bench.upload("one", &[1f32.to_bits()])?;
    let dst = bench.buffer("result", u64::from(m) * u64::from(n))?;
    let mut recording = Recording::new();
    for (first, rows) in cut.parts() {
        let kernel = kernel([rows, n, depth], lanes);
        let [offset, words] = [first, rows].map(|rows| u64::from(rows) * u64::from(n));
        let part = BufferSlice { offset: dst.offset + offset, words, ..dst };
        let source = BufferSlice { words: u64::from(rows) * u64::from(depth), ..source };
        let buffers = vec![source, weights, one, part];
        device(recording.push(Dispatch { kernel, buffers, scope: Scope::default() }))?;
    }
    let prepared = bench.prepare(&recording)?;
    let results = bench.result(&prepared, dst)?;
    let sample = Sample::of(sizes);
    compare(&cut, &sample, [&input, &weight], &results)?;
    Ok(Some(Twin {
        prepared,
        name: recording.dispatches[0].kernel.name(),
        bytes: recording.dispatches.iter().map(|dispatch| dispatch.kernel.work().bytes).sum(),
        checked: if sample.whole { "reference" } else { "sample of reference" },
    }))
}

/// Compares a sample of the results with the reference.
fn compare(cut: &Cut, sample: &Sample, [input, weight]: [&[u32]; 2], results: &[u32]) -> Result<(), Failure> {
    let Cut { m, n, depth, rows: part } = *cut;
    let sources: Vec<u32> = sample.rows.iter().map(|row| row % part).collect();
    let small = kernel([sample.rows.len() as u32, sample.columns.len() as u32, depth], None);
    let (input, weight) =
        (rows(input, depth as usize, &sources), rows(weight, depth as usize, &sample.columns));
    let expected = small.expected(&[&input, &weight, &[0], &[]]).remove(0);
    matches(&format!("the f32 twin {m}x{n}x{depth}"), &expected, &sample.pick(results))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::testing::bench;

    #[test]
    fn operands_beyond_the_limit_are_taken_in_parts() {
        let cut = Cut::new([1000, 8, 30], Some(8), 8192).expect("fits");
        assert_eq!(cut, Cut { m: 1000, n: 8, depth: 32, rows: 256 });
        assert_eq!(cut.parts().collect::<Vec<_>>(), [(0, 256), (256, 256), (512, 256), (768, 232)]);
        assert_eq!(Cut::new([100, 8, 30], None, 8192).map(|cut| (cut.depth, cut.rows)), Some((30, 100)));
        for sizes in [[1000, 9, 2048], [1000, 8, 9000], [1, 300, 32], [2000, 8, 1], [1, 1, u32::MAX]] {
            assert_eq!(Cut::new(sizes, Some(8), 8192), None, "{sizes:?}");
        }
    }

    #[test]
    fn a_wrong_sum_is_noticed() {
        let cut = Cut { m: 3, n: 1, depth: 2, rows: 2 };
        let words = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (input, weight) = (words(&[1.0, 2.0, 3.0, 4.0]), words(&[5.0, 6.0]));
        let compare =
            |results: &[f32]| compare(&cut, &Sample::of([3, 1, 2]), [&input, &weight], &words(results));
        compare(&[17.0, 39.0, 17.0]).expect("right");
        for wrong in [[17.0, 39.0, 39.0], [17.0, 39.5, 17.0], [f32::NAN, 39.0, 17.0]] {
            assert!(matches!(compare(&wrong), Err(Failure::Mismatch { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn sums_of_odd_sizes_are_those_of_the_reference() {
        let Some(mut bench) = bench() else { return };
        let twin = prepare(&mut bench, [37, 21, 30]).expect("right").expect("fits");
        assert_eq!(twin.checked, "reference");
    }
}
