//! Clip to the unit interval. Numerics: `reference::activation::clip_forward`. Shader:
//! `shaders/clip_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::{cabs_forward, clip_forward};

use crate::{
    ActivationForm, Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Clips `len` values: `y = min(max(x, 0), limit)`.
#[derive(Clone, Copy, Debug)]
pub struct ClipForward {
    /// Values.
    pub len: u32,
    /// What limits them.
    pub form: ActivationForm,
    /// The upper end of the range, above 0.
    pub limit: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "clip_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/clip_forward.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "lower end", from: "0.0, params.limit", to: "-1.0, params.limit" },
        Mutation { rule: "upper end", from: "0.0, params.limit", to: "0.0, 1e9" },
        Mutation { rule: "magnitude", from: "abs(x[index])", to: "x[index]" },
        Mutation { rule: "magnitude above", from: "abs(x[index]), params.limit", to: "abs(x[index]), 1e9" },
        Mutation { rule: "end of the range", from: "0.0, params.limit", to: "0.0, 1.0" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for ClipForward {
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
        vec![u64::from(self.len); 2]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let x = to_f64(buffers[0], self.len);
        let y = match self.form {
            ActivationForm::Clip => clip_forward(&x, self.limit.into()),
            ActivationForm::Cabs => cabs_forward(&x, self.limit.into()),
        };
        vec![relative(&y, 0.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(21);
    let mut case = |len: u32, form: ActivationForm, limit: f32| {
        let inputs = vec![special(&mut random, len, -1.0, 4.0), vec![]];
        Case::new(format!("{len} {form:?} {limit}"), ClipForward { len, form, limit }, inputs)
    };
    let mut cases: Vec<Case> =
        [1, 7, 63, 64, 65, 128, 1021].map(|len| case(len, ActivationForm::Clip, 1.0)).to_vec();
    cases.extend([1, 64, 129].map(|len| case(len, ActivationForm::Cabs, 1.0)));
    cases.extend([ActivationForm::Clip, ActivationForm::Cabs].map(|form| case(129, form, 2.0)));
    cases
}
