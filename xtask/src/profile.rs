//! Times every kernel of one training step.

use std::{collections::HashMap, time::Instant};

use anyhow::Result;
use gpu::{Gpu, TimeSource};
use graph::{Input, Phase, RING, Session};
use pollster::block_on;

use crate::model;

/// What runs, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    model: model::Options,
    /// Steps that are timed; the fastest time of each dispatch counts.
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// One line per layer and pass instead of one per kernel.
    #[arg(long)]
    by_layer: bool,
}

/// Prints a table of times; always true.
pub fn run(options: &Options) -> Result<bool> {
    let mut subject = options.model.open()?;
    let (session, batch) = subject.parts();
    let steps = timed_steps(session, batch, options.repetitions)?;

    let mut totals: HashMap<String, (usize, f64)> = HashMap::new();
    let mut source = TimeSource::WallClock;
    for phase in [Phase::Forward, Phase::Backward, Phase::Apply] {
        let recording = session.recording(phase).cloned().unwrap_or_default();
        let mut best = vec![f64::INFINITY; recording.dispatches.len()];
        for _ in 0..options.repetitions {
            let (gpu, prepared) = session.prepared(phase);
            let Some(prepared) = prepared else { continue };
            let profile = block_on(gpu.profile(prepared))?;
            source = profile.source;
            for time in profile.kernels {
                best[time.index] = best[time.index].min(time.seconds);
            }
        }
        for (dispatch, seconds) in recording.dispatches.iter().zip(best) {
            let name = match options.by_layer {
                true => format!("{} {}", dispatch.scope.layer, dispatch.scope.pass),
                false => dispatch.kernel.name().to_owned(),
            };
            let (count, total) = totals.entry(name).or_default();
            *count += 1;
            *total += seconds;
        }
    }
    let all: f64 = totals.values().map(|(_, seconds)| seconds).sum();
    let mut rows: Vec<_> = totals.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["what", "dispatches", "ms", "share"]);
    for (name, (count, seconds)) in rows {
        let share = format!("{:.1} %", 100.0 * seconds / all);
        table.add_row([name, count.to_string(), format!("{:.3}", 1e3 * seconds), share]);
    }
    println!("{table}");
    println!("memory {:.1} MiB", session.memory_bytes() as f64 / f64::from(1 << 20));
    let batch_size = f64::from(options.model.batch_size);
    println!(
        "kernels {:.1} ms ({source:?}), a whole step {:.1} ms, {:.0} images/s; queued ahead {:.1} ms, {:.0} images/s, \
         the host busy for {:.2} ms of it",
        1e3 * all,
        1e3 * steps.alone,
        batch_size / steps.alone,
        1e3 * steps.queued,
        batch_size / steps.queued,
        1e3 * steps.host,
    );
    Ok(true)
}

/// Seconds per step.
struct Steps {
    /// Each step waited for before the next is queued.
    alone: f64,
    /// Steps queued while earlier ones run.
    queued: f64,
    /// What queueing a step costs the host where nothing makes it wait.
    host: f64,
}

fn timed_steps(session: &mut Session<Gpu>, batch: Input<'_>, count: u32) -> Result<Steps> {
    // The first runs of a recording are measured one submission at a time.
    for step in 0..3 {
        block_on(session.step(batch, step, 1e-3))?;
    }
    let began = Instant::now();
    let mut host = f64::INFINITY;
    for step in 0..count {
        let began = Instant::now();
        block_on(session.submit_step(batch, step, 1e-3))?;
        host = host.min(began.elapsed().as_secs_f64());
        block_on(session.next_report())?;
    }
    let alone = began.elapsed().as_secs_f64() / f64::from(count);
    let began = Instant::now();
    for step in 0..count {
        block_on(session.submit_step(batch, step, 1e-3))?;
        if session.in_flight() == RING {
            block_on(session.next_report())?;
        }
    }
    while block_on(session.next_report())?.is_some() {}
    let queued = began.elapsed().as_secs_f64() / f64::from(count);
    Ok(Steps { alone, queued, host })
}
