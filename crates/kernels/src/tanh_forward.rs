//! Hyperbolic tangent. Numerics: `reference::activation::tanh_forward`. Shader: `shaders/tanh_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::tanh_forward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, relative, special, to_f64},
    groups_for,
    rounding::TANH_ERROR,
};

/// Computes `y = tanh(x)` of `len` values.
#[derive(Clone, Copy, Debug)]
pub struct TanhForward {
    /// Values.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "tanh_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/tanh_forward.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "tangent dropped", from: "= tanh_bounded(x[index])", to: "= x[index]" },
        Mutation {
            rule: "sign dropped",
            from: "= tanh_bounded(x[index])",
            to: "= tanh_bounded(abs(x[index]))",
        },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for TanhForward {
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
        vec![u64::from(self.len); 2]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 12 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![relative(&tanh_forward(&to_f64(buffers[0], self.len)), TANH_ERROR / UNIT)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(52);
    let mut case = |len: u32| {
        let inputs = vec![special(&mut random, len, -4.0, 4.0), vec![]];
        Case::new(format!("{len}"), TanhForward { len }, inputs)
    };
    [1, 7, 63, 64, 65, 128, 1021].into_iter().map(&mut case).collect()
}
