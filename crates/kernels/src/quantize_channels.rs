//! Activations whose channels have bits of their own. Numerics: `reference::quantize::activation_codes` of each channel.
//! Shader: `shaders/quantize_channels.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::quantize::{Rounding, levels};

use crate::floats::to_f64;
use crate::rounding::{RoundedCodes, exact_band};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Quantizes `x[rows][channels]` to `planes[bits][rows][words]`, channel c to `widths[c]` bits: the code `round(n_c clip(x, 0, 1))`
/// is written in the steps of `bits` bits, as `n / n_c` times itself, so that all codes stand for multiples of `1 / n`. Every
/// `n_c` must divide `n`, which it does where the width divides `bits`.
///
/// Bindings: x, widths, planes.
#[derive(Clone, Copy, Debug)]
pub struct QuantizeChannels {
    /// Pixels `(n, h, w)`.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "quantize_channels",
        source: Cow::Borrowed(include_str!("../../../shaders/quantize_channels.wgsl")),
        bindings: &[read("x"), read("widths"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "ties to even",
            from: "round(vec4<f32>(levels) * values)",
            to: "floor(vec4<f32>(levels) * values + 0.5)",
        },
        Mutation { rule: "clip above", from: "vec4(0.0), vec4(1.0));", to: "vec4(0.0), vec4(2.0));" },
        Mutation { rule: "steps of a channel", from: " * (vec4((1u << BITS) - 1u) / levels)", to: "" },
        Mutation { rule: "width of a channel", from: "widths[at.w]", to: "widths[at.z]" },
        Mutation { rule: "row stride", from: "row * params.channels + at", to: "row * words * 32u + at" },
        Mutation { rule: "elements past the row", from: "codes, inside)", to: "codes, vec4(true))" },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
    ],
};

impl QuantizeChannels {
    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.channels))
    }
}

impl Kernel for QuantizeChannels {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("rows", self.rows), Param::u32("channels", self.channels)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BITS", self.bits)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        let values = u64::from(self.rows) * u64::from(self.channels);
        vec![values, u64::from(self.channels), u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        8 + u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 3 * self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let widths = &buffers[1][..self.channels as usize];
        let x = to_f64(buffers[0], self.rows * self.channels);
        let mut codes = RoundedCodes::new(self.bits);
        for (x, &bits) in x.iter().zip(widths.iter().cycle()) {
            codes.push_coarse(*x, exact_band(*x, bits, Rounding::Even), bits);
        }
        vec![codes.expected(self.rows, self.channels)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(95);
    let mut case = |(rows, channels): (u32, u32), bits: u32, narrow: &[u32]| {
        let mut x = random.floats((rows * channels) as usize, -0.25, 1.25);
        let special = [0.5, -0.0, 0.0, 1.0, -1.0, 2.0, 1e-30, 3e38, -3e38, 0.25, 0.75];
        for (x, special) in x.iter_mut().step_by(3).zip(special) {
            *x = f32::to_bits(special);
        }
        let widths: Vec<u32> = (0..channels).map(|_| narrow[random.word() as usize % narrow.len()]).collect();
        assert!(
            widths.iter().all(|width| levels(bits).is_multiple_of(levels(*width))),
            "{narrow:?} in {bits}"
        );
        let kernel = QuantizeChannels { rows, channels, bits };
        Case::new(format!("{rows}x{channels} of {narrow:?} in {bits}"), kernel, vec![x, widths, vec![]])
    };
    let mut cases = Vec::new();
    for size in [(1, 1), (1, 31), (3, 32), (2, 33), (65, 64), (5, 97), (1, 4099), (1021, 1), (9, 48)] {
        cases.push(case(size, 2, &[1, 2]));
    }
    for (bits, narrow) in
        [(1, &[1][..]), (3, &[1, 3]), (4, &[1, 2, 4]), (6, &[1, 2, 3, 6]), (8, &[1, 2, 4, 8])]
    {
        cases.push(case((11, 45), bits, narrow));
    }
    cases
}
