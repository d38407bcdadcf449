//! Expected contents of a written buffer, and the comparison with what a device wrote.

/// How far a device's words may be from the reference's.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Equal words.
    Exact,
    /// Words are f32; each may differ by at most its absolute bound.
    Absolute(Vec<f32>),
    /// Words are packed codes, `[plane][words]`; a code may also equal the one packed in `alternative`, which differs
    /// from the expected one only where the input lies inside the rounding band.
    Codes {
        /// Number of planes.
        planes: usize,
        /// The same layout as the expected words.
        alternative: Vec<u32>,
    },
}

/// The words that a kernel must leave in one written binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Contents, from the first word of the binding; later words must be unchanged.
    pub words: Vec<u32>,
    /// Allowed deviation.
    pub bound: Bound,
}

/// The first deviation outside its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Word index.
    pub index: usize,
    /// The device's word.
    pub got: u32,
    /// The reference's word.
    pub want: u32,
    /// The absolute bound where the words are f32.
    pub bound: Option<f32>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, got, want, bound } = self;
        match bound {
            Some(bound) => {
                let (got, want) = (f32::from_bits(*got), f32::from_bits(*want));
                write!(f, "word {index}: got {got:e}, want {want:e} within {bound:e}")
            }
            None => write!(f, "word {index}: got {got:#010x}, want {want:#010x}"),
        }
    }
}

/// Counts of one comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Values compared: words, or codes where the words are packed codes.
    pub compared: u64,
    /// Codes that took the alternative inside the rounding band.
    pub in_band: u64,
    /// Values outside their bound.
    pub mismatches: u64,
    /// The first value outside its bound.
    pub first: Option<Mismatch>,
    /// Largest error divided by its bound, over f32 values with a bound above zero.
    pub worst: f64,
}

impl Comparison {
    /// Adds the counts of `other`; keeps the first mismatch.
    pub fn merge(&mut self, other: Self) {
        self.compared += other.compared;
        self.in_band += other.in_band;
        self.mismatches += other.mismatches;
        self.worst = self.worst.max(other.worst);
        self.first = self.first.take().or(other.first);
    }

    /// No value was outside its bound.
    pub fn passed(&self) -> bool {
        self.mismatches == 0
    }

    fn fail(&mut self, index: usize, got: u32, want: u32, bound: Option<f32>) {
        self.mismatches += 1;
        self.first.get_or_insert(Mismatch { index, got, want, bound });
    }
}

impl Expected {
    /// Words that must be met exactly.
    pub fn exact(words: Vec<u32>) -> Self {
        Self { words, bound: Bound::Exact }
    }

    /// f32 values, rounded from `values`, each within the absolute bound of the same index plus the smallest normal f32.
    pub fn within(values: &[f64], bounds: &[f64]) -> Self {
        assert_eq!(values.len(), bounds.len(), "one bound per value");
        let words = values.iter().map(|&v| (v as f32).to_bits()).collect();
        // The reference value itself is rounded to f32 here, which may cost half a unit in the last place.
        let widen =
            |(&v, &b): (&f64, &f64)| (b + v.abs() * f64::from(f32::EPSILON) / 2.0) as f32 + f32::MIN_POSITIVE;
        Self { words, bound: Bound::Absolute(values.iter().zip(bounds).map(widen).collect()) }
    }

    /// Packed codes `[plane][words]`, where `alternative` packs the other legal code of every value inside the rounding band.
    pub fn codes(words: Vec<u32>, planes: usize, alternative: Vec<u32>) -> Self {
        assert_eq!(words.len(), alternative.len(), "alternative codes have the layout of the codes");
        Self { words, bound: Bound::Codes { planes, alternative } }
    }

    /// Compares the words that a device wrote; `got` holds at least as many words as expected.
    pub fn compare(&self, got: &[u32]) -> Comparison {
        match &self.bound {
            Bound::Exact => self.compare_exact(got),
            Bound::Absolute(bounds) => self.compare_absolute(got, bounds),
            Bound::Codes { planes, alternative } => self.compare_codes(got, *planes, alternative),
        }
    }

    fn compare_exact(&self, got: &[u32]) -> Comparison {
        let mut result = Comparison { compared: self.words.len() as u64, ..Comparison::default() };
        for (index, (&want, &got)) in self.words.iter().zip(got).enumerate() {
            if want != got {
                result.fail(index, got, want, None);
            }
        }
        result
    }

    fn compare_absolute(&self, got: &[u32], bounds: &[f32]) -> Comparison {
        let mut result = Comparison { compared: self.words.len() as u64, ..Comparison::default() };
        for (index, ((&want, &got), &bound)) in self.words.iter().zip(got).zip(bounds).enumerate() {
            let (w, g) = (f64::from(f32::from_bits(want)), f64::from(f32::from_bits(got)));
            // WGSL leaves the result open once a value is not finite, so only a finite expectation can be missed.
            if !w.is_finite() {
                continue;
            }
            let error = (g - w).abs();
            if bound > 0.0 && error.is_finite() {
                result.worst = result.worst.max(error / f64::from(bound));
            }
            if !(g.is_finite() && error <= f64::from(bound)) {
                result.fail(index, got, want, Some(bound));
            }
        }
        result
    }

    fn compare_codes(&self, got: &[u32], planes: usize, alternative: &[u32]) -> Comparison {
        let plane_words = self.words.len() / planes.max(1);
        let mut result = Comparison { compared: 32 * plane_words as u64, ..Comparison::default() };
        for word in 0..plane_words {
            let (mut from_expected, mut from_alternative) = (0u32, 0u32);
            for index in (0..planes).map(|plane| plane * plane_words + word) {
                from_expected |= self.words[index] ^ got[index];
                from_alternative |= alternative[index] ^ got[index];
            }
            result.in_band += u64::from((from_expected & !from_alternative).count_ones());
            let wrong = from_expected & from_alternative;
            if wrong != 0 {
                let plane = (0..planes)
                    .find(|plane| {
                        (self.words[plane * plane_words + word] ^ got[plane * plane_words + word]) & wrong
                            != 0
                    })
                    .unwrap_or(0);
                let index = plane * plane_words + word;
                result.fail(index, got[index], self.words[index], None);
                result.mismatches += u64::from(wrong.count_ones()) - 1;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_bound_accepts_at_the_bound_and_rejects_beyond() {
        let expected = Expected::within(&[1.0, -2.0], &[0.5, 0.0]);
        assert!(expected.compare(&[1.5f32.to_bits(), (-2.0f32).to_bits()]).passed());
        let far = expected.compare(&[1.6f32.to_bits(), f32::NAN.to_bits()]);
        assert_eq!(far.mismatches, 2);
        assert_eq!(far.first.expect("a mismatch").index, 0);
    }

    #[test]
    fn a_code_is_its_own_or_the_alternative_but_not_a_mixture() {
        // Two planes of one word; element 0 is code 1 (01) with alternative 2 (10); element 1 is code 3 without one.
        let expected = Expected::codes(vec![0b11, 0b10], 2, vec![0b10, 0b11]);
        assert_eq!(expected.compare(&[0b11, 0b10]).in_band, 0);
        assert_eq!(expected.compare(&[0b10, 0b11]).in_band, 1);
        assert_eq!(expected.compare(&[0b10, 0b10]).mismatches, 1);
        assert_eq!(expected.compare(&[0b01, 0b10]).mismatches, 1);
    }
}
