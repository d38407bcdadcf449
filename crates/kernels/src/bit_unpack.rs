//! Bit planes to codes. Numerics: `reference::bits::unpack`. Shader: `shaders/bit_unpack.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Unpacks `planes[bits][rows][words]` to `codes[rows][k]`.
#[derive(Clone, Copy, Debug)]
pub struct BitUnpack {
    /// Rows.
    pub rows: u32,
    /// Elements per row.
    pub k: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_unpack",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_unpack.wgsl")),
        bindings: &[read("planes"), write("codes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "weight of a plane", from: "<< plane", to: "<< (BITS - 1u - plane)" },
        Mutation { rule: "plane stride", from: "plane * params.rows", to: "plane * (params.rows + 1u)" },
        Mutation { rule: "word of the element", from: "column / 32u", to: "column / 31u" },
        Mutation { rule: "folded workgroups", from: "group.y * groups.x", to: "group.y" },
        Mutation {
            rule: "last element",
            from: "index >= params.rows * params.k",
            to: "index + 1u >= params.rows * params.k",
        },
    ],
};

impl BitUnpack {
    fn elements(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.k)
    }
}

impl Kernel for BitUnpack {
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
        groups_for(self.elements())
    }
    fn lens(&self) -> Vec<u64> {
        let planes = u64::from(self.bits) * u64::from(self.rows) * u64::from(words_for(self.k));
        vec![planes, self.elements()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let planes = &buffers[0][..self.lens()[0] as usize];
        let codes = reference::bits::unpack(planes, self.rows as usize, self.k as usize, self.bits);
        vec![Expected::exact(codes)]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (1, 31), (3, 32), (2, 33), (7, 63), (65, 64), (5, 97), (1, 4099), (1021, 1)];
    let mut random = Random::new(7);
    let mut case = |(rows, k): (u32, u32), bits: u32| {
        let codes = random.codes((rows * k) as usize, bits);
        let planes = reference::bits::pack(&codes, rows as usize, k as usize, bits);
        Case::new(format!("{rows}x{k} bits {bits}"), BitUnpack { rows, k, bits }, vec![planes, vec![]])
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 3)).collect();
    cases.extend((1..=8).map(|bits| case((3, 45), bits)));
    // More than 65,535 workgroups, so that the host folds them over two dimensions.
    let folded = BitUnpack { rows: 65_539, k: 64, bits: 1 };
    cases.push(Case::new("65539x64 bits 1", folded, vec![random.words(2 * 65_539), vec![]]));
    cases
}
