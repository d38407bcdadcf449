//! `bench train` and `bench infer`: whole batches of a network beside its f32 twin.

use std::collections::BTreeMap;

use graph::{KernelPlan, Phase};

use super::choices::plan;
use super::context::Bench;
use super::rows::Row;
use super::subject::{Spec, Subject, batches_of_a_repetition, steps_of_a_repetition};
use crate::cli::bench::NetworkArgs;
use crate::exit::Failure;
use crate::output::note;
use crate::spread::Spread;

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A training step.
    Train,
    /// The deployed evaluation.
    Infer,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }

    fn phases(self) -> &'static [Phase] {
        match self {
            Self::Train => &[Phase::Forward, Phase::Backward, Phase::Apply],
            Self::Infer => &[Phase::Evaluate],
        }
    }

    fn check(self, spec: &Spec, plan: &KernelPlan) -> Result<&'static str, Failure> {
        match self {
            Self::Train => spec.check_training(plan),
            Self::Infer => spec.check_inference(plan),
        }
    }

    /// Seconds of a batch, the mean of `count`.
    fn time(self, subject: &mut Subject, count: u32) -> Result<f64, Failure> {
        match self {
            Self::Train => subject.train(count),
            Self::Infer => subject.infer(count),
        }
    }

    /// Batches of a repetition where one takes `seconds`.
    fn count(self, seconds: f64) -> u32 {
        match self {
            Self::Train => steps_of_a_repetition(seconds),
            Self::Infer => batches_of_a_repetition(seconds),
        }
    }
}

/// A network with the word that names its kernels.
struct Variant {
    name: String,
    spec: Spec,
    subject: Subject,
    checked: &'static str,
    /// Batches of a repetition.
    count: u32,
    times: Vec<f64>,
}

/// The points of the grid, checked without a device.
///
/// # Errors
/// An unknown model, too large a batch.
pub fn specs(args: &NetworkArgs) -> Result<Vec<Spec>, Failure> {
    let (mut specs, structure) = (Vec::new(), args.structure.structure()?);
    for model in &args.model {
        for &bits in &args.bits {
            for &batch_size in &args.batch_size.0 {
                let device = args.measure.device.clone();
                specs.push(Spec {
                    model: model.clone(),
                    bits,
                    structure: structure.clone(),
                    batch_size,
                    seed: args.seed,
                    device,
                });
            }
        }
    }
    let counts = counts_of_bases(args)?;
    specs.iter().flat_map(|spec| spec.by_bases(&counts)).try_for_each(|spec| spec.model().map(drop))?;
    Ok(specs)
}

/// The numbers of bases that are asked for.
fn counts_of_bases(args: &NetworkArgs) -> Result<Vec<u32>, Failure> {
    let bases = args.structure.structure()?.map(|structure| structure.bases);
    Ok(args.try_bases.as_ref().map_or_else(|| bases.into_iter().collect(), |counts| counts.0.clone()))
}

/// One row for each of the kernels, with every number of bases and with one, and one for the f32 twin, at every point of the grid.
///
/// # Errors
/// A wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &NetworkArgs, work: Work) -> Result<(), Failure> {
    let counts = counts_of_bases(args)?;
    for spec in specs(args)? {
        let Spec { model, bits, batch_size, .. } = &spec;
        note(&format!("{} {model} at {bits} bits, batches of {batch_size}", work.name()));
        let mut variants = Vec::new();
        if !spec.is_f32() {
            for &kernels in &args.kernels {
                let plan = plan(kernels, bench.gpu.info());
                for spec in spec.by_bases(&counts) {
                    variants.push(variant(&kernels.to_string(), &spec, &plan, work)?);
                }
            }
        }
        variants.push(variant("f32", &spec.twin(), &KernelPlan::default(), work)?);
        for _ in 0..bench.repetitions {
            for Variant { subject, count, times, .. } in &mut variants {
                times.push(work.time(subject, *count)?);
            }
        }
        let twin = variants.last().map(|variant| Spread::of(&variant.times)).unwrap_or_default();
        let singles: BTreeMap<String, Spread> = variants
            .iter()
            .filter(|variant| variant.spec.bases() == Some(1))
            .map(|variant| (variant.name.clone(), Spread::of(&variant.times)))
            .collect();
        for variant in &mut variants {
            let row = row(bench, variant, work, (&twin, singles.get(&variant.name)));
            bench.rows.push(row)?;
            if args.profile {
                profile(bench, variant, work)?;
            }
        }
    }
    Ok(())
}

