//! Running statistics. Numerics: `reference::norm::running_update`. Shader: `shaders/running_update.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::norm::running_update;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Updates `len` running statistics in place: `running = momentum * running + (1 - momentum) * factor *
/// batch`.
#[derive(Clone, Copy, Debug)]
pub struct RunningUpdate {
    /// Values.
    pub len: u32,
    /// Weight of the old value.
    pub momentum: f32,
    /// Multiplies the batch value, e.g. `rows / (rows - 1)` for the unbiased variance.
    pub factor: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "running_update",
        source: Cow::Borrowed(include_str!("../../../shaders/running_update.wgsl")),
        bindings: &[read("batch"), write("running")],
    },
    cases,
    mutations: &[
        Mutation { rule: "momentum", from: "params.momentum * ", to: "" },
        Mutation { rule: "weight of the batch", from: "params.weight * ", to: "" },
        Mutation { rule: "old value", from: "params.momentum * running[index] + ", to: "" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl RunningUpdate {
    fn weight(&self) -> f64 {
        (1.0 - f64::from(self.momentum)) * f64::from(self.factor)
    }
}

impl Kernel for RunningUpdate {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("len", self.len),
            Param::f32("momentum", self.momentum),
            Param::f32("weight", self.weight() as f32),
        ]
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
        Work { operations: 3 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [batch, running] = [0, 1].map(|at| to_f64(buffers[at], self.len));
        let scaled: Vec<f64> = batch.iter().map(|batch| f64::from(self.factor) * batch).collect();
        let updated = running_update(&running, &scaled, f64::from(self.momentum));
        let bound =
            |(running, batch): (&f64, &f64)| 4.0 * UNIT * (running.abs() + (self.weight() * batch).abs());
        let bounds: Vec<f64> = running.iter().zip(&batch).map(bound).collect();
        vec![Expected::within(&updated, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(30);
    let mut case = |len: u32, momentum: f32, factor: f32| {
        let inputs = vec![random.floats(len as usize, -3.0, 3.0), random.floats(len as usize, -3.0, 3.0)];
        Case::new(
            format!("{len} momentum {momentum} factor {factor}"),
            RunningUpdate { len, momentum, factor },
            inputs,
        )
    };
    let mut cases: Vec<Case> =
        [1, 7, 63, 64, 65, 128, 1021].into_iter().map(|len| case(len, 0.9, 1.0)).collect();
    cases.push(case(10, 0.99, 41.0 / 40.0));
    cases.push(case(10, 0.0, 1.0));
    cases.push(case(10, 1.0, 1.0));
    cases
}
