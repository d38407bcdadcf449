//! How many dispatches a submission holds.

use std::ops::Range;

use recording::Work;

// A first guess that suits slow adapters; one run replaces it by measurements.
const OPERATIONS_PER_SECOND: f64 = 2e9;
const BYTES_PER_SECOND: f64 = 2e9;
const DISPATCH_SECONDS: f64 = 2e-5;

/// Estimated seconds per dispatch of a recording, corrected by every measured submission.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    seconds: Vec<f64>,
    runs: u32,
}

/// Time that a submission should take, and the most it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Aim, in seconds.
    pub target: f64,
    /// Beyond this a submission counts as too slow, in seconds.
    pub cap: f64,
}

impl Default for Budget {
    // Browsers and drivers kill submissions after seconds, some disturb the desktop after a few hundred milliseconds.
    fn default() -> Self {
        Self { target: 0.05, cap: 0.25 }
    }
}

impl Split {
    /// Estimates from the work alone.
    pub fn new(work: impl Iterator<Item = Work>) -> Self {
        let guess = |w: Work| {
            w.operations as f64 / OPERATIONS_PER_SECOND + w.bytes as f64 / BYTES_PER_SECOND + DISPATCH_SECONDS
        };
        Self { seconds: work.map(guess).collect(), runs: 0 }
    }

    /// The estimates of several recordings in a row, which run as one from now on.
    pub fn joined<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        Self { seconds: parts.flat_map(|part| part.seconds.iter().copied()).collect(), runs: 0 }
    }

    /// The dispatches of the submission that starts at `start`: as many as fit the target, at least one.
    pub fn next(&self, start: usize, budget: Budget) -> Range<usize> {
        let mut total = 0.0;
        let fits = |seconds: &&f64| {
            total += **seconds;
            total <= budget.target
        };
        let count = self.seconds[start..].iter().take_while(fits).count().max(1);
        start..(start + count).min(self.seconds.len())
    }

    /// What the submission of `range` is expected to take.
    pub fn expected(&self, range: Range<usize>) -> f64 {
        self.seconds[range].iter().sum()
    }

    /// The submission of `range` took `seconds`.
    pub fn record(&mut self, range: Range<usize>, seconds: f64, budget: Budget) {
        let expected = self.expected(range.clone()).max(1e-9);
        let crowded = seconds > budget.cap && range.len() > 1;
        for estimate in &mut self.seconds[range] {
            // Which of them is the slow one is unknown: next time each goes alone.
            let scaled = *estimate * seconds / expected;
            *estimate = if crowded { scaled.max(budget.target) } else { scaled.max(1e-7) };
        }
    }

    /// Counts a finished run.
    pub fn finish_run(&mut self) {
        self.runs = self.runs.saturating_add(1);
    }

    /// The first runs are measured one submission at a time.
    pub fn is_calibrating(&self) -> bool {
        self.runs < 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { target: 0.05, cap: 0.25 };

    fn split(count: usize) -> Split {
        Split::new((0..count).map(|_| Work { operations: 20_000_000, bytes: 0 }))
    }

    fn plan(split: &Split) -> Vec<Range<usize>> {
        let (mut start, mut ranges) = (0, Vec::new());
        while start < split.seconds.len() {
            let range = split.next(start, BUDGET);
            start = range.end;
            ranges.push(range);
        }
        ranges
    }

    #[test]
    fn ranges_cover_all_dispatches_and_stay_within_the_target() {
        let split = split(33);
        let ranges = plan(&split);
        assert_eq!(ranges.iter().map(|r| r.len()).sum::<usize>(), 33);
        assert!(ranges.iter().all(|r| split.expected(r.clone()) <= BUDGET.target), "{ranges:?}");
        assert_eq!(ranges.len(), 9);
    }

    #[test]
    fn fast_measurements_merge_and_slow_ones_divide() {
        let mut split = split(32);
        for range in plan(&split) {
            split.record(range, 0.004, BUDGET);
        }
        assert_eq!(plan(&split).len(), 1);
        split.record(0..32, 0.2, BUDGET);
        assert_eq!(plan(&split).len(), 4);
        split.record(0..8, 0.3, BUDGET);
        assert!(plan(&split)[..8].iter().all(|r| r.len() == 1));
    }

    #[test]
    fn a_dispatch_beyond_the_target_goes_alone() {
        let mut split = split(3);
        split.record(1..2, 9.0, BUDGET);
        assert_eq!(plan(&split), [0..1, 1..2, 2..3]);
    }
}
