//! The mean of a level of residual binarization. Numerics: `reference::residual::binarize`. Shader:
//! `shaders/residual_mean.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{UNIT, to_f64};
use crate::{Case, Entry, Mutation};

/// Divides a sum by how many values it has, 0 where it has none.
///
/// Bindings: the sum and the count, the mean.
#[derive(Clone, Copy, Debug)]
pub struct ResidualMean;

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "residual_mean",
        source: Cow::Borrowed(include_str!("../../../shaders/residual_mean.wgsl")),
        bindings: &[read("sums"), write("mean")],
    },
    cases,
    mutations: &[
        Mutation { rule: "count", from: "sums[0] / sums[1]", to: "sums[0]" },
        Mutation { rule: "nothing to divide by", from: "sums[1] > 0.0", to: "true" },
    ],
};

impl Kernel for ResidualMean {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", 1)]
    }
    fn constants(&self) -> Vec<Constant> {
        Vec::new()
    }
    fn workgroups(&self) -> u64 {
        1
    }
    fn lens(&self) -> Vec<u64> {
        vec![2, 1]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 1, bytes: 12 }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let sums = to_f64(buffers[0], 2);
        let mean = if sums[1] > 0.0 { sums[0] / sums[1] } else { 0.0 };
        vec![Expected::within(&[mean], &[2.5 * UNIT * mean])]
    }
}

fn cases() -> Vec<Case> {
    let pairs = [(0.0, 0.0), (0.75, 3.0), (1021.5, 4099.0), (1e-7, 1.0), (2.5e5, 33_554_432.0)];
    let case = |(sum, count): (f32, f32)| {
        let inputs = vec![vec![sum.to_bits(), count.to_bits()], vec![]];
        Case::new(format!("{sum} of {count}"), ResidualMean, inputs)
    };
    pairs.map(case).to_vec()
}
