//! Values kept within bounds. Numerics: the comparison itself. Shader: `shaders/clamp.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, floats::special, groups_for};

/// `min(max(x, low), high)` of `len` values in place. NaN stays what it is, so that a later check finds it.
#[derive(Clone, Copy, Debug)]
pub struct Clamp {
    /// Values.
    pub len: u32,
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "clamp",
        source: Cow::Borrowed(include_str!("../../../shaders/clamp.wgsl")),
        bindings: &[write("values")],
    },
    cases,
    mutations: &[
        Mutation { rule: "lower bound", from: "params.low, params.high", to: "-1e9, params.high" },
        Mutation { rule: "upper bound", from: "params.low, params.high", to: "params.low, 1e9" },
        Mutation { rule: "NaN stays", from: "> 0x7f800000u", to: "> 0x7fffffffu" },
        Mutation { rule: "infinity does not", from: "> 0x7f800000u", to: ">= 0x7f800000u" },
        Mutation { rule: "last value", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for Clamp {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len), Param::f32("low", self.low), Param::f32("high", self.high)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.len)]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 2 * u64::from(self.len), bytes: 8 * u64::from(self.len) }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let clamped = |&word: &u32| {
            let value = f32::from_bits(word);
            if value.is_nan() { word } else { value.clamp(self.low, self.high).to_bits() }
        };
        vec![Expected::exact(buffers[0][..self.len as usize].iter().map(clamped).collect())]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(94);
    let mut case = |len: u32| {
        let mut values = special(&mut random, len, -2.0, 12.0);
        let others = [f32::NAN.to_bits(), 0xffc1_2345, f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits()];
        values.iter_mut().skip(15).zip(others).for_each(|(value, other)| *value = other);
        Case::new(format!("{len}"), Clamp { len, low: 1.0, high: 8.0 }, vec![values])
    };
    [1, 7, 63, 64, 65, 300].map(&mut case).to_vec()
}
