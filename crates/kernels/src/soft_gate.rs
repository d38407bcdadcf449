//! The share of a base's own output in a soft connection. Numerics: [`reference::bases::sigmoid`]. Shader:
//! `shaders/soft_gate.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bases::sigmoid;

use crate::{
    Case, Entry, Mutation, WORKGROUP,
    floats::{UNIT, float_at},
    rounding::TANH_ERROR,
};

/// Writes `[C, 1 - C]` for `C = sigmoid(theta)`; bindings theta, gate.
#[derive(Clone, Copy, Debug)]
pub struct SoftGate;

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "soft_gate",
        source: Cow::Borrowed(include_str!("../../../shaders/soft_gate.wgsl")),
        bindings: &[read("theta"), write("gate")],
    },
    cases,
    mutations: &[
        Mutation { rule: "half of theta", from: "params.half * theta[0]", to: "theta[0]" },
        Mutation { rule: "half of tanh", from: "params.half * tanh", to: "tanh" },
        Mutation { rule: "sign", from: "params.half - t", to: "params.half + t" },
    ],
};

impl Kernel for SoftGate {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::f32("half", 0.5)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        1
    }
    fn lens(&self) -> Vec<u64> {
        vec![1, 2]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 4, bytes: 12 }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let own = sigmoid(float_at(buffers[0], 0));
        vec![Expected::within(&[own, 1.0 - own], &[TANH_ERROR + 2.0 * UNIT; 2])]
    }
}

fn cases() -> Vec<Case> {
    let thetas = [0.0, -0.0, 0.5, 1.0, -1.0, 3.7, -20.0, 40.0, 1e-7];
    let case =
        |theta: f32| Case::new(format!("theta {theta}"), SoftGate, vec![vec![theta.to_bits()], vec![]]);
    thetas.map(case).to_vec()
}
