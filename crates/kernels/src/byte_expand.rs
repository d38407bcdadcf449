//! Planes to signed bytes. Numerics: `reference::product::centered`. Shader: `shaders/byte_expand.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{
    bits,
    product::{Kind, apply_mask, centered},
};

use crate::{Case, Entry, Mutation, PlaneGroup, Random, WORKGROUP, groups_for};

/// Writes the integers that a group of planes `[planes][rows][row_words]` stands for as signed bytes
/// `[rows][row_words][32]`, four a word, the first lowest: codes c of unit planes, 2c - n of sign planes, n = 2^planes - 1,
/// zero where the mask leaves an element out and past the `k` elements of a segment.
///
/// Integers v of 8 planes leave a signed byte and are written in two parts, v = 2 * first + second, the second 0 or 1:
/// bytes `[parts][rows][row_words][32]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteExpand {
    /// Rows.
    pub rows: u32,
    /// Words of a row, a multiple of `segment_words`.
    pub row_words: u32,
    /// Words of a segment.
    pub segment_words: u32,
    /// True elements of a segment.
    pub k: u32,
    /// The planes, 1 to 8, and the mask.
    pub group: PlaneGroup,
    /// What the planes stand for.
    pub kind: Kind,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "byte_expand",
        source: Cow::Borrowed(include_str!("../../../shaders/byte_expand.wgsl")),
        bindings: &[read("planes"), write("bytes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "plane skipped", from: "p < PLANES", to: "p + 1u < PLANES" },
        Mutation { rule: "weight of a plane", from: "spread(word) << vec4(p)", to: "spread(word)" },
        Mutation { rule: "first plane", from: "params.first_plane + p", to: "p" },
        Mutation { rule: "high half", from: "spread(word >> 16u)", to: "spread(word)" },
        Mutation { rule: "borrow between bytes", from: "(values ^ ~levels) & HIGH", to: "HIGH" },
        Mutation { rule: "sign planes", from: "} else if SIGN {", to: "} else if false {" },
        Mutation { rule: "first part", from: "(codes >> vec4(1u))", to: "codes" },
        Mutation { rule: "second part", from: "select(codes & ONES", to: "select(codes" },
        Mutation { rule: "mask of the second part", from: "second & kept", to: "second" },
        Mutation { rule: "mask dropped", from: "if MASKED {", to: "if false {" },
        Mutation {
            rule: "elements past the end",
            from: "tail_mask(index % params.segment_words, params.k)",
            to: "~0u",
        },
        Mutation { rule: "segment of a word", from: "index % params.segment_words", to: "index" },
        Mutation { rule: "last word", from: "index >= params.words", to: "index + 1u >= params.words" },
    ],
};

impl ByteExpand {
    /// Bytes that hold one integer of `planes` planes.
    pub fn parts(planes: u32) -> u32 {
        if planes == 8 { 2 } else { 1 }
    }

    /// Words of the result.
    pub fn words(&self) -> u64 {
        8 * u64::from(Self::parts(self.group.planes)) * self.plane_words()
    }

    /// The bytes of `planes`, on the host.
    pub(crate) fn run(&self, planes: &[u32]) -> Vec<u32> {
        let integers = self.integers(planes);
        let parts = match Self::parts(self.group.planes) {
            1 => integers,
            _ => integers.iter().map(|v| v >> 1).chain(integers.iter().map(|v| v & 1)).collect(),
        };
        let byte = |part: i64| i8::try_from(part).expect("a part fits").cast_unsigned();
        let word = |four: &[i64]| u32::from_le_bytes(std::array::from_fn(|i| byte(four[i])));
        parts.chunks_exact(4).map(word).collect()
    }

    fn plane_words(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.row_words)
    }

    /// The integers, `[rows][row_words][32]`.
    fn integers(&self, planes: &[u32]) -> Vec<i64> {
        let words = self.plane_words() as usize;
        let unpack = |plane: u32, count: u32| {
            bits::unpack(&planes[plane as usize * words..(plane + count) as usize * words], words, 32, count)
        };
        let PlaneGroup { first_plane, planes: count, mask } = self.group;
        let values = centered(&unpack(first_plane, count), count, self.kind);
        let segment = 32 * self.segment_words as usize;
        let mut kept: Vec<bool> = (0..values.len()).map(|i| i % segment < self.k as usize).collect();
        if let Some(mask) = mask {
            kept.iter_mut().zip(unpack(mask, 1)).for_each(|(kept, bit)| *kept &= bit == 1);
        }
        apply_mask(&values, &kept)
    }
}

impl Kernel for ByteExpand {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("words", self.rows * self.row_words),
            Param::u32("segment_words", self.segment_words),
            Param::u32("k", self.k),
            Param::u32("first_plane", self.group.first_plane),
            Param::u32("mask", self.group.mask.unwrap_or(0)),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("PLANES", self.group.planes),
            Constant::new("SIGN", u32::from(self.kind == Kind::Sign)),
            Constant::new("MASKED", u32::from(self.group.mask.is_some())),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.plane_words())
    }
    fn lens(&self) -> Vec<u64> {
        let PlaneGroup { first_plane, planes, mask } = self.group;
        let planes = (first_plane + planes).max(mask.map_or(0, |mask| mask + 1));
        vec![u64::from(planes) * self.plane_words(), self.words()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.group.planes)
    }
    fn work(&self) -> Work {
        let planes = u64::from(self.group.planes + u32::from(self.group.mask.is_some()));
        Work { operations: 0, bytes: 4 * (planes * self.plane_words() + self.words()) }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![Expected::exact(self.run(buffers[0]))]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(42);
    let mut cases = Vec::new();
    let mut case = |[rows, segments, k]: [u32; 3], group: PlaneGroup, kind| {
        let segment_words = crate::words_for(k);
        let kernel = ByteExpand { rows, row_words: segments * segment_words, segment_words, k, group, kind };
        let planes = random.words(kernel.lens()[0] as usize);
        let PlaneGroup { first_plane, planes: count, mask } = group;
        let masked = mask.map_or(String::new(), |mask| format!(" mask {mask}"));
        let label =
            format!("{rows}x{segments}x{k} {kind:?} planes {first_plane} to {}{masked}", first_plane + count);
        cases.push(Case::new(label, kernel, vec![planes, vec![]]));
    };
    for kind in [Kind::Unit, Kind::Sign] {
        for planes in 1..=8 {
            case([5, 3, 45], PlaneGroup { first_plane: 0, planes, mask: None }, kind);
        }
        for size in [[1, 1, 1], [3, 1, 31], [2, 1, 33], [7, 5, 32], [65, 1, 64], [3, 2, 4099], [129, 1, 300]]
        {
            case(size, PlaneGroup { first_plane: 0, planes: 2, mask: Some(2) }, kind);
            case(size, PlaneGroup { first_plane: 2, planes: 3, mask: Some(0) }, kind);
            case(size, PlaneGroup { first_plane: 1, planes: 8, mask: Some(0) }, kind);
        }
    }
    cases
}
