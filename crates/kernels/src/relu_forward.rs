//! Rectifier. Numerics: `reference::activation::relu_forward`. Shader: `shaders/relu_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::relu_forward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Rectifies `len` values: `y = max(x, 0)`.
#[derive(Clone, Copy, Debug)]
pub struct ReluForward {
    /// Values.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "relu_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/relu_forward.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "lower end", from: "max(x[index], 0.0)", to: "max(x[index], -0.25)" },
        Mutation { rule: "rectifier dropped", from: "max(x[index], 0.0)", to: "x[index]" },
        Mutation { rule: "folded workgroups", from: "group.x + group.y * groups.x", to: "group.x" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for ReluForward {
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
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![relative(&relu_forward(&to_f64(buffers[0], self.len)), 0.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(22);
    let mut case = |len: u32| {
        let inputs = vec![special(&mut random, len, -1.0, 2.0), vec![]];
        Case::new(format!("{len}"), ReluForward { len }, inputs)
    };
    let mut cases: Vec<Case> = [1, 7, 63, 64, 65, 128, 1021].into_iter().map(&mut case).collect();
    // One group more than fits in one dimension.
    let len = 65_535 * WORKGROUP + 65;
    let ramp = (0..len).map(|i| (f32::from((i % 251) as u16) - 100.0).to_bits()).collect();
    cases.push(Case::new(format!("{len}"), ReluForward { len }, vec![ramp, vec![]]));
    cases
}
