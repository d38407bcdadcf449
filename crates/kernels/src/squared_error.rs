//! Squared differences with their gradient. Numerics: `reference::loss::squared_error`.
//! Shader: `shaders/squared_error.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::loss::squared_error;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, relative, to_f64},
    groups_for,
};

/// Elements that one invocation sums.
const PART: u32 = 64;

/// Partial sums of `(a - b)^2` over each sample's `len` elements, 64 at a time, `[samples][parts]`, and the gradient for a of
/// the `weight`ed mean over elements and over `total_samples`, `2 weight (a - b) / (len total_samples)`.
#[derive(Clone, Copy, Debug)]
pub struct SquaredError {
    /// Samples.
    pub samples: u32,
    /// Elements of a sample.
    pub len: u32,
    /// Samples of the whole batch.
    pub total_samples: u32,
    /// Weight of the loss.
    pub weight: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "squared_error",
        source: Cow::Borrowed(include_str!("../../../shaders/squared_error.wgsl")),
        bindings: &[read("a"), read("b"), write("partial"), write("grad")],
    },
    cases,
    mutations: &[
        Mutation { rule: "square", from: "sum += apart * apart", to: "sum += apart" },
        Mutation { rule: "sign of the gradient", from: "a[at] - b[at]", to: "b[at] - a[at]" },
        Mutation { rule: "factor", from: "params.factor * apart", to: "apart" },
        Mutation { rule: "last element", from: "i < end", to: "i + 1u < end" },
        Mutation { rule: "last part shorter", from: "min(start + PART, params.len)", to: "start + PART" },
        Mutation { rule: "sample's first element", from: "sample * params.len + i", to: "i" },
        Mutation {
            rule: "tail sample",
            from: "sample >= params.samples",
            to: "sample + 1u >= params.samples",
        },
        Mutation {
            rule: "write past the end",
            from: "sample >= params.samples",
            to: "sample > params.samples",
        },
    ],
};

impl SquaredError {
    /// Partial sums of a sample.
    pub fn parts(&self) -> u32 {
        self.len.div_ceil(PART)
    }

    fn factor(&self) -> f32 {
        2.0 * self.weight / (f64::from(self.len) * f64::from(self.total_samples)) as f32
    }
}

impl Kernel for SquaredError {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("len", self.len),
            Param::u32("parts", self.parts()),
            Param::f32("factor", self.factor()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("PART", PART)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.samples) * u64::from(self.parts()))
    }
    fn lens(&self) -> Vec<u64> {
        let samples = u64::from(self.samples);
        let all = samples * u64::from(self.len);
        vec![all, all, samples * u64::from(self.parts()), all]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(PART)
    }
    fn work(&self) -> Work {
        Work {
            operations: 4 * u64::from(self.samples) * u64::from(self.len),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [a, b] = [0, 1].map(|at| to_f64(buffers[at], self.samples * self.len));
        let factor = f64::from(self.factor());
        let rows = a.chunks_exact(self.len as usize).zip(b.chunks_exact(self.len as usize));
        let parts = rows.flat_map(|(a, b)| a.chunks(PART as usize).zip(b.chunks(PART as usize)));
        let (mut sums, mut grads) = (vec![], vec![]);
        for (a, b) in parts {
            let (sum, apart) = squared_error(a, b);
            sums.push(sum);
            grads.extend(apart.iter().map(|apart| factor * apart / 2.0));
        }
        let bounds: Vec<f64> = sums.iter().map(|sum| f64::from(PART + 4) * UNIT * sum).collect();
        vec![Expected::within(&sums, &bounds), relative(&grads, 3.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(41);
    let mut case = |(samples, len): (u32, u32), weight: f32| {
        let kernel = SquaredError { samples, len, total_samples: samples + 2, weight };
        let [a, b] = [(); 2].map(|()| random.floats((samples * len) as usize, -2.0, 2.0));
        Case::new(format!("{samples}x{len} weight {weight}"), kernel, vec![a, b, vec![], vec![]])
    };
    let sizes = [(1, 1), (3, 5), (2, 63), (5, 64), (7, 65), (1, 1000), (65, 3), (33, 129)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 1.0)).collect();
    cases.push(case((9, 200), 0.125));
    cases
}
