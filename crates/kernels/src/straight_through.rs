//! The straight-through gradient of a binarization. Numerics: `reference::residual::backward`. Shader:
//! `shaders/straight_through.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::residual::backward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Passes `len` gradients where the value lies in [-1, 1], both ends included, and stops the others.
#[derive(Clone, Copy, Debug)]
pub struct StraightThrough {
    /// Values.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "straight_through",
        source: Cow::Borrowed(include_str!("../../../shaders/straight_through.wgsl")),
        bindings: &[read("values"), read("grad"), write("grad_values")],
    },
    cases,
    mutations: &[
        Mutation { rule: "ends included", from: "<= 1.0", to: "< 1.0" },
        Mutation { rule: "both sides", from: "abs(values[index])", to: "values[index]" },
        Mutation { rule: "outside", from: "select(0.0, grad", to: "select(grad[index], grad" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for StraightThrough {
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
        let (values, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        vec![relative(&backward(&values, &grad), 0.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(94);
    let case = |len: u32| {
        let inputs =
            vec![special(&mut random, len, -2.0, 2.0), random.floats(len as usize, -1.0, 1.0), vec![]];
        Case::new(format!("{len}"), StraightThrough { len }, inputs)
    };
    [1, 7, 63, 64, 65, 128, 1021].map(case).to_vec()
}
