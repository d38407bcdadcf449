//! Bit widths of weights, activations and gradients.

use std::{fmt, str::FromStr};

use crate::GraphError;

/// A width of 32 means "leave in f32".
pub const FULL_PRECISION: u32 = 32;

/// The most bits that a code has.
pub const MAX_BITS: u32 = 8;

/// Widths W, A and G of DoReFa-Net; each is 1 to 8, or [`FULL_PRECISION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits {
    /// W, bits of a weight.
    pub weight: u32,
    /// A, bits of an activation.
    pub activation: u32,
    /// G, bits of a gradient.
    pub gradient: u32,
}

impl Bits {
    /// Checked widths.
    ///
    /// # Errors
    /// [`GraphError::Bits`] names the first width out of range.
    pub fn new(weight: u32, activation: u32, gradient: u32) -> Result<Self, GraphError> {
        for (what, bits) in [("weights", weight), ("activations", activation), ("gradients", gradient)] {
            if !(1..=MAX_BITS).contains(&bits) && bits != FULL_PRECISION {
                return Err(GraphError::Bits { what, bits });
            }
        }
        Ok(Self { weight, activation, gradient })
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.weight, self.activation, self.gradient)
    }
}

impl FromStr for Bits {
    type Err = GraphError;

    fn from_str(text: &str) -> Result<Self, GraphError> {
        let bad = || GraphError::BitsText { text: text.to_owned() };
        let numbers: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        match numbers.map_err(|_| bad())?.as_slice() {
            &[weight, activation, gradient] => Self::new(weight, activation, gradient),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_ranges_hold() {
        assert_eq!("1,2,4".parse::<Bits>().expect("valid").to_string(), "1,2,4");
        assert_eq!("8, 8,32".parse::<Bits>(), Bits::new(8, 8, 32));
        assert_eq!("0,2,4".parse::<Bits>(), Err(GraphError::Bits { what: "weights", bits: 0 }));
        assert_eq!("1,33,4".parse::<Bits>(), Err(GraphError::Bits { what: "activations", bits: 33 }));
        assert!(matches!("1,2".parse::<Bits>(), Err(GraphError::BitsText { .. })));
    }
}
