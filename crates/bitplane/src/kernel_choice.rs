//! `--kernels`: which arithmetic computes products of bit planes.

use std::fmt;

use kernels::Arithmetic;
use serde::{Deserialize, Serialize};

/// Words of `--kernels`. Each gives the same bits; they differ in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// The fastest that is known for each product
    #[default]
    Auto,
    /// AND or XOR and population counts on bit planes
    Bits,
    /// 8-bit dot products
    Dot4,
    /// f32, where its sums are exact; otherwise bits
    F32,
}

impl KernelChoice {
    /// The arithmetic that is asked for, where one is.
    pub fn arithmetic(self) -> Option<Arithmetic> {
        match self {
            Self::Auto => None,
            Self::Bits => Some(Arithmetic::Bits),
            Self::Dot4 => Some(Arithmetic::Dot4),
            Self::F32 => Some(Arithmetic::F32),
        }
    }

    /// Whether nothing was asked for.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl fmt::Display for KernelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Bits => "bits",
            Self::Dot4 => "dot4",
            Self::F32 => "f32",
        })
    }
}
