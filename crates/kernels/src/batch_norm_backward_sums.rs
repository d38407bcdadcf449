//! Partial sums of the gradients of a batch normalization. Numerics: the sums of
//! `reference::norm::batch_norm_backward_frozen`. Shader: `shaders/batch_norm_backward_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::norm::batch_norm_forward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Sums over groups of rows into `partials[ceil(rows / group)][2 * channels]`: first the sums of `grad`, the
/// gradient of beta, then those of `grad * xhat`, the gradient of gamma. A [`ColumnSum`](crate::ColumnSum)
/// finishes them.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackwardSums {
    /// Rows: positions of all samples.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Rows of one partial sum; the loop trips of an invocation.
    pub group: u32,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "batch_norm_backward_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/batch_norm_backward_sums.wgsl")),
        bindings: &[read("x"), read("grad"), read("mean"), read("variance"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last row of a group", from: "row < end", to: "row + 1u < end" },
        Mutation {
            rule: "last group shorter",
            from: "min(first + params.group, params.rows)",
            to: "first + params.group",
        },
        Mutation { rule: "epsilon", from: " + params.epsilon", to: "" },
        Mutation { rule: "mean", from: " - center", to: "" },
        Mutation {
            rule: "layout of the two sums",
            from: "part * 2u * params.channels",
            to: "part * params.channels",
        },
        Mutation {
            rule: "second sum",
            from: "partials[out + params.channels] = gamma_sum",
            to: "partials[out + params.channels] = beta_sum",
        },
        Mutation { rule: "scale", from: " * scale", to: "" },
    ],
};

impl BatchNormBackwardSums {
    /// Rows of the result, `ceil(rows / group)`.
    pub fn groups(&self) -> u32 {
        self.rows.div_ceil(self.group)
    }
}

impl Kernel for BatchNormBackwardSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::u32("group", self.group),
            Param::f32("epsilon", self.epsilon),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let (len, channels) = (u64::from(self.rows) * u64::from(self.channels), u64::from(self.channels));
        vec![len, len, channels, channels, 2 * u64::from(self.groups()) * channels]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.group.min(self.rows))
    }
    fn work(&self) -> Work {
        Work {
            operations: 5 * u64::from(self.rows) * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [x, grad] = [0, 1].map(|at| to_f64(buffers[at], self.rows * self.channels));
        let [mean, variance] = [2, 3].map(|at| to_f64(buffers[at], self.channels));
        let (epsilon, channels) = (f64::from(self.epsilon), self.channels as usize);
        let normalized =
            batch_norm_forward(&x, &mean, &variance, &vec![1.0; channels], &vec![0.0; channels], epsilon);
        let mut sums = vec![0.0; 2 * self.groups() as usize * channels];
        let mut sizes = sums.clone();
        for (index, (grad, normalized)) in grad.iter().zip(&normalized).enumerate() {
            let at = index / channels / self.group as usize * 2 * channels + index % channels;
            for (at, term) in [(at, *grad), (at + channels, grad * normalized)] {
                sums[at] += term;
                sizes[at] += term.abs();
            }
        }
        // The normalized value carries a difference, a root (2 units and its sum) and two products.
        let terms = f64::from(self.group.min(self.rows) + 8);
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(28);
    let mut case = |(rows, channels, group): (u32, u32, u32), offset: f32| {
        let kernel = BatchNormBackwardSums { rows, channels, group, epsilon: 1e-2 };
        let (len, c) = ((rows * channels) as usize, channels as usize);
        let inputs = vec![
            random.floats(len, offset - 2.0, offset + 2.0),
            random.floats(len, -1.0, 2.0),
            random.floats(c, offset + 0.1, offset + 0.5),
            random.floats(c, 0.01, 4.0),
            vec![],
        ];
        Case::new(format!("{rows}x{channels} by {group} offset {offset}"), kernel, inputs)
    };
    let sizes =
        [(1, 1, 1), (7, 3, 7), (64, 65, 64), (65, 5, 64), (129, 31, 64), (127, 2, 5), (1021, 3, 1021)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 0.0)).collect();
    cases.push(case((100, 4, 9), 1e3));
    cases.push(case((65_000, 1, 65_000), 0.0));
    cases
}
