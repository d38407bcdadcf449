//! Gradients to bit planes, rounded stochastically. Numerics: `reference::quantize::gradient_codes`. Shader:
//! `shaders/quantize_gradient.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{quantize::levels, random::uniform};

use crate::floats::{UNIT, to_f64};
use crate::rounding::{RoundedCodes, rounding_band};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::vector, words_for};

/// Quantizes `grad[rows][channels]` to `planes[bits][rows][words]` by equation 12 of DoReFa-Net:
/// `round(n clip(g / (2 s) + 1/2 + (u - 1/2) / n, 0, 1))` with `s` the largest magnitude of the sample.
///
/// A sample whose scale is 0 gets codes 0. The noise `u` is the uniform number of
/// (seed, step, tensor, `first_row` + row, channel).
#[derive(Clone, Copy, Debug)]
pub struct QuantizeGradient {
    /// Output positions `(n, oy, ox)`.
    pub rows: u32,
    /// Output channels.
    pub channels: u32,
    /// Output positions of one sample.
    pub rows_per_sample: u32,
    /// Number of the first row among all rows of the step's batch.
    pub first_row: u32,
    /// Number of the tensor, the third counter word of the generator.
    pub tensor: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "quantize_gradient",
        source: Cow::Borrowed(include_str!("../../../shaders/quantize_gradient.wgsl")),
        bindings: &[read("grad"), read("scale"), read("step"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "noise", from: "(noise - 0.5)", to: "(noise.x - 0.5)" },
        Mutation { rule: "center of the noise", from: "(noise - 0.5)", to: "noise" },
        Mutation { rule: "row of the noise", from: "params.first_row + row", to: "row" },
        Mutation { rule: "tensor of the noise", from: "params.tensor,", to: "0u," },
        Mutation { rule: "step of the noise", from: "step[0]", to: "0u" },
        Mutation { rule: "high word of the seed", from: "step[2]", to: "0u" },
        Mutation { rule: "rounds of the generator", from: "i < 10u", to: "i < 9u" },
        Mutation { rule: "carry of the product", from: " + (carry >> high)", to: "" },
        Mutation { rule: "scale of the sample", from: "row / params.rows_per_sample", to: "0u" },
        Mutation { rule: "sample of zeros", from: "inside & vec4(max_abs > 0.0)", to: "inside" },
        Mutation { rule: "elements past the row", from: "inside & ", to: "" },
        Mutation { rule: "second block", from: "vec2(block, block + 1u)", to: "vec2(block)" },
        Mutation { rule: "block of the noise", from: "row, column / 4u", to: "row, block" },
        Mutation {
            rule: "clip below",
            from: "clamp(x, vec4(0.0), vec4(levels))",
            to: "min(abs(x), vec4(levels))",
        },
        Mutation { rule: "clip above", from: "clamp(x, vec4(0.0), vec4(levels))", to: "max(x, vec4(0.0))" },
    ],
};

impl QuantizeGradient {
    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.channels))
    }
}

impl Kernel for QuantizeGradient {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::u32("rows_per_sample", self.rows_per_sample),
            Param::u32("first_row", self.first_row),
            Param::u32("tensor", self.tensor),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BITS", self.bits)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.channels))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        let samples = self.rows.div_ceil(self.rows_per_sample);
        let elements = u64::from(self.rows) * u64::from(self.channels);
        vec![elements, u64::from(samples), 3, u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        4 * (1 + 10) + u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 32 * self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let n = f64::from(levels(self.bits));
        let grad = to_f64(buffers[0], self.rows * self.channels);
        let scale = to_f64(buffers[1], self.rows.div_ceil(self.rows_per_sample));
        let (step, seed) = (buffers[2][0], u64::from(buffers[2][2]) << 32 | u64::from(buffers[2][1]));
        let mut codes = RoundedCodes::new(self.bits);
        let places = (0..self.rows).flat_map(|row| (0..self.channels).map(move |column| (row, column)));
        for ((row, column), g) in places.zip(grad) {
            let s = scale[(row / self.rows_per_sample) as usize];
            let noise = uniform(seed, step, self.tensor, self.first_row + row, column);
            let x = if s > 0.0 { g / (2.0 * s) + 0.5 + (noise - 0.5) / n } else { 0.0 };
            // Quotient, products and sums of numbers up to n, whatever is left after they cancel.
            let error = rounding_band(n * x.clamp(0.0, 1.0)) + 5.0 * UNIT * n;
            codes.push(x, if s > 0.0 { error } else { 0.0 });
        }
        vec![codes.expected(self.rows, self.channels)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(5);
    let mut case =
        |(samples, rows_per_sample, channels): (u32, u32, u32), bits: u32, peak: f32, share: f32| {
            let (rows, per_sample) = (samples * rows_per_sample, rows_per_sample * channels);
            let mut grad = random.floats(rows as usize * channels as usize, -peak, peak);
            for (sample, grad) in grad.chunks_mut(per_sample as usize).enumerate() {
                let factor = if sample == 1 { 0.0 } else { 1.0 / (1 + sample) as f32 };
                grad.iter_mut().for_each(|g| *g = (f32::from_bits(*g) * factor).to_bits());
            }
            let (mut scale, step) = (Vec::new(), random.words(8));
            for grad in grad.chunks(per_sample as usize) {
                let max = to_f64(grad, per_sample).iter().fold(0.0, |max: f64, g| max.max(g.abs()));
                scale.push((share * max as f32).to_bits());
            }
            let (first_row, tensor) = (random.word() >> 4, random.word() % 100);
            let kernel = QuantizeGradient { rows, channels, rows_per_sample, first_row, tensor, bits };
            let label = format!(
                "{samples}x{rows_per_sample}x{channels} bits {bits} up to {peak:e}, scale {share} of that"
            );
            Case::new(label, kernel, vec![grad, scale, step, vec![]])
        };
    let sizes = [
        (1, 1, 1),
        (2, 1, 1),
        (1, 3, 31),
        (3, 1, 32),
        (3, 2, 33),
        (5, 7, 4),
        (4, 16, 5),
        (2, 5, 67),
        (1, 1, 4099),
        (3, 2, 48),
        (2, 3, 300),
    ];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 4, 1.0, 1.0)).collect();
    for bits in 1..=8 {
        cases.extend([37, 44].map(|channels| case((3, 13, channels), bits, 0.01, 1.0)));
    }
    cases.extend([1e-30, 1e30].map(|peak| case((3, 3, 9), 6, peak, 1.0)));
    // The clip binds only where the scale is too small, or where a sum of n and the noise rounds up.
    cases.push(case((2, 9, 21), 3, 1.0, 0.5));
    cases.push(case((1, 17, 64), 1, 1.0, 1.0));
    cases
}
