//! Gradient of the input of a batch normalization. Numerics: `reference::norm::batch_norm_backward`, with the
//! sums given. Shader: `shaders/batch_norm_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::norm::{batch_norm_backward_frozen, batch_norm_forward};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// `grad_input = gamma / sqrt(variance + epsilon) * (grad - (sums[0] + xhat * sums[1]) / total_rows)` for `x,
/// grad[rows][channels]`, where `sums[2][channels]` are those of
/// [`BatchNormBackwardSums`](crate::BatchNormBackwardSums) over `total_rows` rows.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward {
    /// Rows: positions of all samples.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether mean and variance are constants, so that no gradient passes through them.
    pub frozen: bool,
    /// Rows that mean, variance and sums cover; more than `rows` where the batch is split.
    pub total_rows: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "batch_norm_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/batch_norm_backward.wgsl")),
        bindings: &[
            read("x"),
            read("grad"),
            read("mean"),
            read("variance"),
            read("gamma"),
            read("sums"),
            write("grad_input"),
        ],
    },
    cases,
    mutations: &[
        Mutation { rule: "epsilon", from: " + params.epsilon", to: "" },
        Mutation { rule: "mean", from: " - mean[channel]", to: "" },
        Mutation { rule: "gamma", from: "gamma[channel] * ", to: "" },
        Mutation { rule: "rows of the whole batch", from: "params.factor", to: "(1.0 / f32(params.rows))" },
        Mutation {
            rule: "gradient through the variance",
            from: " + normalized * sums[params.channels + channel]",
            to: "",
        },
        Mutation { rule: "gradient through the mean", from: "sums[channel] + ", to: "" },
        Mutation { rule: "frozen ignored", from: "if !FROZEN", to: "if true" },
        Mutation { rule: "frozen always", from: "if !FROZEN", to: "if false" },
        Mutation {
            rule: "tail value",
            from: "index >= params.rows * params.channels",
            to: "index + 1u >= params.rows * params.channels",
        },
        Mutation { rule: "write past the end", from: "index >= params.rows", to: "index > params.rows" },
    ],
};

impl Kernel for BatchNormBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::f32("epsilon", self.epsilon),
            Param::f32("factor", 1.0 / self.total_rows as f32),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("FROZEN", u32::from(self.frozen))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.rows) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let (len, channels) = (u64::from(self.rows) * u64::from(self.channels), u64::from(self.channels));
        vec![len, len, channels, channels, channels, 2 * channels, len]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work {
            operations: 10 * u64::from(self.rows) * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [x, grad] = [0, 1].map(|at| to_f64(buffers[at], self.rows * self.channels));
        let [mean, variance, gamma] = [2, 3, 4].map(|at| to_f64(buffers[at], self.channels));
        let (epsilon, channels) = (f64::from(self.epsilon), self.channels as usize);
        let mut sums = to_f64(buffers[5], 2 * self.channels);
        if self.frozen {
            sums.fill(0.0);
        }
        let normalized =
            batch_norm_forward(&x, &mean, &variance, &vec![1.0; channels], &vec![0.0; channels], epsilon);
        let (mut through, mut sizes) = (grad.clone(), grad.iter().map(|g| g.abs()).collect::<Vec<_>>());
        for (index, normalized) in normalized.iter().enumerate() {
            for term in [sums[index % channels], normalized * sums[channels + index % channels]] {
                through[index] -= term / f64::from(self.total_rows);
                sizes[index] += (term / f64::from(self.total_rows)).abs();
            }
        }
        let frozen =
            |through| batch_norm_backward_frozen(&x, through, &mean, &variance, &gamma, epsilon).input;
        // Twelve operations at most lie between an input and the result, the root and the quotient counting
        // more.
        let bounds: Vec<f64> = frozen(&sizes).iter().map(|size| 16.0 * UNIT * size.abs()).collect();
        vec![Expected::within(&frozen(&through), &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(29);
    let mut case = |(rows, channels): (u32, u32), frozen: bool, total_rows: u32| {
        let kernel = BatchNormBackward { rows, channels, epsilon: 1e-2, frozen, total_rows };
        let (len, c) = ((rows * channels) as usize, channels as usize);
        let sum = total_rows as f32;
        let inputs = vec![
            random.floats(len, -2.0, 2.0),
            random.floats(len, -1.0, 1.0),
            random.floats(c, -0.5, 0.5),
            random.floats(c, 0.01, 4.0),
            random.floats(c, -2.0, 2.0),
            random.floats(2 * c, -sum, sum),
            vec![],
        ];
        Case::new(format!("{rows}x{channels} of {total_rows} frozen {frozen}"), kernel, inputs)
    };
    let sizes = [(1, 1), (2, 3), (7, 9), (63, 1), (13, 5), (64, 64), (1, 1021), (331, 7)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, false, size.0)).collect();
    cases.push(case((31, 6), true, 31));
    cases.push(case((31, 6), false, 90));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floats::to_words;

    #[test]
    fn true_sums_give_the_gradient_of_the_reference() {
        let (rows, channels, epsilon) = (9, 2, 1e-2f32);
        let mut random = Random::new(1);
        let x = random.floats(rows * channels, -2.0, 2.0);
        let grad = random.floats(rows * channels, -1.0, 1.0);
        let gamma = random.floats(channels, 0.5, 2.0);
        let [x64, grad64] = [&x, &grad].map(|words| to_f64(words, 18));
        let (mean, variance) = reference::norm::batch_norm_stats(&x64, rows, channels);
        let gamma64 = to_f64(&gamma, 2);
        let want = reference::norm::batch_norm_backward(
            &x64,
            &grad64,
            &mean,
            &variance,
            &gamma64,
            f64::from(epsilon),
        );
        let sums = to_words(&[want.beta, want.gamma].concat());
        let kernel = BatchNormBackward { rows: 9, channels: 2, epsilon, frozen: false, total_rows: 9 };
        let got = kernel.expected(&[&x, &grad, &to_words(&mean), &to_words(&variance), &gamma, &sums, &[]]);
        for (&got, want) in got[0].words.iter().zip(&want.input) {
            assert!((f64::from(f32::from_bits(got)) - want).abs() < 1e-6, "{} {want}", f32::from_bits(got));
        }
    }
}
