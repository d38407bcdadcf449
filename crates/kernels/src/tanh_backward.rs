//! Gradient of the hyperbolic tangent. Numerics: `reference::activation::tanh_backward`. Shader:
//! `shaders/tanh_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::tanh_backward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, to_f64},
    groups_for,
};

/// Multiplies `len` gradients by `1 - y^2`, y being the tangents.
#[derive(Clone, Copy, Debug)]
pub struct TanhBackward {
    /// Values.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "tanh_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/tanh_backward.wgsl")),
        bindings: &[read("y"), read("grad"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "slope of one side", from: "(1.0 - value) * (1.0 + value)", to: "1.0 - value" },
        Mutation { rule: "slope dropped", from: "grad[index] * (", to: "grad[index] + 0.0 * (" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for TanhBackward {
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
        vec![u64::from(self.len); 3]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 4 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (y, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        // Difference, sum and two products, each within a unit; the difference of an f32 from 1 is exact above 1/2.
        vec![relative(&tanh_backward(&y, &grad), 4.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(53);
    let mut case = |len: u32| {
        let mut y = random.floats(len as usize, -1.0, 1.0);
        y.iter_mut().zip([0.0f32, -0.0, 1.0, -1.0, 1.0 - f32::EPSILON]).for_each(|(y, v)| *y = v.to_bits());
        let grad = random.floats(len as usize, -1.0, 1.0);
        Case::new(format!("{len}"), TanhBackward { len }, vec![y, grad, vec![]])
    };
    [1, 7, 63, 64, 65, 128, 1021].into_iter().map(&mut case).collect()
}
