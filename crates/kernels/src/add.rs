//! Elementwise sum. Numerics: the sum itself. Shader: `shaders/add.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Adds `len` pairs: `dst = a + b`.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Values.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "add",
        source: Cow::Borrowed(include_str!("../../../shaders/add.wgsl")),
        bindings: &[read("a"), read("b"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign", from: "a[index] + b[index]", to: "a[index] - b[index]" },
        Mutation { rule: "second operand", from: "b[index];", to: "a[index];" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for Add {
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
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (a, b) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        let sums: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        vec![relative(&sums, 1.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(20);
    let mut case = |len: u32| {
        let inputs =
            vec![special(&mut random, len, -2.0, 2.0), random.floats(len as usize, -2.0, 2.0), vec![]];
        Case::new(format!("{len}"), Add { len }, inputs)
    };
    [1, 7, 63, 64, 65, 128, 1021].into_iter().map(&mut case).collect()
}
