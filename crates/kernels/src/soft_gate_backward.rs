//! The gradient of a soft connection's theta. Numerics: [`reference::bases::soft_connection_backward`]. Shader:
//! `shaders/soft_gate_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, float_at},
};

/// Writes `gate[0] gate[1] (dots[0] - dots[1])`, the derivative of the sigmoid times that of the output; bindings gate (of
/// [`SoftGate`](crate::SoftGate)), dots, grad.
#[derive(Clone, Copy, Debug)]
pub struct SoftGateBackward;

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "soft_gate_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/soft_gate_backward.wgsl")),
        bindings: &[read("gate"), read("dots"), write("grad")],
    },
    cases,
    mutations: &[
        Mutation { rule: "slope of the sigmoid", from: "gate[0] * gate[1]", to: "gate[0] * gate[0]" },
        Mutation { rule: "mean of the bases", from: "dots[0] - dots[1]", to: "dots[0]" },
        Mutation { rule: "factor", from: "params.factor * ", to: "2.0 * " },
    ],
};

impl Kernel for SoftGateBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::f32("factor", 1.0)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        1
    }
    fn lens(&self) -> Vec<u64> {
        vec![2, 2, 1]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 3, bytes: 20 }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [c, d] = [0, 1].map(|at| float_at(buffers[0], at));
        let [own, mean] = [0, 1].map(|at| float_at(buffers[1], at));
        let size = (c * d).abs() * (own.abs() + mean.abs());
        vec![Expected::within(&[c * d * (own - mean)], &[4.0 * UNIT * size])]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(73);
    let mut case = |at: u32| {
        let inputs = vec![random.floats(2, 0.1, 0.8), random.floats(2, -5.0, 3.0), vec![]];
        Case::new(format!("draw {at}"), SoftGateBackward, inputs)
    };
    (0..5).map(&mut case).collect()
}
