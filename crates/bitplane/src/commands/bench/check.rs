//! Comparisons that come before a measurement.

use recording::Expected;

use crate::exit::Failure;

/// Nothing, if `got` is what is expected.
///
/// # Errors
/// [`Failure::Mismatch`] with the first wrong word.
pub fn matches(what: &str, expected: &Expected, got: &[u32]) -> Result<(), Failure> {
    let comparison = expected.compare(got);
    match comparison.first {
        None => Ok(()),
        Some(first) => Err(mismatch(what, &format!("{first}, and {} in all", comparison.mismatches))),
    }
}

/// A wrong result.
pub fn mismatch(what: &str, how: &str) -> Failure {
    Failure::Mismatch { what: what.to_owned(), how: how.to_owned() }
}
