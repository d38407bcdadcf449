//! `bench masks`: products of weights with bits of their own beside that of 1-bit weights.

use graph::{BitOrder, Heterogeneous, MaskCost, ProductKey, Sample, TrialBench};
use kernels::{Random, ResidualCodes};
use pollster::block_on;

use super::check::mismatch;
use super::choices::plan;
use super::context::Bench;
use super::rows::Row;
use crate::cli::bench::MasksArgs;
use crate::exit::Failure;
use crate::method::named;
use crate::output::note;
use crate::spread::Spread;

/// Words of every dispatch that are compared with the reference.
const COMPARED: u32 = 1000;

/// Weights with masks, and what they cost.
struct Subject {
    masks: String,
    cost: MaskCost,
    prepared: gpu::Prepared,
}

/// The product, without a device.
///
/// # Errors
/// Sizes and widths that no kernel computes.
pub fn check(args: &MasksArgs) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage { message };
    if !(1..=graph::MAX_BITS).contains(&args.planes) {
        return Err(usage(format!("{} planes of activations, 1 to {}", args.planes, graph::MAX_BITS)));
    }
    let weights = u64::from(args.n) * u64::from(args.k);
    let results = u64::from(args.m) * u64::from(args.n);
    if weights.max(results) > u64::from(u32::MAX) {
        return Err(usage(format!("{weights} weights and {results} results, more than 32 bits can count")));
    }
    key(args).product().checked().map(drop).map_err(|error| usage(error.to_string()))
}

/// One row for weights of 1 bit, and one for the mix by each granularity, measured in turns.
///
/// # Errors
/// A wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &MasksArgs) -> Result<(), Failure> {
    let MasksArgs { m, n, k, planes, mix, .. } = args;
    note(&format!("and {m}x{n}x{k}, {planes} planes by weights of {mix} bits"));
    let one = Heterogeneous::of("1:1".parse().expect("a mix"));
    let mut subjects = vec![subject(bench, args, &one, "1 bit".to_owned())?];
    for &granularity in &args.mask_granularity {
        let rule = Heterogeneous { mix: *mix, order: BitOrder::Random, granularity: granularity.into() };
        subjects.push(subject(bench, args, &rule, named(granularity))?);
    }
    let prepared: Vec<&gpu::Prepared> = subjects.iter().map(|subject| &subject.prepared).collect();
    let (times, clock) = bench.in_turns(&prepared)?;
    for (Subject { masks, cost, .. }, own) in subjects.iter().zip(&times) {
        let row = Row {
            m: Some(*m),
            n: Some(*n),
            k: Some(*k),
            bits: Some(format!("{planes}x{:.2}", cost.average_bits())),
            form: Some("and".to_owned()),
            kernel: Some(args.kernels.to_string()),
            masks: Some(masks.clone()),
            average_bits: Some(cost.average_bits()),
            executed_planes: Some(cost.executed_planes()),
            first_ratio: own.ratio_to(times.first().unwrap_or(&Spread::default())),
            checked: "reference, sample",
            ..bench.row("masks").timed(own, clock)
        };
        bench.rows.push(row)?;
    }
    Ok(())
}

fn key(args: &MasksArgs) -> ProductKey {
    let &MasksArgs { m, n, k, planes, .. } = args;
    ProductKey {
        m,
        n,
        k,
        segments: 1,
        lhs_planes: planes,
        rhs_planes: 1,
        xor: false,
        unit: false,
        lhs_mask: false,
        rhs_mask: false,
    }
}

/// Random weights whose bits `rule` has chosen, multiplied level by level as a forward pass does, and checked.
fn subject(
    bench: &mut Bench,
    args: &MasksArgs,
    rule: &Heterogeneous,
    masks: String,
) -> Result<Subject, Failure> {
    let (rows, k, levels) = (args.n as usize, args.k as usize, rule.mix.widest());
    let bits = rule.assign(&vec![0.0; rows * k], rows, (0, 0));
    let mut random = Random::new(3);
    let codes: Vec<u32> = bits.iter().map(|&bits| code(bits, random.word())).collect();
    let words = reference::bits::pack(&codes, rows, k, ResidualCodes::planes(levels));
    let groups = (0..levels).map(ResidualCodes::group).collect();
    let plan = plan(args.kernels, bench.gpu.info());
    let trial = TrialBench::new(key(args)).with_groups(words, groups).planned(&mut bench.gpu, &plan)?;
    let sample = Sample { words: COMPARED, seed: 1 };
    let comparison = block_on(trial.check_sampled(&mut bench.gpu, Some(sample)))?;
    if let Some(first) = comparison.first {
        return Err(mismatch(&format!("the product with masks {masks}"), &first.to_string()));
    }
    let bits: Vec<f32> = bits.into_iter().map(|bits| bits as f32).collect();
    Ok(Subject { masks, cost: MaskCost::of(&bits, rows), prepared: trial.prepared })
}

/// The code of a weight of `bits` bits with signs from `random`, as [`ResidualCodes`] writes it.
fn code(bits: u32, random: u32) -> u32 {
    (1..bits)
        .fold(random & 1, |code, level| code | (random >> level & 1) << (2 * level - 1) | 1 << (2 * level))
}
