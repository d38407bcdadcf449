//! Proof that a step has run. Numerics: the sum itself. Shader: `shaders/step_token.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, WORKGROUP};

/// Writes `token[0] = step[0] + 1`, so that a submission that did nothing is noticed.
#[derive(Clone, Copy, Debug)]
pub struct StepToken;

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "step_token",
        source: Cow::Borrowed(include_str!("../../../shaders/step_token.wgsl")),
        bindings: &[read("step"), write("token")],
    },
    cases,
    mutations: &[
        Mutation { rule: "step word", from: "step[0]", to: "step[1]" },
        Mutation { rule: "increment", from: " + params.increment", to: "" },
    ],
};

impl Kernel for StepToken {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("increment", 1)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        1
    }
    fn lens(&self) -> Vec<u64> {
        vec![8, 1]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![Expected::exact(vec![buffers[0][0].wrapping_add(1)])]
    }
}

fn cases() -> Vec<Case> {
    let case = |step: u32| {
        let words = vec![step, 77, 0, 0, 0, 0, 0, 0];
        Case::new(format!("step {step}"), StepToken, vec![words, vec![]])
    };
    [0, 1, 4720, u32::MAX].map(case).to_vec()
}
