//! Which kernel computes which product fastest on this adapter: every candidate is verified, then timed.

mod cache;
mod choices;
#[cfg(test)]
#[path = "tuner_tests.rs"]
mod tests;

use gpu::Gpu;
use graph::{GraphError, ProductKey, Trial, TrialBench};
use kernels::{Arithmetic, Tactic};
use pollster::block_on;
use recording::{Executor, ExecutorError};

pub use cache::{Cache, adapter_choices};
pub use choices::{AdapterKey, Choice, Choices};

use crate::exit::Failure;
use crate::spread::Spread;

/// Timed runs of a candidate that is in the race.
const ROUNDS: usize = 5;
/// A candidate that takes this many times the fastest's time in the first round is out.
const HOPELESS: f64 = 1.5;
/// Part of the default's time that a faster candidate must save to replace it: less is noise.
const GAIN: f64 = 0.03;

/// An executor that tells how long the device worked.
pub trait Stopwatch: Executor {
    /// Runs `prepared` and gives the seconds that its dispatches took.
    ///
    /// # Errors
    /// Device failure.
    fn time(&mut self, prepared: &Self::Prepared) -> Result<f64, ExecutorError>;
}

impl Stopwatch for Gpu {
    fn time(&mut self, prepared: &Self::Prepared) -> Result<f64, ExecutorError> {
        Ok(block_on(self.profile(prepared))?.kernels.iter().map(|kernel| kernel.seconds).sum())
    }
}

/// One tuned product.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The product.
    pub key: ProductKey,
    /// The kernel that computes it from now on.
    pub tactic: Tactic,
    /// Its median time in seconds.
    pub seconds: f64,
    /// What would run untuned.
    pub default: Tactic,
    /// Its median time in seconds.
    pub default_seconds: f64,
    /// Candidates that gave wrong results, and what was wrong.
    pub struck: Vec<(Tactic, String)>,
}

impl Tuned {
    /// The product, its kernel and what was gained, in one line.
    pub fn describe(&self) -> String {
        let Self { key, tactic, seconds, default_seconds, .. } = self;
        let gain = default_seconds / seconds;
        format!("{key}: {tactic}, {:.2} ms, {gain:.2} times the default's speed", seconds * 1e3)
    }
}

/// Verifies the candidates for one product against the reference and against each other, and times those that agree. Where
/// an arithmetic is wanted, they are its kernels, or those of bits where it does not compute the product exactly.
///
/// # Errors
/// A device failure; [`Failure::Usage`] where no candidate computes the product correctly.
pub fn tune<E: Stopwatch>(
    executor: &mut E,
    key: ProductKey,
    struck: &[Tactic],
    arithmetic: Option<Arithmetic>,
) -> Result<Tuned, Failure> {
    let fitting = |wanted: Arithmetic| wanted.fits(&key.product()).map_or(Arithmetic::Bits, |()| wanted);
    let arithmetic = arithmetic.map(fitting);
    let allowed = |tactic: &Tactic| {
        !struck.contains(tactic) && arithmetic.is_none_or(|wanted| tactic.arithmetic() == wanted)
    };
    let mut candidates = key.candidates(executor.limits().subgroup);
    candidates.retain(|tactic| allowed(tactic) || *tactic == Tactic::Register);
    let mut struck = Vec::new();
    let trials = verified(executor, key, &candidates, &mut struck)?;
    let mut racers: Vec<(Tactic, Trial<E>, Vec<f64>)> =
        trials.into_iter().map(|(tactic, trial)| (tactic, trial, Vec::new())).collect();
    if racers.iter().any(|(tactic, ..)| allowed(tactic)) {
        racers.retain(|(tactic, ..)| allowed(tactic));
    }
    race(executor, &mut racers)?;
    let Some((default, _, first)) = racers.first() else {
        let message = format!(
            "no kernel computes {key} correctly on this adapter; update its driver or choose another --device"
        );
        return Err(Failure::Usage { message });
    };
    let default_seconds = Spread::of(first).median;
    let mut best = (*default, default_seconds);
    for (tactic, _, times) in racers.iter().filter(|(.., times)| times.len() == ROUNDS) {
        let seconds = Spread::of(times).median;
        if seconds < best.1 && seconds < default_seconds * (1.0 - GAIN) {
            best = (*tactic, seconds);
        }
    }
    let (tactic, seconds) = best;
    Ok(Tuned { key, tactic, seconds, default: *default, default_seconds, struck })
}

/// The candidates that agree with the reference on a small product, and with the first of them on the whole one.
fn verified<E: Stopwatch>(
    executor: &mut E,
    key: ProductKey,
    candidates: &[Tactic],
    struck: &mut Vec<(Tactic, String)>,
) -> Result<Vec<(Tactic, Trial<E>)>, Failure> {
    let mut small = TrialBench::new(key.reduced());
    let mut right = Vec::new();
    for &tactic in candidates {
        let trial = match small.trial(executor, tactic) {
            Ok(trial) => trial,
            // Not written for this product.
            Err(GraphError::Layer { .. }) => continue,
            Err(GraphError::Executor(
                error @ (ExecutorError::Shader { .. } | ExecutorError::Validation { .. }),
            )) => {
                struck.push((tactic, error.to_string()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let comparison = block_on(trial.check(executor))?;
        match comparison.first {
            None => right.push(tactic),
            Some(first) => struck.push((tactic, format!("{}: {first}", key.reduced()))),
        }
    }
    let mut whole = TrialBench::new(key);
    let mut wanted: Option<Vec<u32>> = None;
    let mut trials = Vec::new();
    // The portable kernel comes first as the measure of the others, which are kept in their order.
    right.sort_by_key(|tactic| *tactic != Tactic::Register);
    for tactic in right {
        let trial = whole.trial(executor, tactic)?;
        let got = block_on(trial.result(executor))?;
        let wanted = wanted.get_or_insert_with(|| got.clone());
        match got.iter().zip(&*wanted).position(|(got, want)| got != want) {
            None => trials.push((tactic, trial)),
            Some(at) => {
                let [got, want] = [got[at], wanted[at]].map(f32::from_bits);
                struck.push((tactic, format!("{key}: word {at} is {got}, not {want}")));
            }
        }
    }
    trials.sort_by_key(|(tactic, _)| candidates.iter().position(|candidate| candidate == tactic));
    Ok(trials)
}

/// Times all racers in turns; those that are far behind after the first turn leave.
fn race<E: Stopwatch>(
    executor: &mut E,
    racers: &mut [(Tactic, Trial<E>, Vec<f64>)],
) -> Result<(), GraphError> {
    let mut fastest = f64::INFINITY;
    for (_, trial, times) in racers.iter_mut() {
        times.push(executor.time(&trial.prepared)?);
        fastest = fastest.min(times[0]);
    }
    for _ in 1..ROUNDS {
        for (_, trial, times) in racers.iter_mut().filter(|(.., times)| times[0] <= HOPELESS * fastest) {
            times.push(executor.time(&trial.prepared)?);
        }
    }
    Ok(())
}
