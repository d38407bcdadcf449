//! A bias per channel, added in place. Numerics: the sum itself. Shader: `shaders/add_bias.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// `values[row, c] += bias[c]` over `rows` rows.
#[derive(Clone, Copy, Debug)]
pub struct AddBias {
    /// Rows.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "add_bias",
        source: Cow::Borrowed(include_str!("../../../shaders/add_bias.wgsl")),
        bindings: &[read("bias"), write("values")],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign", from: "+= bias", to: "-= bias" },
        Mutation { rule: "value before", from: "+= bias", to: "= bias" },
        Mutation { rule: "channel", from: "index % params.channels", to: "index / params.channels" },
        Mutation {
            rule: "tail value",
            from: "index >= params.rows * params.channels",
            to: "index + 1u >= params.rows * params.channels",
        },
    ],
};

impl AddBias {
    fn len(&self) -> u32 {
        self.rows * self.channels
    }
}

impl Kernel for AddBias {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("rows", self.rows), Param::u32("channels", self.channels)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len()))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.channels), u64::from(self.len())]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.len()), bytes: 8 * u64::from(self.len()) }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (bias, values) = (to_f64(buffers[0], self.channels), to_f64(buffers[1], self.len()));
        let sums: Vec<f64> = values.iter().zip(bias.iter().cycle()).map(|(x, bias)| x + bias).collect();
        vec![relative(&sums, 1.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(54);
    let mut case = |rows: u32, channels: u32| {
        let bias = random.floats(channels as usize, -2.0, 2.0);
        let values = special(&mut random, rows * channels, -2.0, 2.0);
        Case::new(format!("{rows}x{channels}"), AddBias { rows, channels }, vec![bias, values])
    };
    vec![case(1, 1), case(3, 7), case(64, 1), case(1, 65), case(5, 64), case(13, 129), case(1021, 3)]
}
