//! Bit planes packed along positions. Numerics: `reference::product::transpose`. Shader:
//! `shaders/bit_transpose.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bits;

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::widest, words_for};

/// Turns `planes [planes][samples * positions][words(k)]` into `transposed
/// [planes][k][samples][words(positions)]`:
/// the operands of the grad_weight product, in which every sample is a segment of its own words. Where several samples share
/// a segment, these are the segments of a batch, and the last one may be short: bits past `rows` are zero.
#[derive(Clone, Copy, Debug)]
pub struct BitTranspose {
    /// Samples.
    pub samples: u32,
    /// Positions of one sample.
    pub positions: u32,
    /// Positions that there are: those of all samples, or fewer by less than one sample.
    pub rows: u32,
    /// Elements of a row, which become rows.
    pub k: u32,
    /// Planes of any meaning; they are transposed one by one.
    pub planes: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_transpose",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_transpose.wgsl")),
        bindings: &[read("planes"), write("transposed")],
    },
    cases,
    mutations: &[
        Mutation { rule: "rows past the sample", from: "{{ at }} <= last", to: "{{ at }} <= last + 1u" },
        Mutation { rule: "one column of a stage", from: "0x0f0f0f0fu", to: "0x0f0f0f0eu" },
        Mutation { rule: "one row of a stage", from: "pair % distance", to: "0" },
        Mutation { rule: "sample stride", from: "sample * vectors + ", to: "sample + " },
        Mutation { rule: "elements past k", from: "word * 32u + {{ j }}u < params.k", to: "true" },
        Mutation { rule: "position word", from: "position_vector * {{ 32 * VECTOR }}u", to: "0u" },
        Mutation { rule: "neighboring blocks", from: "(32 * lane + i)", to: "(i)" },
        Mutation { rule: "sample offset", from: "sample * params.positions", to: "plane * params.positions" },
        Mutation { rule: "plane offset", from: "plane * params.rows", to: "plane * params.positions" },
        Mutation {
            rule: "rows of a short sample",
            from: "min(params.positions, params.rows - first_row)",
            to: "params.positions",
        },
        Mutation {
            rule: "padded rows",
            from: "let row_words = words_for(params.k)",
            to: "let row_words = (params.k + 31u) / 32u",
        },
    ],
};

impl BitTranspose {
    /// Invocations: vectors of blocks.
    fn blocks(&self) -> u64 {
        let position_words = words_for(self.positions);
        let vectors = u64::from(self.k.div_ceil(32)) * u64::from(position_words / widest(position_words));
        u64::from(self.planes) * u64::from(self.samples) * vectors
    }
}

impl Kernel for BitTranspose {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("positions", self.positions),
            Param::u32("rows", self.rows),
            Param::u32("k", self.k),
            Param::u32("planes", self.planes),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", widest(words_for(self.positions)))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.blocks())
    }
    fn lens(&self) -> Vec<u64> {
        let planes = u64::from(self.planes) * u64::from(self.samples);
        vec![
            u64::from(self.planes) * u64::from(self.rows) * u64::from(words_for(self.k)),
            planes * u64::from(words_for(self.positions)) * u64::from(self.k),
        ]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let planes = &buffers[0][..self.lens()[0] as usize];
        let (samples, positions, k) = (self.samples as usize, self.positions as usize, self.k as usize);
        let turned = |planes: &[u32], bits: u32| {
            let mut codes = bits::unpack(planes, self.rows as usize, k, bits);
            codes.resize(samples * positions * k, 0);
            let columns = reference::product::transpose(&codes, samples * positions, k);
            bits::pack(&columns, k * samples, positions, bits)
        };
        vec![Expected::exact(bits::by_planes(planes, self.planes, turned))]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (1, 31, 33),
        (2, 32, 32),
        (3, 33, 31),
        (2, 64, 65),
        (5, 25, 97),
        (1, 1, 1021),
        (1, 1031, 1),
        (67, 2, 3),
        (2, 81, 432),
        (3, 324, 65),
        (2, 49, 96),
    ];
    let mut random = Random::new(12);
    let mut case = |(samples, positions, k): (u32, u32, u32), planes: u32, missing: u32| {
        let rows = samples * positions - missing;
        let codes = random.codes(rows as usize * k as usize, planes);
        let label = format!("{samples} samples of {positions}x{k} planes {planes} without {missing}");
        let input = bits::pack(&codes, rows as usize, k as usize, planes);
        Case::new(label, BitTranspose { samples, positions, rows, k, planes }, vec![input, vec![]])
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 2, 0)).collect();
    cases.push(case((2, 5, 7), 30, 1));
    cases.extend((1..=9).map(|planes| case((2, 37, 41), planes, 0)));
    let short =
        [((1, 32, 5), 31), ((2, 32, 33), 1), ((3, 128, 31), 64), ((2, 96, 40), 95), ((2, 37, 41), 13)];
    cases.extend(short.map(|(size, missing)| case(size, 3, missing)));
    cases
}
