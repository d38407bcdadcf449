//! The gradient of dropout. Numerics: `reference::dropout::dropout`. Shader: `shaders/dropout_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::dropout::dropout;

use crate::dropout_forward::keep_mask;
use crate::floats::{relative, to_f64};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Passes `grad[rows][channels]` times `1 / (1 - rate)` where the element was kept, 0 elsewhere; the numbers drawn are
/// those of [`DropoutForward`](crate::DropoutForward).
#[derive(Clone, Copy, Debug)]
pub struct DropoutBackward {
    /// Pixels `(n, h, w)`.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Share that is dropped, in [0, 1).
    pub rate: f32,
    /// Number of the tensor, the third counter word of the generator.
    pub tensor: u32,
    /// Number of the first row among all rows of the step's batch.
    pub first_row: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "dropout_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/dropout_backward.wgsl")),
        bindings: &[read("grad"), read("step"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "kept at the rate", from: "drawn[lane] >=", to: "drawn[lane] >" },
        Mutation { rule: "factor", from: "params.factor * grad", to: "grad" },
        Mutation { rule: "row of the noise", from: "params.first_row + row", to: "row" },
        Mutation {
            rule: "column of the noise",
            from: "params.first_row + row, block",
            to: "params.first_row + row, 0u",
        },
        Mutation { rule: "tensor of the noise", from: "params.tensor,", to: "0u," },
        Mutation { rule: "lane of the noise", from: "drawn[lane]", to: "drawn[0]" },
        Mutation { rule: "tail of a row", from: "min(4u, params.channels - 4u * block)", to: "4u" },
    ],
};

impl DropoutBackward {
    fn blocks(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.channels.div_ceil(4))
    }
}

impl Kernel for DropoutBackward {
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
            Param::f32("factor", 1.0 / (1.0 - self.rate)),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.blocks())
    }
    fn lens(&self) -> Vec<u64> {
        let elements = u64::from(self.rows) * u64::from(self.channels);
        vec![elements, 3, elements]
    }
    fn loop_trips(&self) -> u64 {
        10 + 4
    }
    fn work(&self) -> Work {
        Work { operations: self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let grad = to_f64(buffers[0], self.rows * self.channels);
        let mask = keep_mask(buffers[1], self.tensor, self.first_row, [self.rows, self.channels], self.rate);
        let result = dropout(&grad, &mask, f64::from(self.rate));
        vec![relative(&result, 3.0)]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (1, 3), (3, 4), (2, 5), (7, 63), (65, 64), (5, 97), (1, 4099), (1021, 1)];
    let mut random = Random::new(10);
    let mut case = |(rows, channels): (u32, u32), rate: Option<f32>| {
        let grad = random.floats((rows * channels) as usize, -3.0, 3.0);
        let (step, first_row, tensor) = (random.words(8), random.word() >> 4, random.word() % 100);
        // Without a rate: the number drawn for the first element, which is kept because the bound belongs to it.
        let seed = u64::from(step[2]) << 32 | u64::from(step[1]);
        let first = reference::random::uniform(seed, step[0], tensor, first_row, 0) as f32;
        let rate = rate.unwrap_or(first);
        let kernel = DropoutBackward { rows, channels, rate, tensor, first_row };
        Case::new(format!("{rows}x{channels} rate {rate}"), kernel, vec![grad, step, vec![]])
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, Some(0.5))).collect();
    cases.extend([Some(0.0), Some(0.3), Some(0.99), None, None, None].map(|rate| case((4, 65), rate)));
    cases
}
