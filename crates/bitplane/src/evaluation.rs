//! Measuring a network on a split, in the form it is deployed in.

use data::Split;
use graph::{Batch, InputSpec, Session};
use pollster::block_on;
use recording::Executor;

use crate::batches::{centered, gather};
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
}

/// How much is evaluated at once, and how much at most.
#[derive(Clone, Copy, Debug)]
pub struct Portions {
    /// Samples of a batch; the last may be smaller.
    pub batch_size: u32,
    /// Batches at most.
    pub limit: Option<u32>,
}

/// Evaluates `split` in order. `go_on` is asked before each batch; where it says no, the result is `None`.
///
/// # Errors
/// [`Failure::TestLoss`], and the session's.
pub fn evaluate<E: Executor>(
    session: &mut Session<E>,
    split: &Split,
    input: &InputSpec,
    portions: Portions,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Totals>, Failure> {
    let batch_size = portions.batch_size as usize;
    let samples: Vec<u32> = (0..u32::try_from(split.len()).expect("splits are below 2^32 samples")).collect();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let transforms = vec![centered(input); batch_size];
    let mut totals = Totals::default();
    block_on(session.freeze())?;
    for samples in samples.chunks(batch_size).take(portions.limit.unwrap_or(u32::MAX) as usize) {
        if !go_on() {
            return Ok(None);
        }
        gather(split, samples, &mut pixels, &mut labels);
        let batch = Batch { pixels: &pixels, labels: &labels, transforms: &transforms[..samples.len()] };
        let found = block_on(session.evaluate(&batch))?;
        totals.correct += u64::from(found.top1);
        totals.top5 += u64::from(found.top5);
        totals.total += u64::from(found.samples);
        totals.loss_sum += found.loss_sum;
    }
    // Values that overflow show up here alone: the deployed form has no other check.
    if !totals.loss_sum.is_finite() {
        return Err(Failure::TestLoss { loss: totals.loss() });
    }
    Ok(Some(totals))
}
