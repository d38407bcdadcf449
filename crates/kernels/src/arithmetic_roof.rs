//! How fast an adapter's arithmetic is. Numerics: `reference::roof`. Shader: `shaders/arithmetic_roof.wgsl`.

use std::{borrow::Cow, fmt};

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::roof;

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Different rows of operands; invocations share them.
const ROWS: u32 = 64;
/// Changes every byte of a word from trip to trip.
const WORD_STEP: u32 = 0x9e37_79b9;
const FLOAT_STEP: u32 = 3;

/// An operation whose rate is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoofOperation {
    /// AND, population count and addition of words of 32 bits.
    Popcount,
    /// The same sums in carry-save form, one population count for four words.
    CarrySave,
    /// The dot product of four signed bytes, added.
    Dot4,
    /// Multiply-add of floats.
    Fma,
}

impl RoofOperation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Popcount, Self::CarrySave, Self::Dot4, Self::Fma];

    /// Operations that one word counts for: a multiply and an addition for each bit, byte or float.
    pub fn operations_per_word(self) -> u64 {
        match self {
            Self::Popcount | Self::CarrySave => 64,
            Self::Dot4 => 8,
            Self::Fma => 2,
        }
    }
}

impl fmt::Display for RoofOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Popcount => "popcount",
            Self::CarrySave => "carry-save",
            Self::Dot4 => "dot4",
            Self::Fma => "fma",
        })
    }
}

/// Repeats an operation on registers; `dst` holds a sum that no step may be missing from.
///
/// Bindings: seeds [`ArithmeticRoof::seeds`], dst `u32 [invocations]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArithmeticRoof {
    /// What is repeated.
    pub operation: RoofOperation,
    /// Independent sums of an invocation.
    pub accumulators: u32,
    /// Words that each sum takes in a trip; a multiple of 4 for [`RoofOperation::CarrySave`].
    pub words: u32,
    /// Trips; `trips * words` at most 100,000 for [`RoofOperation::Fma`], whose sums are then exact.
    pub trips: u32,
    /// Invocations.
    pub invocations: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "arithmetic_roof",
        source: Cow::Borrowed(include_str!("../../../shaders/arithmetic_roof.wgsl")),
        bindings: &[read("seeds"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last trip", from: "t < params.trips", to: "t + 1u < params.trips" },
        Mutation { rule: "operands that stay", from: "t * params.step", to: "params.step" },
        Mutation { rule: "floats that stay", from: "(t & 1u) * params.step", to: "params.step" },
        Mutation {
            rule: "word left out",
            from: "{% for w in range(WORDS) %}{%",
            to: "{% for w in range(1, WORDS) %}{%",
        },
        Mutation { rule: "four words left out", from: "range(0, WORDS, 4)", to: "range(4, WORDS, 4)" },
        Mutation { rule: "carry lost", from: "2u * countOneBits(twos", to: "1u * countOneBits(twos" },
        Mutation { rule: "sum left out", from: "    sum += ", to: "    sum = " },
        Mutation { rule: "row of another invocation", from: "index % ", to: "0u * " },
        Mutation {
            rule: "operand of another sum",
            from: "seeds[row + {{ WORDS + j }}u]",
            to: "seeds[row + {{ WORDS }}u]",
        },
        Mutation {
            rule: "operation",
            from: "countOneBits(x{{ w }} & b{{ j }})",
            to: "countOneBits(x{{ w }} | b{{ j }})",
        },
        Mutation {
            rule: "sign of a byte",
            from: "dot4I8Packed(x{{ w }}",
            to: "dot4I8Packed(x{{ w }} & 0x7fffffffu",
        },
        Mutation {
            rule: "past the end",
            from: "index >= params.invocations",
            to: "index > params.invocations",
        },
    ],
};

impl ArithmeticRoof {
    /// Operands for the binding `seeds`: `[64][words + accumulators]`.
    pub fn seeds(&self, random: &mut Random) -> Vec<u32> {
        let len = (ROWS * self.row()) as usize;
        match self.operation {
            RoofOperation::Fma => {
                random.codes(len, 4).iter().map(|&code| (code as f32 - 8.0).to_bits()).collect()
            }
            _ => random.words(len),
        }
    }

    fn row(&self) -> u32 {
        self.words + self.accumulators
    }

    fn step(&self) -> u32 {
        if self.operation == RoofOperation::Fma { FLOAT_STEP } else { WORD_STEP }
    }

    /// The sums of one row, before they are added up.
    fn sums(&self, row: &[u32]) -> Vec<i64> {
        let (a, b) = row.split_at(self.words as usize);
        match self.operation {
            RoofOperation::Popcount | RoofOperation::CarrySave => {
                roof::word_sums((a, b), self.trips, WORD_STEP, roof::common_ones)
            }
            RoofOperation::Dot4 => roof::word_sums((a, b), self.trips, WORD_STEP, roof::dot4),
            RoofOperation::Fma => {
                let floats = |words: &[u32]| {
                    words.iter().map(|&word| f64::from(f32::from_bits(word))).collect::<Vec<_>>()
                };
                let sums = roof::product_sums((&floats(a), &floats(b)), self.trips, f64::from(FLOAT_STEP));
                sums.into_iter().map(|sum| sum as i64).collect()
            }
        }
    }
}

impl Kernel for ArithmeticRoof {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("invocations", self.invocations),
            Param::u32("trips", self.trips),
            Param::u32("step", self.step()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![
            Constant::new("OPERATION", self.operation as u32),
            Constant::new("ACCUMULATORS", self.accumulators),
            Constant::new("WORDS", self.words),
            Constant::new("ROWS", ROWS),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.invocations))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(ROWS * self.row()), u64::from(self.invocations)]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.trips)
    }
    fn work(&self) -> Work {
        let words = [self.invocations, self.trips, self.words, self.accumulators].map(u64::from);
        Work {
            operations: words.iter().product::<u64>() * self.operation.operations_per_word(),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let rows = buffers[0].chunks_exact(self.row() as usize).take(ROWS.min(self.invocations) as usize);
        let sum = |row: &[u32]| {
            let weighted =
                (0..).zip(self.sums(row)).map(|(j, sum): (i64, i64)| (2 * j + 1).wrapping_mul(sum));
            weighted.fold(0, i64::wrapping_add) as u32
        };
        let sums: Vec<u32> = rows.map(sum).collect();
        vec![Expected::exact(sums.into_iter().cycle().take(self.invocations as usize).collect())]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(55);
    let mut cases = Vec::new();
    for operation in RoofOperation::ALL {
        for (accumulators, words, trips, invocations) in
            [(1, 4, 1, 1), (3, 8, 7, 130), (8, 4, 100, 63), (32, 8, 33, 64), (16, 8, 2049, 65)]
        {
            let kernel = ArithmeticRoof { operation, accumulators, words, trips, invocations };
            let seeds = kernel.seeds(&mut random);
            let label = format!("{operation} {accumulators}x{words} trips {trips} invocations {invocations}");
            cases.push(Case::new(label, kernel, vec![seeds, vec![]]));
        }
    }
    cases
}