/// A network that was checked and warmed up.
fn variant(name: &str, spec: &Spec, plan: &KernelPlan, work: Work) -> Result<Variant, Failure> {
    let checked = work.check(spec, plan)?;
    let mut subject = spec.open(plan)?;
    if work == Work::Infer {
        subject.freeze()?;
    }
    // The first batch pays for what drivers do late, the second tells how many fill a repetition.
    work.time(&mut subject, 1)?;
    let count = work.count(work.time(&mut subject, 1)?);
    Ok(Variant { name: name.to_owned(), spec: spec.clone(), subject, checked, count, times: Vec::new() })
}

fn described(bench: &Bench, what: &'static str, spec: &Spec) -> Row {
    Row {
        model: Some(spec.model.clone()),
        bases: spec.bases(),
        bits: Some(spec.bits.to_string()),
        batch_size: Some(spec.batch_size),
        ..bench.row(what)
    }
}

fn row(bench: &Bench, variant: &Variant, work: Work, (twin, single): (&Spread, Option<&Spread>)) -> Row {
    let times = Spread::of(&variant.times);
    let several = variant.spec.bases().filter(|bases| *bases > 1).zip(single);
    Row {
        kernel: Some(variant.name.clone()),
        f32_ratio: times.ratio_to(twin),
        singles_ratio: several.and_then(|(bases, single)| Some(f64::from(bases) * times.ratio_to(single)?)),
        gpu_bytes: Some(variant.subject.session.memory_bytes()),
        checked: variant.checked,
        ..described(bench, work.name(), &variant.spec).images(variant.spec.batch_size, &times)
    }
    .timed(&times, "wall clock")
}

/// One row for every kernel, those that take longest first.
fn profile(bench: &mut Bench, variant: &mut Variant, work: Work) -> Result<(), Failure> {
    let mut totals: BTreeMap<&'static str, Total> = BTreeMap::new();
    let mut timed_by = "";
    for repetition in 0..bench.repetitions as usize {
        for phase in variant.subject.profile(work.phases())? {
            timed_by = phase.timed_by;
            let Some(recording) = variant.subject.session.recording(phase.phase) else { continue };
            for (dispatch, seconds) in recording.dispatches.iter().zip(&phase.seconds) {
                let total = totals.entry(dispatch.kernel.name()).or_default();
                total.times.resize(repetition + 1, 0.0);
                total.times[repetition] += seconds;
                if repetition == 0 {
                    let work = dispatch.kernel.work();
                    total.dispatches += 1;
                    total.work.operations += work.operations;
                    total.work.bytes += work.bytes;
                }
            }
        }
    }
    let mut kernels: Vec<_> =
        totals.into_iter().map(|(name, total)| (name, Spread::of(&total.times), total)).collect();
    let all: f64 = kernels.iter().map(|(_, times, _)| times.median).sum();
    kernels.sort_by(|(_, a, _), (_, b, _)| b.median.total_cmp(&a.median));
    for (name, times, Total { dispatches, work: done, .. }) in kernels {
        let row = Row {
            pass: Some(work.name().to_owned()),
            kernel: Some(name.to_owned()),
            dispatches: Some(dispatches),
            time_share: Some(times.median / all),
            gigabytes_per_second_median: Some(done.bytes as f64 / times.median * 1e-9),
            checked: variant.checked,
            ..described(bench, "kernel", &variant.spec)
        };
        bench.rows.push(row.timed(&times, timed_by).operations(done.operations, &times))?;
    }
    Ok(())
}

/// All dispatches of a kernel.
#[derive(Default)]
struct Total {
    dispatches: u32,
    work: recording::Work,
    /// Seconds, by repetition.
    times: Vec<f64>,
}
