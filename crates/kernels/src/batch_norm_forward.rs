//! Batch normalization. Numerics: `reference::norm::batch_norm_forward`. Shader:
//! `shaders/batch_norm_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::norm::batch_norm_forward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Normalizes `x[rows][channels]`: `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`, statistics and
/// parameters by channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormForward {
    /// Rows: positions of all samples.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "batch_norm_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/batch_norm_forward.wgsl")),
        bindings: &[read("x"), read("mean"), read("variance"), read("gamma"), read("beta"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "epsilon", from: " + params.epsilon", to: "" },
        Mutation { rule: "square root", from: "inverseSqrt(", to: "(1.0 / " },
        Mutation { rule: "mean", from: " - mean[channel]", to: "" },
        Mutation { rule: "beta", from: " + beta[channel]", to: "" },
        Mutation { rule: "gamma", from: "gamma[channel] * ", to: "" },
        Mutation { rule: "channel of a row", from: "index % params.channels", to: "index % params.rows" },
        Mutation {
            rule: "tail value",
            from: "index >= params.rows * params.channels",
            to: "index + 1u >= params.rows * params.channels",
        },
        Mutation { rule: "write past the end", from: "index >= params.rows", to: "index > params.rows" },
    ],
};

impl Kernel for BatchNormForward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::f32("epsilon", self.epsilon),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.rows) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let (len, channels) = (u64::from(self.rows) * u64::from(self.channels), u64::from(self.channels));
        vec![len, channels, channels, channels, channels, len]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work {
            operations: 5 * u64::from(self.rows) * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let x = to_f64(buffers[0], self.rows * self.channels);
        let [mean, variance, gamma, beta] = [1, 2, 3, 4].map(|at| to_f64(buffers[at], self.channels));
        let y = batch_norm_forward(&x, &mean, &variance, &gamma, &beta, f64::from(self.epsilon));
        // Difference, sum under the root, root (2 units), two products and the last sum.
        let bound = |(index, y): (usize, &f64)| {
            let beta = beta[index % beta.len()];
            8.0 * UNIT * ((y - beta).abs() + beta.abs())
        };
        let bounds: Vec<f64> = y.iter().enumerate().map(bound).collect();
        vec![Expected::within(&y, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(27);
    let mut case = |(rows, channels): (u32, u32), offset: f32, variance: (f32, f32), epsilon: f32| {
        let kernel = BatchNormForward { rows, channels, epsilon };
        let c = channels as usize;
        let inputs = vec![
            random.floats(rows as usize * c, offset - 2.0, offset + 2.0),
            random.floats(c, offset - 0.5, offset + 0.5),
            random.floats(c, variance.0, variance.1),
            random.floats(c, -2.0, 2.0),
            random.floats(c, -1.0, 1.0),
            vec![],
        ];
        Case::new(format!("{rows}x{channels} offset {offset} epsilon {epsilon}"), kernel, inputs)
    };
    let sizes = [(1, 1), (2, 3), (7, 9), (63, 1), (13, 5), (64, 64), (1, 1021), (331, 7)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 0.0, (0.1, 4.0), 1e-4)).collect();
    cases.push(case((50, 6), 1e4, (0.1, 4.0), 1e-5));
    // A constant channel: only epsilon keeps the quotient finite.
    cases.push(case((20, 3), 0.0, (0.0, 0.0), 1e-3));
    cases
}
