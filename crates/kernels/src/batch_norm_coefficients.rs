//! What a normalization needs per channel. Shader: `shaders/batch_norm_coefficients.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Writes `coefficients[4][channels]`: mean, `1 / sqrt(variance + epsilon)`, `gamma / sqrt(variance + epsilon)` and beta,
/// so that the fused kernels bind one buffer for all of them.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormCoefficients {
    /// Channels.
    pub channels: u32,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "batch_norm_coefficients",
        source: Cow::Borrowed(include_str!("../../../shaders/batch_norm_coefficients.wgsl")),
        bindings: &[read("mean"), read("variance"), read("gamma"), read("beta"), write("coefficients")],
    },
    cases,
    mutations: &[
        Mutation { rule: "epsilon", from: " + params.epsilon", to: "" },
        Mutation { rule: "square root", from: "inverseSqrt(", to: "(1.0 / " },
        Mutation { rule: "mean", from: "= mean[channel]", to: "= mean[0]" },
        Mutation { rule: "gamma", from: "gamma[channel] * ", to: "" },
        Mutation { rule: "beta", from: "= beta[channel]", to: "= 0.0" },
        Mutation { rule: "order of the rows", from: "3u * params", to: "2u * params" },
        Mutation { rule: "write past the end", from: "channel >= params", to: "channel > params" },
    ],
};

impl Kernel for BatchNormCoefficients {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("channels", self.channels), Param::f32("epsilon", self.epsilon)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        vec![channels, channels, channels, channels, 4 * channels]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 3 * u64::from(self.channels), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [mean, variance, gamma, beta] = [0, 1, 2, 3].map(|at| to_f64(buffers[at], self.channels));
        let scale: Vec<f64> =
            variance.iter().map(|variance| 1.0 / (variance + f64::from(self.epsilon)).sqrt()).collect();
        let slope: Vec<f64> = gamma.iter().zip(&scale).map(|(gamma, scale)| gamma * scale).collect();
        // Sum under the root, root (2 units), product; what is copied stays as it is.
        let rows = [(&mean, 0.0), (&scale, 4.0), (&slope, 5.0), (&beta, 0.0)];
        let bounds: Vec<f64> = rows
            .iter()
            .flat_map(|(row, units)| row.iter().map(move |value| units * UNIT * value.abs()))
            .collect();
        vec![Expected::within(&rows.map(|(row, _)| row.as_slice()).concat(), &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(61);
    let mut case = |channels: u32, variance: (f32, f32), epsilon: f32| {
        let len = channels as usize;
        let inputs = vec![
            random.floats(len, -2.0, 2.0),
            random.floats(len, variance.0, variance.1),
            random.floats(len, -2.0, 2.0),
            random.floats(len, -1.0, 1.0),
            vec![],
        ];
        let kernel = BatchNormCoefficients { channels, epsilon };
        Case::new(format!("{channels} epsilon {epsilon}"), kernel, inputs)
    };
    let mut cases: Vec<Case> =
        [1, 7, 63, 64, 65, 1021].map(|channels| case(channels, (0.01, 4.0), 1e-2)).to_vec();
    // A constant channel: only epsilon keeps the quotient finite.
    cases.push(case(5, (0.0, 0.0), 1e-4));
    cases
}
