//! Stochastic gradient descent with momentum. Numerics: `reference::optimizer::sgd_nesterov`. Shader:
//! `shaders/sgd.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::optimizer::sgd_nesterov;

use crate::{
    Case, DecayRun, Entry, Mutation, Random, WORKGROUP,
    decay_run::ranges,
    floats::{UNIT, to_f64},
    groups_for,
    tiling::vector,
};

/// One step for `len` weights in place: `d = grad + decay * weight` with the decay of the weight's [`DecayRun`], `velocity =
/// momentum * velocity + d`, `weight -= rate * (nesterov ? d + momentum * velocity : velocity)`, the rate from word 3 of
/// `step`.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Values.
    pub len: u32,
    /// Runs of equal weight decay.
    pub runs: u32,
    /// Decay of the velocity.
    pub momentum: f32,
    /// Whether the step looks ahead by one velocity.
    pub nesterov: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "sgd",
        source: Cow::Borrowed(include_str!("../../../shaders/sgd.wgsl")),
        bindings: &[read("step"), read("decays"), read("grad"), write("weight"), write("velocity")],
    },
    cases,
    mutations: &[
        Mutation { rule: "weight decay", from: " + decay * old", to: "" },
        Mutation { rule: "later runs", from: "run < params.runs", to: "run < 1u" },
        Mutation { rule: "last run", from: "run < params.runs", to: "run + 1u < params.runs" },
        Mutation { rule: "first value of a run", from: ">= decays[2u * run]", to: "> decays[2u * run]" },
        Mutation { rule: "first run", from: "bitcast<f32>(decays[1])", to: "0.0" },
        Mutation {
            rule: "momentum",
            from: "params.momentum * velocity[index] + d",
            to: "velocity[index] + d",
        },
        Mutation { rule: "velocity", from: "velocity[index] = v", to: "velocity[index] = d" },
        Mutation {
            rule: "look ahead always",
            from: "d + params.momentum * v, NESTEROV",
            to: "d + params.momentum * v, true",
        },
        Mutation {
            rule: "look ahead never",
            from: "d + params.momentum * v, NESTEROV",
            to: "d + params.momentum * v, false",
        },
        Mutation { rule: "rate word", from: "step[3]", to: "step[4]" },
        Mutation { rule: "tail value", from: "index >= params.vectors", to: "index + 1u >= params.vectors" },
        Mutation {
            rule: "write past the end",
            from: "index >= params.vectors",
            to: "index > params.vectors",
        },
    ],
};

impl Kernel for Sgd {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("vectors", self.len / vector(self.len)),
            Param::f32("momentum", self.momentum),
            Param::u32("runs", self.runs),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("NESTEROV", u32::from(self.nesterov))]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len / vector(self.len)))
    }
    fn lens(&self) -> Vec<u64> {
        let len = u64::from(self.len);
        vec![8, 2 * u64::from(self.runs), len, len, len]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.runs)
    }
    fn work(&self) -> Work {
        Work { operations: 6 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let rate = f64::from(f32::from_bits(buffers[0][3]));
        let [grad, old, old_velocity] = [2, 3, 4].map(|at| to_f64(buffers[at], self.len));
        let momentum = f64::from(self.momentum);
        let (mut weight, mut velocity) = (old.clone(), old_velocity.clone());
        let (mut weight_bounds, mut velocity_bounds) = (vec![], vec![]);
        for (run, decay) in ranges(buffers[1], self.runs, self.len) {
            let [weight, velocity] = [&mut weight, &mut velocity].map(|values| &mut values[run.clone()]);
            sgd_nesterov(weight, &grad[run.clone()], velocity, rate, momentum, decay, self.nesterov);
            for at in run {
                let terms = grad[at].abs() + (decay * old[at]).abs() + (momentum * old_velocity[at]).abs();
                velocity_bounds.push(3.0 * UNIT * terms);
                weight_bounds.push(UNIT * (old[at].abs() + 8.0 * rate * (1.0 + momentum) * terms));
            }
        }
        vec![Expected::within(&weight, &weight_bounds), Expected::within(&velocity, &velocity_bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(33);
    let mut case = |len: u32, momentum: f32, runs: &[(u32, f32)], nesterov: bool| {
        let label = format!("{len} momentum {momentum} decay {runs:?} nesterov {nesterov}");
        let runs: Vec<DecayRun> = runs.iter().map(|&(first, decay)| DecayRun { first, decay }).collect();
        let kernel = Sgd { len, runs: runs.len() as u32, momentum, nesterov };
        let mut floats = |size: f32| random.floats(len as usize, -size, size);
        let inputs = vec![step_words(), DecayRun::words(&runs), floats(1.0), floats(1.0), floats(2.0)];
        Case::new(label, kernel, inputs)
    };
    let mut cases: Vec<Case> =
        [1, 7, 63, 64, 65, 128, 1021].into_iter().map(|len| case(len, 0.9, &[(0, 0.01)], false)).collect();
    cases.push(case(65, 0.9, &[(0, 0.01)], true));
    cases.push(case(65, 0.0, &[(0, 0.0)], false));
    cases.push(case(131, 0.9, &[(0, 0.5), (64, 0.0), (128, 2.0)], false));
    cases.push(case(256, 0.9, &[(0, 0.0), (64, 0.5), (192, 1.0)], true));
    cases
}

/// Step 3, seed, learning rate, and other values where another word is read.
fn step_words() -> Vec<u32> {
    vec![3, 17, 0, 0.125f32.to_bits(), 0.5f32.to_bits(), 2.0f32.to_bits(), 0, 0]
}
