//! Shares of elements by how many bits they have.

use std::{fmt, str::FromStr};

/// Widths that a mix may hold.
pub const MAX_LEVELS: u32 = 8;

/// What all shares add up to.
const WHOLE: u32 = 1_000_000;

/// Shares of the elements with 1, 2, ... bits, in millionths. Written as `1:0.7,2:0.2,3:0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitMix {
    shares: [u32; MAX_LEVELS as usize],
}

impl BitMix {
    /// The same `bits` for every element.
    ///
    /// # Panics
    /// Where `bits` is not 1 to [`MAX_LEVELS`].
    pub fn homogeneous(bits: u32) -> Self {
        let mut shares = [0; MAX_LEVELS as usize];
        shares[bits as usize - 1] = WHOLE;
        Self { shares }
    }

    /// Widths with a share, and it as a part of 1.
    pub fn shares(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        (1..).zip(self.shares).filter(|(_, share)| *share > 0).map(|(bits, share)| (bits, part(share)))
    }

    /// The widest width.
    pub fn widest(&self) -> u32 {
        self.shares().map(|(bits, _)| bits).max().expect("a mix has a share")
    }

    /// Bits of the mean element.
    pub fn average(&self) -> f64 {
        self.shares().map(|(bits, share)| f64::from(bits) * share).sum()
    }

    /// The least bits an element that says its width needs, by the widths' entropy.
    pub fn entropy(&self) -> f64 {
        self.shares().map(|(_, share)| -share * share.log2()).sum()
    }

    /// The same with every width above `levels` cut to it.
    #[must_use]
    pub fn capped(&self, levels: u32) -> Self {
        let mut shares = [0; MAX_LEVELS as usize];
        for (bits, share) in (1..).zip(self.shares) {
            shares[bits.min(levels.max(1)) as usize - 1] += share;
        }
        Self { shares }
    }

    /// How many of `len` elements have 1, 2, ... bits: whole parts first, what is left goes to the largest remainders, to the
    /// narrower width where they are equal.
    pub fn counts(&self, len: usize) -> [usize; MAX_LEVELS as usize] {
        let exact = self.shares.map(|share| len as u128 * u128::from(share));
        let mut counts = exact.map(|exact| (exact / u128::from(WHOLE)) as usize);
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(exact[at] % u128::from(WHOLE)));
        let left = len - counts.iter().sum::<usize>();
        order.iter().take(left).for_each(|&at| counts[at] += 1);
        counts
    }
}

fn part(share: u32) -> f64 {
    f64::from(share) / f64::from(WHOLE)
}

impl fmt::Display for BitMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (bits, share)) in self.shares().enumerate() {
            write!(f, "{}{bits}:{share}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is no [`BitMix`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BitMixError {
    /// A part is not BITS:SHARE.
    #[error("`{0}` is not BITS:SHARE, such as 2:0.25")]
    Part(String),
    /// A width outside the range.
    #[error("{0} bits are outside 1 to {MAX_LEVELS}")]
    Bits(u32),
    /// A width written twice.
    #[error("{0} bits have two shares")]
    Twice(u32),
    /// A share outside the range.
    #[error("the share {0} is not above 0, up to 1")]
    Share(f64),
    /// Shares that do not make up the whole.
    #[error("the shares add up to {0}, not to 1")]
    Sum(f64),
}

impl FromStr for BitMix {
    type Err = BitMixError;

    fn from_str(text: &str) -> Result<Self, BitMixError> {
        let mut shares = [0; MAX_LEVELS as usize];
        for entry in text.split(',') {
            let unreadable = || BitMixError::Part(entry.to_owned());
            let (bits, share) = entry.split_once(':').ok_or_else(unreadable)?;
            let bits: u32 = bits.trim().parse().map_err(|_| unreadable())?;
            let share: f64 = share.trim().parse().map_err(|_| unreadable())?;
            if !(1..=MAX_LEVELS).contains(&bits) {
                return Err(BitMixError::Bits(bits));
            }
            if !(share > 0.0 && share <= 1.0) {
                return Err(BitMixError::Share(share));
            }
            if shares[bits as usize - 1] != 0 {
                return Err(BitMixError::Twice(bits));
            }
            shares[bits as usize - 1] = (share * f64::from(WHOLE)).round() as u32;
        }
        let sum: u32 = shares.iter().sum();
        // Thirds and the like are off by a few millionths, which the largest share takes.
        let off = i64::from(WHOLE) - i64::from(sum);
        if off.abs() > 1000 {
            return Err(BitMixError::Sum(part(sum)));
        }
        let largest = shares.iter_mut().max().expect("there are widths");
        *largest = largest.saturating_add_signed(off as i32);
        Ok(Self { shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(text: &str) -> BitMix {
        text.parse().expect("a mix")
    }

    #[test]
    fn mixes_are_read_back() {
        for text in ["1:0.7,2:0.2,3:0.1", "2:1", "1:0.5,8:0.5", "1:0.999999,4:0.000001"] {
            assert_eq!(mix(text).to_string(), text);
        }
        assert_eq!(mix("3:0.1, 1:0.7,2:.2"), mix("1:0.7,2:0.2,3:0.1"));
        assert_eq!(mix("1:0.333,2:0.333,3:0.333").to_string(), "1:0.333,2:0.333,3:0.334");
        assert_eq!(BitMix::homogeneous(3), mix("3:1"));
        for text in
            ["", "1", "1:x", "0:1", "9:1", "1:0.5", "1:0.5,1:0.5", "1:1.5", "1:nan", "1:0,2:1", "1:-0.5,2:1"]
        {
            assert!(text.parse::<BitMix>().is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_the_shares_and_lose_no_element() {
        let paper = mix("1:0.7,2:0.2,3:0.1");
        assert!((paper.average() - 1.4).abs() < 1e-12);
        assert!((paper.entropy() - 1.1568).abs() < 1e-4);
        assert_eq!(paper.counts(1000)[..3], [700, 200, 100]);
        assert_eq!(paper.counts(1)[..3], [1, 0, 0]);
        assert_eq!(paper.counts(9)[..3], [6, 2, 1], "6.3, 1.8 and 0.9");
        assert_eq!(mix("1:0.5,2:0.5").counts(7)[..2], [4, 3]);
        for len in 0..200 {
            assert_eq!(paper.counts(len).iter().sum::<usize>(), len);
        }
    }

    #[test]
    fn a_cut_mix_gives_its_upper_shares_to_the_last_level() {
        let paper = mix("1:0.7,2:0.2,3:0.1");
        assert_eq!(paper.capped(2).to_string(), "1:0.7,2:0.3");
        assert_eq!(paper.capped(1), BitMix::homogeneous(1));
        assert_eq!(paper.capped(5), paper);
    }
}
