//! Bit planes to floats. Numerics: `reference::product::centered`. Shader: `shaders/dequantize.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::centered;

use crate::floats::{relative, to_f64};
use crate::{Case, Entry, Kind, Mutation, Random, WORKGROUP, groups_for, tiling::vector, words_for};

/// Writes `dst[rows][k] = factor * scale[row / rows_per_scale] * value` with the integer that each code of
/// `planes[bits][rows][words]` stands for.
#[derive(Clone, Copy, Debug)]
pub struct Dequantize {
    /// Rows.
    pub rows: u32,
    /// Elements per row.
    pub k: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
    /// What a code stands for.
    pub kind: Kind,
    /// Factor of every element.
    pub factor: f32,
    /// Rows that share a scale.
    pub rows_per_scale: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "dequantize",
        source: Cow::Borrowed(include_str!("../../../shaders/dequantize.wgsl")),
        bindings: &[read("planes"), read("scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "center", from: "2 * value - i32(", to: "2 * value - 1 + i32(" },
        Mutation { rule: "factor", from: "params.factor * scale", to: "scale" },
        Mutation { rule: "scale of the row", from: "row / params.rows_per_scale", to: "0u" },
        Mutation { rule: "plane stride", from: "plane * params.rows", to: "plane * (params.rows + 1u)" },
        Mutation { rule: "place in the word", from: "+ column % 32u", to: "" },
        Mutation { rule: "word of the element", from: "column / 32u", to: "column / 31u" },
    ],
};

impl Dequantize {
    fn elements(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.k)
    }
}

impl Kernel for Dequantize {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("k", self.k),
            Param::u32("rows_per_scale", self.rows_per_scale),
            Param::f32("factor", self.factor),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.bits),
            Constant::new("SIGN", u32::from(self.kind == Kind::Sign)),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.k))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.elements() / u64::from(vector(self.k)))
    }
    fn lens(&self) -> Vec<u64> {
        let planes = u64::from(self.bits) * u64::from(self.rows) * u64::from(words_for(self.k));
        vec![planes, u64::from(self.rows.div_ceil(self.rows_per_scale)), self.elements()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 2 * self.elements(), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let planes = &buffers[0][..self.lens()[0] as usize];
        let codes = reference::bits::unpack(planes, self.rows as usize, self.k as usize, self.bits);
        let scale = to_f64(buffers[1], self.rows.div_ceil(self.rows_per_scale));
        let rows_of_scale = self.rows_per_scale as usize * self.k as usize;
        let integers = centered(&codes, self.bits, self.kind).into_iter().enumerate();
        let dst: Vec<f64> =
            integers.map(|(i, v)| f64::from(self.factor) * scale[i / rows_of_scale] * v as f64).collect();
        vec![relative(&dst, 2.0)]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (1, 31, 1),
        (3, 32, 2),
        (2, 33, 1),
        (7, 63, 3),
        (65, 64, 13),
        (5, 97, 9),
        (1, 4099, 1),
        (3, 300, 2),
    ];
    let mut random = Random::new(6);
    let mut case = |(rows, k, rows_per_scale): (u32, u32, u32), bits: u32, kind: Kind| {
        let codes = random.codes((rows * k) as usize, bits);
        let planes = reference::bits::pack(&codes, rows as usize, k as usize, bits);
        let scale = random.floats(rows.div_ceil(rows_per_scale) as usize, 0.01, 3.0);
        let kernel = Dequantize { rows, k, bits, kind, factor: 1.0 / 3.0, rows_per_scale };
        let label = format!("{rows}x{k} bits {bits} {kind:?} {rows_per_scale} rows a scale");
        Case::new(label, kernel, vec![planes, scale, vec![]])
    };
    let mut cases = Vec::new();
    for kind in [Kind::Unit, Kind::Sign] {
        cases.extend(sizes.map(|size| case(size, 3, kind)));
        cases.extend((1..=8).map(|bits| case((3, 45, 2), bits, kind)));
    }
    cases
}
