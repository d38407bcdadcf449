//! Bit planes to floats. Numerics: `reference::product::centered`. Shader: `shaders/dequantize.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bits::unpack;
use reference::product::{apply_mask, centered};

use crate::floats::{UNIT, to_f64};
use crate::{
    Case, Entry, Kind, Mutation, PlaneGroup, Random, WORKGROUP, groups_for, tiling::vector, words_for,
};

/// Writes `dst[rows][k] = [dst +] factor * scale[row / rows_per_scale] * value` with the integer that each code of a group
/// of `planes[plane][rows][words]` stands for, 0 where the group's mask is.
#[derive(Clone, Copy, Debug)]
pub struct Dequantize {
    /// Rows.
    pub rows: u32,
    /// Elements per row.
    pub k: u32,
    /// The planes of a code, and their mask.
    pub planes: PlaneGroup,
    /// What a code stands for.
    pub kind: Kind,
    /// Factor of every element.
    pub factor: f32,
    /// Rows that share a scale.
    pub rows_per_scale: u32,
    /// Adds to what is there, as the groups of an operand behind its first do.
    pub accumulate: bool,
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
        Mutation { rule: "plane stride", from: ") * params.rows + row", to: ") * (params.rows + 1u) + row" },
        Mutation { rule: "first plane", from: "params.first_plane + plane", to: "plane" },
        Mutation { rule: "mask", from: "MASKED == 1u", to: "false" },
        Mutation {
            rule: "plane of the mask",
            from: "params.mask_plane * params.rows",
            to: "0u * params.rows",
        },
        Mutation { rule: "sum of groups", from: "dst[index] + result", to: "result" },
        Mutation { rule: "place in the word", from: "+ column % 32u", to: "" },
        Mutation { rule: "word of the element", from: "column / 32u", to: "column / 31u" },
    ],
};

impl Dequantize {
    fn elements(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.k)
    }

    fn plane_words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.k))
    }

    /// The codes of `bits` planes from plane `first` on.
    fn codes(&self, buffer: &[u32], first: u32, bits: u32) -> Vec<u32> {
        let plane = self.plane_words() as usize;
        let planes = &buffer[first as usize * plane..(first + bits) as usize * plane];
        unpack(planes, self.rows as usize, self.k as usize, bits)
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
            Param::u32("first_plane", self.planes.first_plane),
            Param::u32("mask_plane", self.planes.mask.unwrap_or(0)),
            Param::f32("factor", self.factor),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.planes.planes),
            Constant::new("SIGN", u32::from(self.kind == Kind::Sign)),
            Constant::new("MASKED", u32::from(self.planes.mask.is_some())),
            Constant::new("ACCUMULATE", u32::from(self.accumulate)),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.k))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.elements() / u64::from(vector(self.k)))
    }
    fn lens(&self) -> Vec<u64> {
        let planes = u64::from(self.planes.end()) * self.plane_words();
        vec![planes, u64::from(self.rows.div_ceil(self.rows_per_scale)), self.elements()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.planes.planes)
    }
    fn work(&self) -> Work {
        Work { operations: 2 * self.elements(), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let bits = self.planes.planes;
        let mut integers = centered(&self.codes(buffers[0], self.planes.first_plane, bits), bits, self.kind);
        if let Some(mask) = self.planes.mask {
            let kept: Vec<bool> = self.codes(buffers[0], mask, 1).into_iter().map(|bit| bit == 1).collect();
            integers = apply_mask(&integers, &kept);
        }
        let scale = to_f64(buffers[1], self.rows.div_ceil(self.rows_per_scale));
        let rows_of_scale = self.rows_per_scale as usize * self.k as usize;
        let before = if self.accumulate { to_f64(buffers[2], self.rows * self.k) } else { Vec::new() };
        let (mut dst, mut bounds) = (Vec::new(), Vec::new());
        for (i, v) in integers.into_iter().enumerate() {
            let value = f64::from(self.factor) * scale[i / rows_of_scale] * v as f64;
            let sum = value + before.get(i).unwrap_or(&0.0);
            dst.push(sum);
            bounds.push((2.0 * value.abs() + before.get(i).map_or(0.0, |_| sum.abs() + value.abs())) * UNIT);
        }
        vec![Expected::within(&dst, &bounds)]
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
    type Group = (PlaneGroup, bool);
    let mut case = |(rows, k, rows_per_scale): (u32, u32, u32), (planes, accumulate): Group, kind: Kind| {
        let codes = random.codes((rows * k) as usize, planes.end());
        let words = reference::bits::pack(&codes, rows as usize, k as usize, planes.end());
        let scale = random.floats(rows.div_ceil(rows_per_scale) as usize, 0.01, 3.0);
        let before = if accumulate { random.floats((rows * k) as usize, -2.0, 2.0) } else { Vec::new() };
        let kernel = Dequantize { rows, k, planes, kind, factor: 1.0 / 3.0, rows_per_scale, accumulate };
        let label = format!("{rows}x{k} {planes:?} {kind:?} {rows_per_scale} rows a scale, {accumulate}");
        Case::new(label, kernel, vec![words, scale, before])
    };
    let mut cases = Vec::new();
    for kind in [Kind::Unit, Kind::Sign] {
        cases.extend(sizes.map(|size| case(size, (PlaneGroup::first(3), false), kind)));
        cases.extend((1..=8).map(|bits| case((3, 45, 2), (PlaneGroup::first(bits), false), kind)));
        let later = PlaneGroup { first_plane: 2, planes: 3, mask: Some(1) };
        cases.extend([(7, 63, 3), (65, 64, 13)].map(|size| case(size, (later, false), kind)));
        cases.extend([(7, 63, 3), (3, 300, 2)].map(|size| case(size, (later, true), kind)));
        let behind = PlaneGroup { first_plane: 0, planes: 2, mask: Some(2) };
        cases.push(case((5, 97, 9), (behind, true), kind));
    }
    cases
}
