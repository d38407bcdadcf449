//! Dropout of codes. Numerics: `reference::dropout`. Shader: `shaders/dropout_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::dropout::{dropout_codes, keep};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Sets dropped codes of `src[bits][rows][words]` to 0; an element is kept where its uniform number is at least `rate`.
///
/// The factor `1 / (1 - rate)` of what is kept joins the scale of the codes.
#[derive(Clone, Copy, Debug)]
pub struct DropoutForward {
    /// Pixels `(n, h, w)`.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
    /// Writes one plane more, which has ones where elements are kept.
    pub mask: bool,
    /// Share that is dropped, in [0, 1).
    pub rate: f32,
    /// Number of the tensor, the third counter word of the generator.
    pub tensor: u32,
    /// Number of the first row among all rows of the step's batch.
    pub first_row: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "dropout_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/dropout_forward.wgsl")),
        bindings: &[read("src"), read("step"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "kept at the rate", from: "drawn >= vec4", to: "drawn > vec4" },
        Mutation { rule: "kept above the rate", from: "drawn >= vec4", to: "drawn < vec4" },
        Mutation { rule: "column of the noise", from: "word * 8u + block", to: "block" },
        Mutation { rule: "row of the noise", from: "params.first_row + row", to: "row" },
        Mutation { rule: "tensor of the noise", from: "params.tensor,", to: "0u," },
        Mutation { rule: "step of the noise", from: "step[0]", to: "0u" },
        Mutation { rule: "low word of the seed", from: "step[1]", to: "0u" },
        Mutation { rule: "mask", from: "if MASK == 1u", to: "if false" },
        Mutation { rule: "mask behind the channels", from: "& tail_mask(word, params.channels)", to: "" },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
    ],
};

impl DropoutForward {
    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.channels))
    }
}

/// The mask of `rows` x `channels` elements from the step buffer.
pub(crate) fn keep_mask(
    step: &[u32],
    tensor: u32,
    first_row: u32,
    [rows, channels]: [u32; 2],
    rate: f32,
) -> Vec<bool> {
    let seed = u64::from(step[2]) << 32 | u64::from(step[1]);
    let drawn = |row, column| reference::random::uniform(seed, step[0], tensor, first_row + row, column);
    let places = (0..rows).flat_map(|row| (0..channels).map(move |column| (row, column)));
    places.map(|(row, column)| keep(drawn(row, column), f64::from(rate))).collect()
}

impl Kernel for DropoutForward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::u32("tensor", self.tensor),
            Param::u32("first_row", self.first_row),
            Param::f32("rate", self.rate),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.bits),
            Constant::new("MASK", u32::from(self.mask)),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        let planes = |count: u32| u64::from(count) * self.words();
        vec![planes(self.bits), 3, planes(self.bits + u32::from(self.mask))]
    }
    fn loop_trips(&self) -> u64 {
        8 * 10 + u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (rows, channels) = (self.rows as usize, self.channels as usize);
        let src = &buffers[0][..self.lens()[0] as usize];
        let mask = keep_mask(buffers[1], self.tensor, self.first_row, [self.rows, self.channels], self.rate);
        let dropped = |planes: &[u32], bits: u32| {
            let codes = reference::bits::unpack(planes, rows, channels, bits);
            reference::bits::pack(&dropout_codes(&codes, &mask), rows, channels, bits)
        };
        let mut planes = reference::bits::by_planes(src, self.bits, dropped);
        if self.mask {
            let kept: Vec<u32> = mask.iter().map(|&kept| u32::from(kept)).collect();
            planes.extend(reference::bits::pack(&kept, rows, channels, 1));
        }
        vec![Expected::exact(planes)]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (1, 31), (3, 32), (2, 33), (7, 63), (65, 64), (5, 97), (1, 4099), (1021, 1)];
    let mut random = Random::new(9);
    let mut case = |(rows, channels): (u32, u32), (bits, mask): (u32, bool), rate: Option<f32>| {
        let codes = random.codes((rows * channels) as usize, bits);
        let src = reference::bits::pack(&codes, rows as usize, channels as usize, bits);
        let (step, first_row, tensor) = (random.words(8), random.word() >> 4, random.word() % 100);
        // Without a rate: the number drawn for the first element, which is kept because the bound belongs to it.
        let seed = u64::from(step[2]) << 32 | u64::from(step[1]);
        let first = reference::random::uniform(seed, step[0], tensor, first_row, 0) as f32;
        let rate = rate.unwrap_or(first);
        let kernel = DropoutForward { rows, channels, bits, mask, rate, tensor, first_row };
        Case::new(
            format!("{rows}x{channels} bits {bits} mask {mask} rate {rate}"),
            kernel,
            vec![src, step, vec![]],
        )
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, (3, false), Some(0.5))).collect();
    cases.push(case((3, 45), (30, false), Some(0.3)));
    cases.extend((1..=8).map(|bits| case((3, 45), (bits, false), Some(0.3))));
    cases.extend([Some(0.0), Some(0.999), None, None, None].map(|rate| case((4, 65), (2, false), rate)));
    cases.extend([(2, 33), (65, 64), (1, 1)].map(|size| case(size, (1, true), Some(0.5))));
    cases
}
