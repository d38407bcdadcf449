//! Levels of residual binarization to codes of signs and masks. Numerics: `reference::residual`. Shader:
//! `shaders/residual_codes.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::residual::residuals;

use crate::floats::to_f64;
use crate::residual_sums::{MEAN_STRIDE, inputs, means_len, means_of, residual_errors};
use crate::{Case, Entry, Mutation, PlaneGroup, Random, WORKGROUP, groups_for};

/// Codes an OHWI weight tensor `[outputs][taps][inputs]` for [`BitPack`](crate::BitPack): bit 0 is the sign of the first level,
/// 1 where it is not negative, the bits `2 n - 3` and `2 n - 2` are sign and mask of level `n`, both 0 where a weight has fewer
/// bits. [`ResidualCodes::group`] names the planes of a level.
///
/// Bindings: weights, bits (whole numbers in f32), means of the levels ([`means_len`](crate::means_len) words), codes.
#[derive(Clone, Copy, Debug)]
pub struct ResidualCodes {
    /// Output channels.
    pub outputs: u32,
    /// Taps of the kernel.
    pub taps: u32,
    /// Input channels.
    pub inputs: u32,
    /// Levels.
    pub levels: u32,
    /// Writes `[inputs][taps][outputs]` in place of the order that the weights have.
    pub by_input: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "residual_codes",
        source: Cow::Borrowed(include_str!("../../../shaders/residual_codes.wgsl")),
        bindings: &[read("values"), read("bits"), read("means"), write("codes")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "sign of minus zero",
            from: "bitcast<u32>(e) > 0x80000000u",
            to: "bitcast<u32>(e) >= 0x80000000u",
        },
        Mutation { rule: "mask of a level", from: "bits[index] > f32(level)", to: "true" },
        Mutation {
            rule: "elements that end before",
            from: "bits[index] > f32(level)",
            to: "bits[index] >= f32(level)",
        },
        Mutation {
            rule: "step of the level before",
            from: "level_step(e, level - 1u)",
            to: "level_step(e, level)",
        },
        Mutation { rule: "residual", from: "e -= level_step", to: "e += level_step" },
        Mutation { rule: "plane of a level", from: "(2u * level - 1u)", to: "(2u * level)" },
        Mutation { rule: "last level", from: "level < params.levels", to: "level + 1u < params.levels" },
        Mutation { rule: "order by input", from: "if !BY_INPUT {", to: "if true {" },
        Mutation { rule: "taps of an output", from: "row - output * params.taps", to: "row" },
        Mutation {
            rule: "last weight",
            from: "index >= params.outputs * params.taps * params.inputs",
            to: "index + 1u >= params.outputs * params.taps * params.inputs",
        },
    ],
};

impl ResidualCodes {
    /// Bits of a code: planes of `levels` levels.
    pub fn planes(levels: u32) -> u32 {
        2 * levels - 1
    }

    /// The planes of a level, counted from 0; the first has no mask.
    pub fn group(level: u32) -> PlaneGroup {
        match level {
            0 => PlaneGroup { first_plane: 0, planes: 1, mask: None },
            _ => PlaneGroup { first_plane: 2 * level - 1, planes: 1, mask: Some(2 * level) },
        }
    }

    fn len(&self) -> u32 {
        self.outputs * self.taps * self.inputs
    }

    fn target(&self, index: usize) -> usize {
        if !self.by_input {
            return index;
        }
        let [taps, inputs, outputs] = [self.taps, self.inputs, self.outputs].map(|size| size as usize);
        let (output, tap, input) = (index / inputs / taps, index / inputs % taps, index % inputs);
        (input * taps + tap) * outputs + output
    }

    /// The code of a value, with the sign of level `flipped` turned.
    fn code(&self, value: f64, bits: f64, means: &[f64], flipped: Option<usize>) -> u32 {
        let (mut left, mut code) = (value, 0);
        for (level, mean) in means.iter().enumerate() {
            let positive = (left >= 0.0) != (flipped == Some(level));
            if bits > level as f64 {
                code |= match level {
                    0 => u32::from(positive),
                    _ => (2 + u32::from(positive)) << (2 * level - 1),
                };
            }
            left -= if positive { *mean } else { -mean };
        }
        code
    }
}

impl Kernel for ResidualCodes {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("outputs", self.outputs),
            Param::u32("taps", self.taps),
            Param::u32("inputs", self.inputs),
            Param::u32("levels", self.levels),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("STRIDE", MEAN_STRIDE),
            Constant::new("BY_INPUT", u32::from(self.by_input)),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len()))
    }
    fn lens(&self) -> Vec<u64> {
        let len = u64::from(self.len());
        vec![len, len, means_len(self.levels), len]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.levels)
    }
    fn work(&self) -> Work {
        let operations = u64::from(self.levels) * u64::from(self.len());
        Work { operations, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (values, bits) = (to_f64(buffers[0], self.len()), to_f64(buffers[1], self.len()));
        let means = means_of(buffers[2], self.levels);
        let (mut codes, mut others) = (vec![0; values.len()], vec![0; values.len()]);
        for (index, (value, bits)) in values.iter().zip(&bits).enumerate() {
            let (left, errors) = (residuals(*value, &means), residual_errors(*value, &means));
            // Of a residual next to zero the sign may be either, and the next level then binarizes what that sign left.
            let open =
                left.iter().zip(&errors).take(means.len()).position(|(left, error)| left.abs() < *error);
            let at = self.target(index);
            codes[at] = self.code(*value, *bits, &means, None);
            others[at] = self.code(*value, *bits, &means, open);
        }
        vec![Expected::codes(codes, 1, others)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(92);
    let mut cases = Vec::new();
    for ([outputs, taps, inputs], levels) in [
        ([1, 1, 1], 1),
        ([3, 1, 21], 2),
        ([5, 9, 7], 3),
        ([33, 4, 5], 2),
        ([2, 25, 41], 3),
        ([67, 1, 1], 4),
        ([3, 3, 11], 8),
    ] {
        for by_input in [false, true] {
            let kernel = ResidualCodes { outputs, taps, inputs, levels, by_input };
            let [values, bits, means] = self::inputs(&mut random, kernel.len(), levels);
            let label = format!("{outputs}x{taps}x{inputs} of {levels} levels, by input {by_input}");
            cases.push(Case::new(label, kernel, vec![values, bits, means, vec![]]));
        }
    }
    cases
}
