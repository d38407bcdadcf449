//! Weight decay of parameters that one dispatch updates.

use std::ops::Range;

/// Values from `first` on, up to the next run's first, that share a weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecayRun {
    /// First value, a multiple of 4; 0 in the first run.
    pub first: u32,
    /// Added to the gradient, times the weight.
    pub decay: f32,
}

impl DecayRun {
    /// The words that an optimizer's `decays` holds for runs in the order of their values: first value and decay, as float
    /// bits, of each.
    pub fn words(runs: &[Self]) -> Vec<u32> {
        runs.iter().flat_map(|run| [run.first, run.decay.to_bits()]).collect()
    }
}

/// The values of each of `runs` runs among `len`, and their decay.
pub(crate) fn ranges(words: &[u32], runs: u32, len: u32) -> Vec<(Range<usize>, f64)> {
    let run = |at: u32| {
        let words = &words[2 * at as usize..];
        let end = if at + 1 < runs { words[2] } else { len };
        (words[0] as usize..end as usize, f64::from(f32::from_bits(words[1])))
    };
    (0..runs).map(run).collect()
}
