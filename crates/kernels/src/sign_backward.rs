//! Straight-through gradients of the sign. Numerics: `reference::binary::sign_backward`. Shader:
//! `shaders/sign_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::binary::{SignRule, sign_backward};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, special, to_f64},
    groups_for,
};

/// Passes `len` gradients where `|x| <= 1` and stops the others, by one of two rules.
#[derive(Clone, Copy, Debug)]
pub struct SignBackward {
    /// Values.
    pub len: u32,
    /// The rule.
    pub rule: SignRule,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "sign_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/sign_backward.wgsl")),
        bindings: &[read("x"), read("grad"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "end included", from: "size <= 1.0", to: "size < 1.0" },
        Mutation { rule: "gate dropped", from: "size <= 1.0", to: "true" },
        Mutation { rule: "magnitude", from: "abs(x[index])", to: "x[index]" },
        Mutation { rule: "slope of the polynomial", from: "2.0 - 2.0 * size", to: "2.0 - size" },
        Mutation { rule: "polynomial", from: "POLYNOMIAL == 1u", to: "false" },
        Mutation { rule: "identity", from: "POLYNOMIAL == 1u", to: "true" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl Kernel for SignBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len)]
    }
    fn constants(&self) -> Vec<Constant> {
        let polynomial = u32::from(self.rule == SignRule::Polynomial);
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("POLYNOMIAL", polynomial)]
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
        Work { operations: 3 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (x, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        let passed = sign_backward(&x, &grad, self.rule);
        // The slope is a difference of numbers up to 2.
        let bounds: Vec<f64> = match self.rule {
            SignRule::Identity => vec![0.0; grad.len()],
            SignRule::Polynomial => grad.iter().map(|grad| 8.0 * UNIT * grad.abs()).collect(),
        };
        vec![Expected::within(&passed, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(61);
    let mut case = |len: u32, rule: SignRule| {
        let inputs =
            vec![special(&mut random, len, -1.5, 1.5), random.floats(len as usize, -1.0, 1.0), vec![]];
        Case::new(format!("{len} {rule:?}"), SignBackward { len, rule }, inputs)
    };
    let rules = [SignRule::Identity, SignRule::Polynomial];
    let sizes = [1, 7, 63, 64, 65, 128, 1021];
    rules
        .into_iter()
        .flat_map(|rule| sizes.map(|len| (len, rule)))
        .map(|(len, rule)| case(len, rule))
        .collect()
}
