//! Repeated times and what is reported of them.

/// Median and range of the times of equal repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Seconds.
    pub median: f64,
    /// Seconds.
    pub min: f64,
    /// Seconds.
    pub max: f64,
    /// Repetitions.
    pub count: u32,
}

impl Spread {
    /// Of seconds in any order; zeros of none.
    pub fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Self { median, min, max, count: u32::try_from(sorted.len()).unwrap_or(u32::MAX) }
    }

    /// How many times as fast as `other`.
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        (self.median > 0.0).then(|| other.median / self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let odd = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max, odd.count), (2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(Spread::of(&[2.0]).ratio_to(&Spread::of(&[5.0])), Some(2.5));
        assert_eq!(Spread::of(&[]).ratio_to(&odd), None);
    }
}
