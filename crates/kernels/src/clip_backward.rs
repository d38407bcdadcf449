//! Gradient of the clip. Numerics: `reference::activation::clip_backward`. Shader:
//! `shaders/clip_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::{cabs_backward, clip_backward};

use crate::{
    ActivationForm, Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Passes `len` gradients where `0 <= x <= limit`, both ends included, and stops the others.
#[derive(Clone, Copy, Debug)]
pub struct ClipBackward {
    /// Values.
    pub len: u32,
    /// What limits them.
    pub form: ActivationForm,
    /// The upper end of the range, above 0.
    pub limit: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "clip_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/clip_backward.wgsl")),
        bindings: &[read("x"), read("grad"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "lower end included", from: ">= 0.0", to: "> 0.0" },
        Mutation { rule: "upper end included", from: "<= params.limit", to: "< params.limit" },
        Mutation { rule: "lower end", from: "value >= 0.0 && ", to: "" },
        Mutation { rule: "upper end", from: " && value <= params.limit", to: "" },
        Mutation {
            rule: "sign of the slope",
            from: "-grad[index], value < 0.0",
            to: "grad[index], value < 0.0",
        },
        Mutation { rule: "no slope at zero", from: "value != 0.0 && ", to: "" },
        Mutation {
            rule: "magnitude of 1 excluded",
            from: "abs(value) < params.limit",
            to: "abs(value) <= params.limit",
        },
        Mutation { rule: "end of the range", from: "value <= params.limit", to: "value <= 1.0" },
        Mutation { rule: "end of magnitudes", from: "abs(value) < params.limit", to: "abs(value) < 1.0" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for ClipBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len), Param::f32("limit", self.limit)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("FORM", self.form as u32)]
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
        let (x, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        let passed = match self.form {
            ActivationForm::Clip => clip_backward(&x, &grad, self.limit.into()),
            ActivationForm::Cabs => cabs_backward(&x, &grad, self.limit.into()),
        };
        vec![relative(&passed, 0.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(23);
    let mut case = |len: u32, form: ActivationForm, limit: f32| {
        let inputs =
            vec![special(&mut random, len, -1.0, 4.0), random.floats(len as usize, -1.0, 1.0), vec![]];
        Case::new(format!("{len} {form:?} {limit}"), ClipBackward { len, form, limit }, inputs)
    };
    let mut cases: Vec<Case> =
        [1, 7, 63, 64, 65, 128, 1021].map(|len| case(len, ActivationForm::Clip, 1.0)).to_vec();
    cases.extend([1, 64, 129].map(|len| case(len, ActivationForm::Cabs, 1.0)));
    cases.extend([ActivationForm::Clip, ActivationForm::Cabs].map(|form| case(129, form, 2.0)));
    cases
}
