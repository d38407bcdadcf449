//! The closing line of a task.

/// Passed and failed checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
}

impl Outcome {
    /// Counts one check.
    pub fn count(&mut self, passed: bool) {
        if passed { self.passed += 1 } else { self.failed += 1 }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Prints `N passed, N failed` on a line of its own; true if something was checked and nothing failed.
    pub fn close(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.is_success()
    }

    /// Something was checked and nothing failed.
    pub fn is_success(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}
