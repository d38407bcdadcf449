//! `bench layer`: every layer and pass of a training step beside its f32 twin.

use graph::{KernelPlan, Phase, ProductNote};

use super::choices::plan;
use super::context::Bench;
use super::roof;
use super::rows::Row;
use super::subject::{PhaseTimes, Spec, Subject};
use crate::cli::bench::LayerArgs;
use crate::exit::Failure;
use crate::output::note;
use crate::spread::Spread;

const PHASES: [Phase; 2] = [Phase::Forward, Phase::Backward];

/// Times of one layer and pass.
struct Pass {
    layer: String,
    pass: &'static str,
    /// Seconds of all dispatches, by repetition.
    all: Vec<f64>,
    /// Seconds of those that compute the product.
    product: Vec<f64>,
    /// Operations of the product.
    operations: u64,
}

/// The points of the grid, checked without a device.
///
/// # Errors
/// An unknown model or layer, too large a batch.
pub fn specs(args: &LayerArgs) -> Result<Vec<Spec>, Failure> {
    let (mut specs, structure) = (Vec::new(), args.structure.structure()?);
    for model in &args.model {
        for &bits in &args.bits {
            for &batch_size in &args.batch_size.0 {
                let device = args.measure.device.clone();
                let spec = Spec {
                    model: model.clone(),
                    bits,
                    structure: structure.clone(),
                    batch_size,
                    seed: args.seed,
                    device,
                };
                let names: Vec<String> =
                    spec.model()?.network.summary().iter().map(|layer| layer.name.to_string()).collect();
                if let Some(unknown) = args.layer.iter().find(|layer| !names.contains(layer)) {
                    let (unknown, names) = (data::printable(unknown), names.join(", "));
                    let message = format!("{model} has no layer `{unknown}`; it has {names}");
                    return Err(Failure::Usage { message });
                }
                specs.push(spec);
            }
        }
    }
    Ok(specs)
}

/// One row for every layer and pass at every point of the grid.
///
/// # Errors
/// A wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &LayerArgs) -> Result<(), Failure> {
    let roof = roof::popcount(bench)?;
    for spec in specs(args)? {
        note(&format!("layers of {} at {} bits, batches of {}", spec.model, spec.bits, spec.batch_size));
        let kernels = plan(args.kernels, bench.gpu.info());
        let checked = spec.check_training(&kernels)?;
        spec.twin().check_training(&KernelPlan::default())?;
        let mut subjects = [spec.open(&kernels)?, spec.twin().open(&KernelPlan::default())?];
        let mut passes = [Vec::new(), Vec::new()];
        let (mut timed_by, mut roof_times) = ("", Vec::new());
        subjects.iter_mut().try_for_each(|subject| subject.train(1).map(drop))?;
        for repetition in 0..bench.repetitions as usize {
            roof_times.push(bench.time(&roof.prepared)?.0);
            for (subject, passes) in subjects.iter_mut().zip(&mut passes) {
                for times in subject.profile(&PHASES)? {
                    timed_by = times.timed_by;
                    add(passes, subject, &times, repetition);
                }
            }
        }
        let roof = roof.rate(&Spread::of(&roof_times));
        let [own, twin] = &passes;
        for pass in own.iter().filter(|pass| args.layer.is_empty() || args.layer.contains(&pass.layer)) {
            let note = note_of(&subjects[0], &pass.layer, pass.pass);
            let twin = twin.iter().find(|other| (&other.layer, other.pass) == (&pass.layer, pass.pass));
            let row = row(bench.row("layer").timed(&Spread::of(&pass.all), timed_by), pass, twin, note, roof);
            let bits = Some(spec.bits.to_string());
            let (model, batch_size) = (Some(spec.model.clone()), Some(spec.batch_size));
            let row = Row { model, bits, batch_size, checked, ..row };
            bench.rows.push(row)?;
        }
    }
    Ok(())
}

fn note_of<'a>(subject: &'a Subject, layer: &str, pass: &str) -> Option<&'a ProductNote> {
    subject.session.products().iter().find(|note| note.layer == layer && note.pass == pass)
}

/// Adds the times of one phase to the passes that its dispatches serve.
fn add(passes: &mut Vec<Pass>, subject: &Subject, times: &PhaseTimes, repetition: usize) {
    let Some(recording) = subject.session.recording(times.phase) else { return };
    for (dispatch, seconds) in recording.dispatches.iter().zip(&times.seconds) {
        let (layer, pass) = (&dispatch.scope.layer, dispatch.scope.pass);
        let index = passes.iter().position(|known| (&known.layer, known.pass) == (layer, pass));
        let index = index.unwrap_or_else(|| {
            let (all, product) = (Vec::new(), Vec::new());
            passes.push(Pass { layer: layer.clone(), pass, all, product, operations: 0 });
            passes.len() - 1
        });
        let known = &mut passes[index];
        known.all.resize(repetition + 1, 0.0);
        known.product.resize(repetition + 1, 0.0);
        known.all[repetition] += seconds;
        if note_of(subject, layer, pass).is_some_and(|note| note.kernel == dispatch.kernel.name()) {
            known.product[repetition] += seconds;
            known.operations += if repetition == 0 { dispatch.kernel.work().operations } else { 0 };
        }
    }
}

/// The row of a pass: its times are those of all its dispatches, its rate that of the product alone.
fn row(timed: Row, pass: &Pass, twin: Option<&Pass>, note: Option<&ProductNote>, roof: f64) -> Row {
    let (all, product) = (Spread::of(&pass.all), Spread::of(&pass.product));
    let key = note.and_then(|note| note.tactic.as_ref());
    let kernel = note.map(|note| match &note.tactic {
        Some((_, tactic)) => tactic.to_string(),
        None => format!("f32:{}", note.kernel),
    });
    let row = timed.operations(pass.operations, &product);
    let twin_product = twin.filter(|twin| twin.operations > 0).map(|twin| Spread::of(&twin.product).median);
    Row {
        layer: Some(pass.layer.clone()),
        pass: Some(pass.pass.to_owned()),
        m: key.map(|(key, _)| key.m),
        n: key.map(|(key, _)| key.n),
        k: key.map(|(key, _)| key.k),
        segments: key.map(|(key, _)| key.segments),
        form: key.map(|(key, _)| key.form().to_string()),
        kernel,
        roof_share: row.gops_median.filter(|_| key.is_some()).map(|rate| rate / roof),
        f32_gops_median: twin
            .zip(twin_product)
            .map(|(twin, seconds)| twin.operations as f64 / seconds * 1e-9),
        f32_ratio: twin.and_then(|twin| all.ratio_to(&Spread::of(&twin.all))),
        ..row
    }
}
