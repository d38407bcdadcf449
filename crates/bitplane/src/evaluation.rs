//! Measuring a network on a split, in the form it is deployed in.

use graph::{InputSpec, RING, Session};
use pollster::block_on;
use recording::Executor;

use crate::batches::{Assembly, Source, centered};
use crate::exit::Failure;

/// Sums over the evaluated samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// First guesses that were right.
    pub correct: u64,
    /// Samples whose class was among the first five guesses.
    pub top5: u64,
    /// Samples.
    pub total: u64,
    /// Sum of losses.
    pub loss_sum: f64,
}

impl Totals {
    /// Fraction of right first guesses.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.total.max(1) as f64
    }

    /// Fraction of samples whose class was among the first five guesses.
    pub fn top5_accuracy(&self) -> f64 {
        self.top5 as f64 / self.total.max(1) as f64
    }

    /// Mean loss.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.total.max(1) as f64
    }

    /// Adds the results of the oldest evaluation in flight; false where there is none.
    fn add_next<E: Executor>(&mut self, session: &mut Session<E>) -> Result<bool, Failure> {
        let Some(found) = block_on(session.next_evaluation())? else { return Ok(false) };
        self.correct += u64::from(found.top1);
        self.top5 += u64::from(found.top5);
        self.total += u64::from(found.samples);
        self.loss_sum += found.loss_sum;
        Ok(true)
    }
}

/// How much is evaluated at once, and how much at most.
#[derive(Clone, Copy, Debug)]
pub struct Portions {
    /// Samples of a batch; the last may be smaller.
    pub batch_size: u32,
    /// Batches at most.
    pub limit: Option<u32>,
}

/// Evaluates `source` in order. `go_on` is asked before each batch; where it says no, the result is `None`.
///
/// Batches are queued ahead of their results.
///
/// # Errors
/// [`Failure::TestLoss`], and the session's.
pub fn evaluate<E: Executor>(
    session: &mut Session<E>,
    source: &Source<'_>,
    input: &InputSpec,
    portions: Portions,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Totals>, Failure> {
    let len = u32::try_from(source.split.len()).expect("splits are below 2^32 samples");
    let batches = len.div_ceil(portions.batch_size).min(portions.limit.unwrap_or(u32::MAX));
    let mut assembly = Assembly::default();
    let samples = |batch: u32| -> Vec<u32> {
        let first = batch.saturating_mul(portions.batch_size);
        (first..len.min(first.saturating_add(portions.batch_size))).collect()
    };
    let mut totals = Totals::default();
    block_on(session.freeze())?;
    let mut stopped = false;
    for batch in 0..batches {
        stopped = !go_on();
        if stopped {
            break;
        }
        if session.evaluations_in_flight() == RING {
            totals.add_next(session)?;
        }
        let next = if batch + 1 < batches { samples(batch + 1) } else { Vec::new() };
        let batch = assembly.fill(source, (&samples(batch), &next), |_| centered(input))?;
        block_on(session.submit_evaluation(batch))?;
    }
    while totals.add_next(session)? {}
    if stopped {
        return Ok(None);
    }
    // Values that overflow show up here alone: the deployed form has no other check.
    if !totals.loss_sum.is_finite() {
        return Err(Failure::TestLoss { loss: totals.loss() });
    }
    Ok(Some(totals))
}
