//! Rows and columns of a large result that stand for all of it.

/// Multiplications that the reference does; larger products are checked by samples.
const REFERENCE_WORK: u64 = 1 << 23;

/// Some rows and columns of an m x n result, the first and the last among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Rows.
    pub rows: Vec<u32>,
    /// Columns.
    pub columns: Vec<u32>,
    /// Columns of the whole result.
    n: u32,
    /// Nothing was left out.
    pub whole: bool,
}

impl Sample {
    /// All of a product that the reference computes in a moment, else up to 16 rows and columns.
    pub fn of([m, n, k]: [u32; 3]) -> Self {
        let whole = [m, n, k].map(u64::from).iter().product::<u64>() <= REFERENCE_WORK;
        let count = ((REFERENCE_WORK / u64::from(k)).isqrt() as u32).clamp(1, 16);
        let count = if whole { u32::MAX } else { count };
        Self { rows: spread_over(m, count), columns: spread_over(n, count), n, whole }
    }

    /// Its elements of the whole result, by rows.
    pub fn pick(&self, results: &[u32]) -> Vec<u32> {
        let row = |&row: &u32| {
            self.columns.iter().map(move |&column| results[row as usize * self.n as usize + column as usize])
        };
        self.rows.iter().flat_map(row).collect()
    }
}

/// The rows `some` of a matrix with rows of `words` words.
pub fn rows(matrix: &[u32], words: usize, some: &[u32]) -> Vec<u32> {
    some.iter().flat_map(|&row| &matrix[row as usize * words..][..words]).copied().collect()
}

/// `count` of the numbers below `all`, first and last among them, or all of them.
fn spread_over(all: u32, count: u32) -> Vec<u32> {
    if count >= all {
        return (0..all).collect();
    }
    let last = u64::from(count.max(2) - 1);
    (0..u64::from(count)).map(|i| (i * u64::from(all - 1) / last) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_hold_the_corners_and_small_results_all() {
        let small = Sample::of([3, 2, 10]);
        assert!(small.whole && small.pick(&[0, 1, 2, 3, 4, 5]) == [0, 1, 2, 3, 4, 5]);
        let large = Sample::of([1000, 700, 5000]);
        assert_eq!((large.rows.len(), large.rows[0], large.rows[15]), (16, 0, 999));
        assert_eq!((large.columns[0], large.columns[15], large.whole), (0, 699, false));
        let results: Vec<u32> = (0..700_000).collect();
        assert_eq!(large.pick(&results)[..2], [0, 699 / 15]);
        assert_eq!(large.pick(&results).last(), Some(&699_999));
        assert_eq!(rows(&[0, 1, 2, 3, 4, 5], 2, &[0, 2]), [0, 1, 4, 5]);
        assert_eq!(Sample::of([100_000, 1, 1 << 24]).rows, [0], "a deep product is checked by one row");
    }
}
