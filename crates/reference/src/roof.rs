//! The sums that measure how fast an adapter's arithmetic is.

/// Bits that are set in both words.
pub fn common_ones(x: u32, y: u32) -> i64 {
    i64::from((x & y).count_ones())
}

/// The dot product of four signed bytes with four others.
pub fn dot4(x: u32, y: u32) -> i64 {
    let bytes = |word: u32| word.to_le_bytes().map(|byte| i64::from(byte as i8));
    bytes(x).into_iter().zip(bytes(y)).map(|(x, y)| x * y).sum()
}

/// For each `b`, the sum over `trips` and every `a` of `term(a + trip * step, b)`; the words wrap.
pub fn word_sums(
    (a, b): (&[u32], &[u32]),
    trips: u32,
    step: u32,
    term: impl Fn(u32, u32) -> i64,
) -> Vec<i64> {
    let mut sums = vec![0; b.len()];
    for trip in 0..trips {
        let shift = trip.wrapping_mul(step);
        for (sum, &b) in sums.iter_mut().zip(b) {
            *sum += a.iter().map(|a| term(a.wrapping_add(shift), b)).sum::<i64>();
        }
    }
    sums
}

/// For each `b`, the sum over `trips` and every `a` of `(a + (trip mod 2) * step) * b`.
pub fn product_sums((a, b): (&[f64], &[f64]), trips: u32, step: f64) -> Vec<f64> {
    let (even, odd) = (f64::from(trips.div_ceil(2)), f64::from(trips / 2));
    let sum: f64 = a.iter().sum();
    let total = even * sum + odd * (sum + a.len() as f64 * step);
    b.iter().map(|b| total * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_those_of_their_names() {
        assert_eq!(common_ones(0b1011, 0b1110), 2);
        assert_eq!(dot4(0x80ff_0201, 0x0102_7f05), -128 - 2 + 2 * 127 + 5);
    }

    #[test]
    fn sums_run_over_trips_and_words() {
        assert_eq!(word_sums((&[1, 2], &[3]), 2, u32::MAX, common_ones), [1 + 1 + 1]);
        assert_eq!(product_sums((&[1.0, 2.0], &[10.0]), 3, 0.5), [(3.0 + 4.0 + 3.0) * 10.0]);
    }
}
