//! What the codes of a map stand for, checked.

use crate::{
    Error,
    manifest::{CodeGroup, Codes, Layer, Planes},
};

/// Bits of a code at most; it fits a byte.
pub const MAX_BITS: u32 = 8;

/// Codes of some bits, in groups that have a factor each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Code {
    pub bits: u32,
    pub planes: Planes,
    /// Each channel has one of the groups alone.
    pub apart: bool,
    count: usize,
    groups: [CodeGroup; MAX_BITS as usize],
}

/// The largest code.
pub fn levels(bits: u32) -> u32 {
    (1 << bits) - 1
}

impl Code {
    /// Codes that stand for multiples of `1 / n`, or for what is written.
    pub fn of(layer: &Layer, bits: u32, written: Option<&Codes>) -> Result<Self, Error> {
        let bits = width_of(layer, bits)?;
        let all = CodeGroup { first: 0, planes: bits, factor: 1.0 / levels(bits) as f32 };
        let (planes, groups, apart) = match written {
            None => (Planes::Unit, &[all][..], false),
            Some(codes) => (codes.planes, &codes.groups[..], codes.apart),
        };
        let few = (2..=MAX_BITS as usize).contains(&groups.len());
        let lowest = groups.iter().all(|group| group.first == 0);
        if apart && !(few && lowest && planes == Planes::Unit) {
            let message =
                "has groups of codes apart that are not 2 to 8 of unit planes from the lowest bit on";
            return Err(Error::layer(&layer.name, message));
        }
        let mut free = levels(bits);
        for group in groups {
            let fits = group.planes >= 1 && group.first < bits && group.planes <= bits - group.first;
            let own = if fits { levels(group.planes) << group.first } else { 0 };
            if !fits || free & own != own || !group.factor.is_finite() {
                return Err(Error::layer(&layer.name, format!("has a group {group:?} of {bits}-bit codes")));
            }
            free &= if apart { free } else { !own };
        }
        if groups.is_empty() {
            return Err(Error::layer(&layer.name, "has codes without a group"));
        }
        // Groups share no bit, so that there are no more than bits, or are apart.
        let mut own = [all; MAX_BITS as usize];
        own[..groups.len()].copy_from_slice(groups);
        Ok(Self { bits, planes, apart, count: groups.len(), groups: own })
    }

    pub fn groups(&self) -> &[CodeGroup] {
        &self.groups[..self.count]
    }
}

pub fn width_of(layer: &Layer, bits: u32) -> Result<u32, Error> {
    if (1..=MAX_BITS).contains(&bits) {
        Ok(bits)
    } else {
        Err(Error::layer(&layer.name, format!("has {bits} bits, not 1 to {MAX_BITS}")))
    }
}
