//! The mean of a level of residual binarization. Numerics: `reference::residual::binarize`. Shader:
//! `shaders/residual_mean.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{relative, to_f64};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Divides `len` sums by how many values they have, 0 where they have none.
///
/// Bindings: pairs of a sum and a count, the means.
#[derive(Clone, Copy, Debug)]
pub struct ResidualMean {
    /// Sums.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "residual_mean",
        source: Cow::Borrowed(include_str!("../../../shaders/residual_mean.wgsl")),
        bindings: &[read("sums"), write("means")],
    },
    cases,
    mutations: &[
        Mutation { rule: "count", from: " / sums[2u * index + 1u]", to: "" },
        Mutation { rule: "nothing to divide by", from: "sums[2u * index + 1u] > 0.0", to: "true" },
        Mutation { rule: "sum of a pair", from: "sums[2u * index] /", to: "sums[index] /" },
        Mutation { rule: "last pair", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for ResidualMean {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len))
    }
    fn lens(&self) -> Vec<u64> {
        vec![2 * u64::from(self.len), u64::from(self.len)]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let sums = to_f64(buffers[0], 2 * self.len);
        let mean = |pair: &[f64; 2]| if pair[1] > 0.0 { pair[0] / pair[1] } else { 0.0 };
        let means: Vec<f64> = sums.as_chunks::<2>().0.iter().map(mean).collect();
        vec![relative(&means, 2.5)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(96);
    let special = [(0.0, 0.0), (0.75, 3.0), (1021.5, 4099.0), (1e-7, 1.0), (2.5e5, 33_554_432.0)];
    let mut case = |len: u32| {
        let pairs = special.into_iter().map(|(sum, count): (f32, f32)| [sum, count].map(f32::to_bits));
        let drawn = std::iter::repeat_with(|| {
            [random.unit() * 100.0, 1.0 + (random.word() % 5000) as f32].map(f32::to_bits)
        });
        let sums: Vec<u32> = pairs.chain(drawn).take(len as usize).flatten().collect();
        Case::new(format!("{len}"), ResidualMean { len }, vec![sums, vec![]])
    };
    [1, 2, 5, 63, 65].map(&mut case).to_vec()
}
