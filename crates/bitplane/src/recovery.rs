//! How often a failed device is tried again.

use std::time::Duration;

/// Tries after a failure, with the time to wait before each.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];

/// Counts failures that follow each other without progress.
#[derive(Debug, Default)]
pub struct Recovery {
    failures: u32,
    furthest: Option<u32>,
    total: u32,
}

impl Recovery {
    /// Notes a failure at global `step` and returns how long to wait before the next try, or `None` when enough was
    /// tried.
    ///
    /// A failure further on than all before it counts as the first again.
    pub fn failed_at(&mut self, step: u32) -> Option<Duration> {
        if self.furthest.is_none_or(|furthest| step > furthest) {
            self.furthest = Some(step);
            self.failures = 0;
        }
        let wait = WAITS.get(self.failures as usize).copied();
        self.failures += 1;
        self.total += u32::from(wait.is_some());
        wait
    }

    /// Failures without progress so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Tries in all.
    pub fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_without_progress_then_the_end() {
        let mut recovery = Recovery::default();
        let waits: Vec<_> = [7, 3, 7].map(|step| recovery.failed_at(step)).into();
        assert!(waits.iter().flatten().is_sorted() && waits.iter().all(Option::is_some));
        assert_eq!((recovery.failed_at(7), recovery.failures(), recovery.total()), (None, 4, 3));
    }

    #[test]
    fn progress_starts_the_count_again() {
        let mut recovery = Recovery::default();
        for step in 0..50 {
            assert_eq!(recovery.failed_at(step), Some(WAITS[0]));
        }
        assert_eq!(recovery.total(), 50);
    }
}
