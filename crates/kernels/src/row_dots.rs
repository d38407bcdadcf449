//! Dot products of rows. Numerics: [`reference::bases::dot`]. Shader: `shaders/row_dots.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bases::dot;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
    tiling::vector,
};

/// Parts of the dot product of each row of `a[rows][len]` and `b[rows][len]`, to `dst[rows][chunks]`.
///
/// Chunk `c` takes the elements `c`, `c + chunks`, `c + 2 chunks`, ..., or vectors of four elements where these fill a row;
/// the four sums of a chunk are added in pairs.
#[derive(Clone, Copy, Debug)]
pub struct RowDots {
    /// Rows, each on its own.
    pub rows: u32,
    /// Elements of a row, at least 1.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "row_dots",
        source: Cow::Borrowed(include_str!("../../../shaders/row_dots.wgsl")),
        bindings: &[read("a"), read("b"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first element", from: "var i = chunk;", to: "var i = chunk + params.chunks;" },
        Mutation { rule: "last element", from: "i < params.vectors;", to: "i + 1u < params.vectors;" },
        Mutation { rule: "row stride", from: "row * params.vectors", to: "row * params.chunks" },
        Mutation { rule: "second operand", from: "* b[first + i]", to: "* a[first + i]" },
        Mutation { rule: "lane of the sum", from: "(sum.z + sum.w)", to: "(sum.z + sum.z)" },
        Mutation { rule: "tail", from: "index >= params.rows", to: "index + 1u >= params.rows" },
    ],
};

impl RowDots {
    /// Most elements, or vectors of elements, of a chunk.
    const CHUNK: u32 = 256;

    fn vectors(&self) -> u32 {
        self.len / vector(self.len)
    }

    /// Results of a row.
    pub fn chunks(&self) -> u32 {
        self.vectors().div_ceil(Self::CHUNK)
    }
}

impl Kernel for RowDots {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("vectors", self.vectors()),
            Param::u32("chunks", self.chunks()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.rows) * u64::from(self.chunks()))
    }
    fn lens(&self) -> Vec<u64> {
        let values = u64::from(self.rows) * u64::from(self.len);
        vec![values, values, u64::from(self.rows) * u64::from(self.chunks())]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(Self::CHUNK)
    }
    fn work(&self) -> Work {
        Work { operations: 2 * self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (a, b) = (to_f64(buffers[0], self.rows * self.len), to_f64(buffers[1], self.rows * self.len));
        let (len, width, chunks) = (self.len as usize, vector(self.len) as usize, self.chunks() as usize);
        let (mut sums, mut bounds) = (Vec::new(), Vec::new());
        for (a, b) in a.chunks(len).zip(b.chunks(len)) {
            for chunk in 0..chunks {
                let of = |row: &[f64]| -> Vec<f64> {
                    row.chunks(width).skip(chunk).step_by(chunks).flatten().copied().collect()
                };
                let (a, b) = (of(a), of(b));
                let sizes = |row: &[f64]| row.iter().map(|value| value.abs()).collect::<Vec<_>>();
                sums.push(dot(&a, &b));
                bounds.push((a.len() + 2) as f64 * UNIT * dot(&sizes(&a), &sizes(&b)));
            }
        }
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(71);
    let sizes = [
        (1, 1),
        (3, 255),
        (2, 256),
        (5, 257),
        (65, 2),
        (127, 1),
        (3, 1021),
        (1, 4099),
        (3, 1020),
        (2, 1024),
        (5, 1028),
        (67, 4),
    ];
    let mut case = |(rows, len): (u32, u32)| {
        let kernel = RowDots { rows, len };
        let mut operand = || random.floats((rows * len) as usize, -1.0, 2.0);
        let inputs = vec![operand(), operand(), Vec::new()];
        Case::new(format!("{rows}x{len}"), kernel, inputs)
    };
    sizes.into_iter().map(&mut case).collect()
}
