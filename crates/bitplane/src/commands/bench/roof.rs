//! `bench roof`: the rates that no kernel on this adapter can pass.

use std::sync::Arc;

use gpu::Prepared;
use kernels::{ArithmeticRoof, MemoryRoof, Random, RoofOperation};
use recording::{BufferSlice, Executor, Kernel};

use super::check::matches;
use super::context::{Bench, device, single};
use super::rows::Row;
use crate::cli::bench::RoofArgs;
use crate::exit::Failure;
use crate::output::note;
use crate::spread::Spread;

/// Trips of an invocation: long enough to hide its start, short enough to be checked in a moment.
const TRIPS: u32 = 1024;
/// A dispatch is enlarged until it takes this long.
const SECONDS: f64 = 0.02;
const MAX_INVOCATIONS: u32 = 1 << 20;
/// Vectors that are copied, 64 MiB: more than a cache holds.
const COPIED: u32 = 1 << 22;

/// One form of the loop that measures an operation.
struct Loop {
    kernel: ArithmeticRoof,
    prepared: Prepared,
}

/// Prints one row for every form of every loop.
///
/// # Errors
/// A result that is not the reference's, a device failure.
pub fn run(bench: &mut Bench, _: &RoofArgs) -> Result<(), Failure> {
    let mut popcount = None;
    for operation in RoofOperation::ALL {
        let rows = rows(bench, operation)?;
        let best = rows.iter().filter_map(|row| row.gops_median).reduce(f64::max);
        let roof = *popcount.get_or_insert(best.unwrap_or_default());
        for row in rows {
            let fastest = Some(row.gops_median == best);
            let roof_share = row.gops_median.map(|rate| rate / roof);
            bench.rows.push(Row { fastest, roof_share, ..row })?;
        }
    }
    let row = copy(bench)?;
    bench.rows.push(row)
}

/// The fastest loop of population counts, which is timed in turns with what it is compared to.
pub struct Roof {
    /// The loop.
    pub prepared: Prepared,
    operations: u64,
}

impl Roof {
    /// 10^9 operations a second.
    pub fn rate(&self, times: &Spread) -> f64 {
        self.operations as f64 / times.median * 1e-9
    }
}

/// The fastest of the loops of population counts.
///
/// # Errors
/// As [`run`].
pub fn popcount(bench: &mut Bench) -> Result<Roof, Failure> {
    let (loops, times, _) = timed(bench, RoofOperation::Popcount)?;
    let roofs =
        loops.into_iter().map(|l| Roof { operations: l.kernel.work().operations, prepared: l.prepared });
    let best = roofs.zip(&times).max_by(|(a, s), (b, t)| a.rate(s).total_cmp(&b.rate(t)));
    let (best, times) = best.expect("there are loops of population counts");
    note(&format!("roof {:.0} Gop/s of population counts", best.rate(times)));
    Ok(best)
}

/// Sums and words of a trip that are tried: enough to hide the loop and the latency, few enough for the registers.
fn forms(operation: RoofOperation) -> &'static [(u32, u32)] {
    match operation {
        RoofOperation::Popcount => &[(8, 8), (16, 8), (24, 8), (32, 8)],
        RoofOperation::CarrySave => &[(8, 8), (8, 16), (16, 8)],
        RoofOperation::Dot4 | RoofOperation::Fma => &[(8, 8), (16, 8), (32, 8)],
    }
}

fn timed(
    bench: &mut Bench,
    operation: RoofOperation,
) -> Result<(Vec<Loop>, Vec<Spread>, &'static str), Failure> {
    let loops = forms(operation)
        .iter()
        .map(|&(accumulators, words)| grown(bench, operation, accumulators, words))
        .collect::<Result<Vec<_>, _>>()?;
    let subjects: Vec<&Prepared> = loops.iter().map(|l| &l.prepared).collect();
    let (times, clock) = bench.in_turns(&subjects)?;
    Ok((loops, times, clock))
}

fn rows(bench: &mut Bench, operation: RoofOperation) -> Result<Vec<Row>, Failure> {
    let (loops, times, clock) = timed(bench, operation)?;
    let row = |(l, times): (&Loop, &Spread)| {
        let ArithmeticRoof { accumulators, words, .. } = l.kernel;
        Row {
            kernel: Some(format!("{operation}:{accumulators}x{words}")),
            checked: "reference",
            ..bench.row("roof").timed(times, clock).operations(l.kernel.work().operations, times)
        }
    };
    Ok(loops.iter().zip(&times).map(row).collect())
}

/// The loop with as many invocations as keep the adapter busy, checked.
fn grown(
    bench: &mut Bench,
    operation: RoofOperation,
    accumulators: u32,
    words: u32,
) -> Result<Loop, Failure> {
    let mut kernel = ArithmeticRoof { operation, accumulators, words, trips: TRIPS, invocations: 256 };
    let seeds = kernel.seeds(&mut Random::new(1));
    // Operands of its own for every loop, as they run in turns.
    let inputs = device(bench.gpu.allocate("roof seeds", seeds.len() as u64))?;
    let inputs = BufferSlice::whole(inputs, seeds.len() as u64);
    device(bench.gpu.write(inputs.buffer, 0, &seeds))?;
    let dst = bench.buffer("roof sums", u64::from(MAX_INVOCATIONS))?;
    loop {
        let prepared = bench.prepare(&single(Arc::new(kernel), vec![inputs, dst])?)?;
        let used = BufferSlice { words: u64::from(kernel.invocations), ..dst };
        let got = bench.result(&prepared, used)?;
        let (seconds, _) = bench.time(&prepared)?;
        if seconds >= SECONDS || kernel.invocations >= MAX_INVOCATIONS {
            let expected = kernel.expected(&[&seeds, &[]]).remove(0);
            matches(&format!("{operation} loop"), &expected, &got)?;
            return Ok(Loop { kernel, prepared });
        }
        kernel.invocations *= 4;
    }
}

fn copy(bench: &mut Bench) -> Result<Row, Failure> {
    let kernel = MemoryRoof { len: COPIED };
    let words: Vec<u32> = (0..4 * COPIED).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let src = bench.upload("copy source", &words)?;
    let dst = bench.buffer("copy destination", words.len() as u64)?;
    let prepared = bench.prepare(&single(Arc::new(kernel), vec![src, dst])?)?;
    let got = bench.result(&prepared, dst)?;
    matches("copy", &kernel.expected(&[&words, &[]]).remove(0), &got)?;
    let (times, clock) = bench.in_turns(&[&prepared])?;
    Ok(Row {
        kernel: Some("copy".to_owned()),
        checked: "reference",
        gigabytes_per_second_median: Some(kernel.work().bytes as f64 / times[0].median * 1e-9),
        ..bench.row("roof").timed(&times[0], clock)
    })
}
