//! The gradient of a penalty on bit lengths. Numerics: `reference::bit_length::penalty_gradient`. Shader:
//! `shaders/length_penalty.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bit_length::penalty_gradient;

use crate::floats::{UNIT, float_at, to_f64};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Adds the penalty's gradient to those of `count` bit lengths that lie among `words` words, in place; other words stay.
#[derive(Clone, Copy, Debug)]
pub struct LengthPenalty {
    /// Bit lengths.
    pub count: u32,
    /// Pairs of lengths, over all lengths.
    pub entries: u32,
    /// Words of the lengths' and of the gradients' buffer.
    pub words: u32,
    /// The lengths are one: each gets the sum of all gradients.
    pub tied: bool,
}

/// The penalty of one bit length n: `n (constant + 1/2 sum of coefficient * other length)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthCost {
    /// Word of the length.
    pub at: u32,
    /// Gradient that is the same at every length.
    pub constant: f32,
    /// Words of other lengths and their coefficients.
    pub pairs: Vec<(u32, f32)>,
}

impl LengthCost {
    /// The words of the kernel's table.
    pub fn words(costs: &[Self]) -> Vec<u32> {
        let mut first = 0;
        let mut words = Vec::new();
        for cost in costs {
            let end = first + cost.pairs.len() as u32;
            words.extend([cost.at, cost.constant.to_bits(), first, end]);
            first = end;
        }
        let pairs = costs.iter().flat_map(|cost| &cost.pairs);
        words.extend(pairs.flat_map(|(at, coefficient)| [*at, coefficient.to_bits()]));
        words
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "length_penalty",
        source: Cow::Borrowed(include_str!("../../../shaders/length_penalty.wgsl")),
        bindings: &[read("lengths"), read("table"), write("gradient")],
    },
    cases,
    mutations: &[
        Mutation { rule: "what is there", from: "gradient[table[4u * i]] + bitcast", to: "bitcast" },
        Mutation { rule: "constant", from: " + bitcast<f32>(table[4u * i + 1u])", to: "" },
        Mutation { rule: "coefficient", from: "bitcast<f32>(table[entry + 1u]) * ", to: "" },
        Mutation { rule: "other length", from: "lengths[table[entry]]", to: "lengths[table[4u * i]]" },
        Mutation { rule: "first pair", from: "at = table[4u * i + 2u]", to: "at = table[4u * i + 2u] + 1u" },
        Mutation { rule: "last pair", from: "at < table[4u * i + 3u]", to: "at + 1u < table[4u * i + 3u]" },
        Mutation { rule: "tied", from: "TIED == 1u", to: "false" },
        Mutation { rule: "not tied", from: "TIED == 1u", to: "true" },
        Mutation { rule: "all are summed", from: "sum += penalized(i)", to: "sum = penalized(i)" },
        Mutation { rule: "last length", from: "index < params.count", to: "index + 1u < params.count" },
    ],
};

impl Kernel for LengthPenalty {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("count", self.count)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("TIED", u32::from(self.tied))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(if self.tied { 1 } else { self.count }))
    }
    fn lens(&self) -> Vec<u64> {
        let table = 4 * u64::from(self.count) + 2 * u64::from(self.entries);
        vec![u64::from(self.words), table, u64::from(self.words)]
    }
    fn loop_trips(&self) -> u64 {
        let entries = u64::from(self.entries);
        if self.tied { 2 * u64::from(self.count) + entries } else { entries }
    }
    fn work(&self) -> Work {
        let operations = 2 * u64::from(self.count) + 2 * u64::from(self.entries);
        Work { operations, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (table, count) = (buffers[1], self.count as usize);
        let word = |length: usize, at: usize| table[4 * length + at] as usize;
        let pair = |at: usize| (4 * count + 2 * at, 4 * count + 2 * at + 1);
        let lengths = to_f64(buffers[0], self.words);
        let mut result = to_f64(buffers[2], self.words);
        let grad: Vec<f64> = (0..count).map(|length| result[word(length, 0)]).collect();
        let constant: Vec<f64> = (0..count).map(|length| float_at(table, 4 * length + 1)).collect();
        let pairs: Vec<Vec<(usize, f64)>> = (0..count)
            .map(|length| {
                let own = (word(length, 2)..word(length, 3)).map(pair);
                own.map(|(at, coefficient)| (table[at] as usize, float_at(table, coefficient))).collect()
            })
            .collect();
        let wanted = penalty_gradient(&grad, &constant, &pairs, &lengths, self.tied);
        let mut bounds = vec![0.0; result.len()];
        let size = |length: usize| {
            let products = pairs[length].iter().map(|&(at, coefficient)| (coefficient * lengths[at]).abs());
            grad[length].abs() + constant[length].abs() + products.sum::<f64>()
        };
        let all: f64 = (0..count).map(size).sum();
        for length in 0..count {
            let terms = if self.tied { all } else { size(length) };
            let sums = if self.tied { count + self.entries as usize } else { pairs[length].len() };
            result[word(length, 0)] = wanted[length];
            bounds[word(length, 0)] = (sums + 3) as f64 * UNIT * terms;
        }
        vec![Expected::within(&result, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(93);
    let mut case = |count: u32, most: u32, tied: bool| {
        let words = 3 * count + 2;
        let cost = |at: u32| {
            let others =
                (0..at % (most + 1)).map(|other| (3 * ((at + 1 + other) % count), 0.25 + other as f32));
            LengthCost { at: 3 * at, constant: 0.5 + at as f32 / 8.0, pairs: others.collect() }
        };
        let costs: Vec<LengthCost> = (0..count).map(cost).collect();
        let entries = costs.iter().map(|cost| cost.pairs.len() as u32).sum();
        let lengths = random.floats(words as usize, 1.0, 8.0);
        let inputs = vec![lengths, LengthCost::words(&costs), random.floats(words as usize, -2.0, 2.0)];
        let kernel = LengthPenalty { count, entries, words, tied };
        Case::new(format!("{count} up to {most} pairs tied {tied}"), kernel, inputs)
    };
    let mut cases = Vec::new();
    for tied in [false, true] {
        cases
            .extend([(1, 0), (2, 1), (7, 3), (65, 2), (129, 5)].map(|(count, most)| case(count, most, tied)));
    }
    cases
}
