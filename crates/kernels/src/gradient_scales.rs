//! Scales of quantized gradients, rounded up to powers of two or joined over parts of a batch. Numerics:
//! `reference::quantize::gradient_scale_by`. Shader: `shaders/gradient_scales.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::quantize::power_of_two_from;

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// `dst[i] = s`, or `max(dst[i], s)`, of `len` magnitudes: `s = src[i]` or the smallest power of two not below it.
#[derive(Clone, Copy, Debug)]
pub struct GradientScales {
    /// Scales.
    pub len: u32,
    /// Rounds up to powers of two.
    pub pow2: bool,
    /// Takes the larger of the scale and what `dst` holds.
    pub accumulate: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "gradient_scales",
        source: Cow::Borrowed(include_str!("../../../shaders/gradient_scales.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "up", from: " + 0x00800000u", to: "" },
        Mutation { rule: "powers of two stay", from: "mantissa != 0u", to: "true" },
        Mutation { rule: "largest power", from: "bits > 0x7f000000u", to: "false" },
        Mutation { rule: "maximum", from: "max(scale, dst[index])", to: "min(scale, dst[index])" },
        Mutation { rule: "accumulate ignored", from: "ACCUMULATE == 1u", to: "ACCUMULATE == 2u" },
        Mutation { rule: "rounded always", from: "POW2 == 1u", to: "true" },
        Mutation { rule: "last element", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for GradientScales {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("POW2", u32::from(self.pow2)),
            Constant::new("ACCUMULATE", u32::from(self.accumulate)),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.len); 2]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let scale = |index: usize| {
            let word = buffers[0][index];
            let value = f32::from_bits(word);
            // Of what is not finite the bits are kept.
            let rounded = self.pow2 && value.is_finite();
            let scale = if rounded { (power_of_two_from(f64::from(value)) as f32).to_bits() } else { word };
            if self.accumulate { scale.max(buffers[1][index]) } else { scale }
        };
        vec![Expected::exact((0..self.len as usize).map(scale).collect())]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(73);
    let special = [
        0.0,
        1.0,
        f32::from_bits(0x3f80_0001),
        f32::from_bits(0x3f7f_ffff),
        2.0,
        3.0,
        1e-40,
        f32::MIN_POSITIVE,
        f32::from_bits(0x0080_0001),
        f32::from_bits(0x7f00_0000),
        f32::from_bits(0x7f00_0001),
        f32::from_bits(0x7eff_ffff),
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let mut case = |len: u32, pow2: bool, accumulate: bool| {
        let mut src = random.floats(len as usize, 0.0, 3.0);
        for (word, special) in src.iter_mut().zip(special) {
            *word = special.to_bits();
        }
        let before = if accumulate { random.floats(len as usize, 0.0, 3.0) } else { vec![] };
        let label = format!("{len} pow2 {pow2} accumulate {accumulate}");
        Case::new(label, GradientScales { len, pow2, accumulate }, vec![src, before])
    };
    let mut cases = Vec::new();
    for len in [1, 15, 64, 65, 130] {
        for (pow2, accumulate) in [(true, false), (false, true), (false, false), (true, true)] {
            cases.push(case(len, pow2, accumulate));
        }
    }
    cases
}
