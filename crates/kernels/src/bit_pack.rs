//! Codes to bit planes. Numerics: `reference::bits::pack`. Shader: `shaders/bit_pack.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Packs `rows` x `k` codes of `bits` bits into `[plane][row][words]`.
#[derive(Clone, Copy, Debug)]
pub struct BitPack {
    /// Rows.
    pub rows: u32,
    /// Elements per row.
    pub k: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_pack",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_pack.wgsl")),
        bindings: &[read("codes"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "row stride", from: "codes[row * params.k", to: "codes[row * words * 32u" },
        Mutation { rule: "last bit of a word", from: "min(32u,", to: "min(31u," },
        Mutation {
            rule: "tail word",
            from: "index >= params.rows * words",
            to: "index + 1u >= params.rows * words",
        },
    ],
};

impl BitPack {
    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.k))
    }
}

impl Kernel for BitPack {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("rows", self.rows), Param::u32("k", self.k)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BITS", self.bits)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.rows) * u64::from(self.k), u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.bits) * 32
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let codes = &buffers[0][..(self.rows * self.k) as usize];
        vec![Expected::exact(reference::bits::pack(codes, self.rows as usize, self.k as usize, self.bits))]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (1, 31), (3, 32), (2, 33), (7, 63), (65, 64), (5, 97), (1, 4099), (1021, 1)];
    let mut random = Random::new(1);
    let mut case = |(rows, k): (u32, u32), bits: u32| {
        let codes = random.codes((rows * k) as usize, bits);
        Case::new(format!("{rows}x{k} bits {bits}"), BitPack { rows, k, bits }, vec![codes, vec![]])
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 3)).collect();
    cases.extend((1..=8).map(|bits| case((3, 45), bits)));
    cases
}
