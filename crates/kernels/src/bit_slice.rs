//! Some channels of packed rows. Numerics: `reference::bits`. Shader: `shaders/bit_slice.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bits;

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Takes channels `first..first + count` of `planes [bits][rows][words(channels)]` as `[bits][rows][words(count)]`.
#[derive(Clone, Copy, Debug)]
pub struct BitSlice {
    /// Rows of a plane.
    pub rows: u32,
    /// Channels of a row.
    pub channels: u32,
    /// First channel that is taken.
    pub first: u32,
    /// Channels that are taken.
    pub count: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_slice",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_slice.wgsl")),
        bindings: &[read("planes"), write("slice")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first channel", from: "params.first + word * 32u", to: "word * 32u" },
        Mutation { rule: "word of the slice", from: "params.first + word * 32u", to: "params.first" },
        Mutation { rule: "bits of the next word", from: "(low | high)", to: "low" },
        Mutation { rule: "shift of the next word", from: "32u - shift", to: "31u - shift" },
        Mutation { rule: "whole words have no next one", from: "shift > 0u", to: "true" },
        Mutation { rule: "padding is zero", from: " & tail_mask(word, params.count)", to: "" },
        Mutation { rule: "row of the source", from: "row * source_words", to: "row * words" },
        Mutation {
            rule: "last word",
            from: "index >= params.plane_rows * words",
            to: "index + 1u >= params.plane_rows * words",
        },
        Mutation {
            rule: "write past the end",
            from: "index >= params.plane_rows * words",
            to: "index > params.plane_rows * words",
        },
    ],
};

impl BitSlice {
    fn plane_rows(&self) -> u64 {
        u64::from(self.bits) * u64::from(self.rows)
    }
}

impl Kernel for BitSlice {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("plane_rows", self.bits * self.rows),
            Param::u32("channels", self.channels),
            Param::u32("first", self.first),
            Param::u32("count", self.count),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.lens()[1])
    }
    fn lens(&self) -> Vec<u64> {
        [self.channels, self.count]
            .map(|channels| self.plane_rows() * u64::from(words_for(channels)))
            .to_vec()
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [rows, channels, first, count] =
            [self.rows, self.channels, self.first, self.count].map(|size| size as usize);
        let sliced = |planes: &[u32], bits: u32| {
            let codes = bits::unpack(planes, rows, channels, bits);
            let taken =
                codes.chunks_exact(channels).flat_map(|row| row[first..first + count].iter().copied());
            bits::pack(&taken.collect::<Vec<u32>>(), rows, count, bits)
        };
        let planes = &buffers[0][..self.lens()[0] as usize];
        vec![Expected::exact(bits::by_planes(planes, self.bits, sliced))]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(53);
    let mut case = |rows: u32, channels: u32, first: u32, count: u32, planes: u32| {
        let codes = random.codes((rows * channels) as usize, planes);
        let source = bits::pack(&codes, rows as usize, channels as usize, planes);
        let kernel = BitSlice { rows, channels, first, count, bits: planes };
        Case::new(
            format!("{rows}x{channels} from {first}, {count}, bits {planes}"),
            kernel,
            vec![source, vec![]],
        )
    };
    vec![
        case(1, 1, 0, 1, 1),
        case(3, 2, 1, 1, 2),
        case(7, 64, 32, 32, 3),
        case(5, 96, 48, 48, 2),
        case(5, 96, 0, 48, 2),
        case(3, 384, 192, 192, 4),
        case(65, 33, 1, 32, 1),
        case(2, 65, 31, 34, 8),
        case(11, 130, 97, 33, 5),
        case(1, 4099, 4000, 99, 2),
        case(9, 256, 0, 128, 6),
        case(9, 256, 128, 128, 7),
    ]
}
