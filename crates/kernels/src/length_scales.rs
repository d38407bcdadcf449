//! What the plane groups of a tensor with real-valued bit lengths are multiplied by. Numerics:
//! `reference::bit_length::Rule::group_scales`. Shader: `shaders/length_scales.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, SLICE_ALIGNMENT, Shader, Work, read, write};
use reference::{bit_length::Rule, random::uniform};

use crate::floats::{UNIT, float_at};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Writes the two scales of each of `len` bit lengths, [`LengthScales::SPREAD`] words apart, so that each may be a slice:
/// `range * (at + slope * f)` with the fraction `f` of the length above its base, kept in [0, 1].
#[derive(Clone, Copy, Debug)]
pub struct LengthScales {
    /// Bit lengths.
    pub len: u32,
    /// The fraction is 1 with its own probability, else 0.
    pub draw: bool,
    /// Number of the tensor, the third counter word of the generator.
    pub tensor: u32,
}

/// What [`LengthScales`] knows of one length: its base, and of both plane groups the scale at the base and what is added
/// times the fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthTerms {
    /// The length whose fraction is 0.
    pub base: f32,
    /// `[at, slope]` of both groups.
    pub groups: [[f32; 2]; 2],
}

impl LengthTerms {
    /// The terms of a rule above a base.
    pub fn of(rule: Rule, base: u32) -> Self {
        Self { base: base as f32, groups: rule.group_scales(base).map(|terms| terms.map(|term| term as f32)) }
    }

    /// The words of the kernel's table.
    pub fn words(terms: &[Self]) -> Vec<u32> {
        let floats =
            terms.iter().flat_map(|terms| [[terms.base].as_slice(), terms.groups.as_flattened()].concat());
        floats.map(f32::to_bits).collect()
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "length_scales",
        source: Cow::Borrowed(include_str!("../../../shaders/length_scales.wgsl")),
        bindings: &[read("length"), read("range"), read("step"), read("table"), write("scales")],
    },
    cases,
    mutations: &[
        Mutation { rule: "fraction from 0 on", from: ", 0.0, 1.0);", to: ", -9.0, 1.0);" },
        Mutation { rule: "fraction up to 1", from: ", 0.0, 1.0);", to: ", 0.0, 9.0);" },
        Mutation { rule: "draws where asked", from: "DRAW == 1u", to: "false" },
        Mutation { rule: "draws only where asked", from: "DRAW == 1u", to: "true" },
        Mutation { rule: "probability", from: "drawn < f", to: "drawn >= f" },
        Mutation { rule: "draw of the length", from: "params.tensor, i,", to: "params.tensor, 0u," },
        Mutation { rule: "draw of the tensor", from: "params.tensor, i,", to: "0u, i," },
        Mutation { rule: "range", from: "range[0] * (", to: "(" },
        Mutation { rule: "second group", from: "2u * (at & 1u)", to: "0u" },
        Mutation { rule: "entry of the length", from: "let entry = 5u * i;", to: "let entry = 0u;" },
        Mutation { rule: "zeros in between", from: "scales[index] = 0.0;", to: "scales[index] = 1.0;" },
    ],
};

impl LengthScales {
    /// Words between two scales.
    pub const SPREAD: u32 = SLICE_ALIGNMENT as u32;

    fn words(&self) -> u64 {
        u64::from(self.len) * 2 * SLICE_ALIGNMENT
    }

    /// The fraction of length `at`, and whether a device may see the other outcome of a draw.
    fn fraction(&self, buffers: &[&[u32]], at: u32, base: f64) -> f64 {
        let fraction = (float_at(buffers[0], at as usize) - base).clamp(0.0, 1.0);
        if !self.draw {
            return fraction;
        }
        let step = buffers[2];
        let seed = u64::from(step[1]) | u64::from(step[2]) << 32;
        f64::from(u8::from(uniform(seed, step[0], self.tensor, at, 0) < fraction))
    }
}

impl Kernel for LengthScales {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len), Param::u32("tensor", self.tensor)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("SPREAD", Self::SPREAD),
            Constant::new("DRAW", u32::from(self.draw)),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.len), 1, 8, 5 * u64::from(self.len), self.words()]
    }
    fn loop_trips(&self) -> u64 {
        10
    }
    fn work(&self) -> Work {
        Work { operations: 6 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (mut scales, mut bounds) = (vec![0.0; self.words() as usize], vec![0.0; self.words() as usize]);
        let range = float_at(buffers[1], 0);
        for length in 0..self.len {
            let entry = |word: usize| float_at(buffers[3], 5 * length as usize + word);
            let fraction = self.fraction(buffers, length, entry(0));
            for group in 0..2 {
                let [at, slope] = [entry(1 + 2 * group), entry(2 + 2 * group)];
                let index = (2 * length as usize + group) * SLICE_ALIGNMENT as usize;
                scales[index] = range * (at + slope * fraction);
                bounds[index] = range.abs() * 4.0 * UNIT * (at.abs() + slope.abs());
            }
        }
        vec![Expected::within(&scales, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    use reference::bit_length::{Grid, Tensor};
    let mut random = Random::new(91);
    let mut cases = Vec::new();
    for draw in [false, true] {
        for (at, len) in [1, 3, 17, 64].into_iter().enumerate() {
            let rule = Rule {
                grid: [Grid::Nested, Grid::Ends][at % 2],
                tensor: [Tensor::Weight, Tensor::Activation][at / 2],
            };
            let bases: Vec<u32> = (0..len).map(|i| 1 + i % 7).collect();
            let terms: Vec<LengthTerms> = bases.iter().map(|&base| LengthTerms::of(rule, base)).collect();
            // Some below the base and some above its neighbor.
            let length = bases.iter().map(|&base| (base as f32 + random.unit() * 1.5 - 0.25).to_bits());
            let length = length.collect();
            let kernel = LengthScales { len, draw, tensor: 5 + at as u32 };
            let inputs =
                vec![length, vec![0.75f32.to_bits()], random.words(8), LengthTerms::words(&terms), vec![]];
            cases.push(Case::new(format!("{len} {rule:?} draw {draw}"), kernel, inputs));
        }
    }
    cases
}
