//! Sums of codes, the offset term of products with centered codes. Numerics: `reference::product::row_sums`.
//! Shader: `shaders/row_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{bits, product};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::widest};

/// Sums the codes of every segment: planes `first_plane..first_plane + bits` of `planes [..][rows][segments *
/// segment_words]` to `sums i32 [rows][segments]`.
///
/// `bits * segment_words` must stay below 60,000, the loop limit of an invocation.
#[derive(Clone, Copy, Debug)]
pub struct RowSums {
    /// Rows.
    pub rows: u32,
    /// Segments of a row, each summed by itself.
    pub segments: u32,
    /// Words of a segment in one plane; pad bits are zero.
    pub segment_words: u32,
    /// Index of the least significant plane in the buffer.
    pub first_plane: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "row_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/row_sums.wgsl")),
        bindings: &[read("planes"), write("sums")],
    },
    cases,
    mutations: &[
        Mutation { rule: "plane weight", from: ") << plane", to: ")" },
        Mutation {
            rule: "last word of a segment",
            from: "vector < params.segment_vectors",
            to: "vector + 1u < params.segment_vectors",
        },
        Mutation { rule: "second lane", from: "ones.x + ones.y", to: "ones.x + ones.x" },
        Mutation { rule: "plane stride", from: "plane) * total + index", to: "plane) * params.rows + index" },
        Mutation { rule: "first plane", from: "params.first_plane + plane", to: "plane" },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "last segment", from: "index >= total", to: "index + 1u >= total" },
    ],
};

impl RowSums {
    fn sums(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.segments)
    }
}

impl Kernel for RowSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("segments", self.segments),
            Param::u32("segment_vectors", self.segment_words / widest(self.segment_words)),
            Param::u32("first_plane", self.first_plane),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BITS", self.bits)]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", widest(self.segment_words))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.sums())
    }
    fn lens(&self) -> Vec<u64> {
        let planes = u64::from(self.first_plane) + u64::from(self.bits);
        vec![planes * self.sums() * u64::from(self.segment_words), self.sums()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.bits) * (1 + u64::from(self.segment_words))
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (rows, words) = (self.sums() as usize, self.segment_words as usize);
        let planes = &buffers[0][self.first_plane as usize * rows * words..self.lens()[0] as usize];
        // A word of one row is a row of 32 elements.
        let codes = bits::unpack(planes, rows * words, 32, self.bits);
        let sums = product::row_sums(&codes, rows, 32 * words);
        vec![Expected::exact(sums.into_iter().map(|sum| (sum as i32).cast_unsigned()).collect())]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (3, 1, 18),
        (64, 1, 2),
        (65, 1, 1),
        (5, 7, 3),
        (9, 13, 1),
        (2, 1, 1031),
        (1, 257, 2),
        (5, 1, 16),
        (3, 5, 6),
    ];
    let mut random = Random::new(13);
    let mut case = |(rows, segments, segment_words): (u32, u32, u32), first_plane: u32, bits: u32| {
        let kernel = RowSums { rows, segments, segment_words, first_plane, bits };
        let planes = random.words(kernel.lens()[0] as usize);
        Case::new(
            format!(
                "{rows}x{segments} segments of {segment_words} words from plane {first_plane} bits {bits}"
            ),
            kernel,
            vec![planes, vec![]],
        )
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 0, 3)).collect();
    cases.extend((1..=8).map(|bits| case((3, 2, 5), 0, bits)));
    cases.push(case((7, 3, 2), 2, 3));
    cases
}
