//! Finds the first dispatch of a training step that leaves its bounds.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Result;
use graph::{DispatchCheck, Sample};
use pollster::block_on;
use recording::Comparison;

use crate::{model, outcome::Outcome};

/// What runs, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    model: model::Options,
    /// Training steps to take before the one that is checked.
    #[arg(long, default_value_t = 0)]
    after: u32,
    /// Goes on behind the first dispatch that leaves its bounds.
    #[arg(long)]
    keep_going: bool,
    /// Compares this many words of every product and convolution instead of all, for networks too large for the reference.
    #[arg(long, value_name = "WORDS", value_parser = clap::value_parser!(u32).range(2..))]
    sample: Option<u32>,
    /// Prints the recording.
    #[arg(long)]
    print: bool,
}

/// Checks one step; true if every dispatch stayed within its bounds.
pub fn run(options: &Options) -> Result<bool> {
    let mut subject = options.model.open()?;
    let (session, batch) = subject.parts();
    if options.print {
        for phase in [graph::Phase::Forward, graph::Phase::Backward, graph::Phase::Apply] {
            println!("{phase:?}\n{}", session.recording(phase).cloned().unwrap_or_default());
        }
    }
    for step in 0..options.after {
        block_on(session.step(batch, step, 1e-3))?;
    }
    println!("{:.0} MiB on the device", session.memory_bytes() as f64 / f64::from(1 << 20));
    let sample = options.sample.map(|words| Sample { words, seed: options.model.seed });
    let started = Instant::now();
    let stop = |check: &DispatchCheck| !options.keep_going && !check.comparison.passed();
    let checks = block_on(session.step_sampled(batch, options.after, 1e-3, sample, stop))?;
    println!("{} dispatches compared in {:.0} s", checks.len(), started.elapsed().as_secs_f64());
    let mut kernels: BTreeMap<&str, (usize, Comparison)> = BTreeMap::new();
    let mut outcome = Outcome::default();
    for check in checks {
        outcome.count(check.comparison.passed());
        if !check.comparison.passed() {
            report(&check);
        }
        let (count, comparison) = kernels.entry(check.kernel).or_default();
        *count += 1;
        comparison.merge(check.comparison);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["kernel", "dispatches", "values", "worst/bound", "in band", "wrong"]);
    for (kernel, (count, comparison)) in kernels {
        let Comparison { compared, in_band, mismatches, worst, .. } = comparison;
        let worst = format!("{worst:.3}");
        table.add_row([
            kernel.to_owned(),
            count.to_string(),
            compared.to_string(),
            worst,
            in_band.to_string(),
            mismatches.to_string(),
        ]);
    }
    println!("{table}");
    Ok(outcome.close())
}

fn report(check: &DispatchCheck) {
    let DispatchCheck { phase, index, layer, pass, kernel, comparison } = check;
    println!("{phase:?} dispatch {index}: layer {layer}, pass {pass}, kernel {kernel}");
    println!("  {} of {} values outside their bounds", comparison.mismatches, comparison.compared);
    if let Some(first) = &comparison.first {
        println!("  first {first}");
    }
}
