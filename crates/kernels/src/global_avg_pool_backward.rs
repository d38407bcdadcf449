//! Gradient of the global average pool. Numerics: `reference::pool::global_avg_pool_backward`. Shader:
//! `shaders/global_avg_pool_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::pool::global_avg_pool_backward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, to_f64},
    groups_for,
};

/// Spreads `grad[samples][channels]` over the pixels: `grad_input[samples][pixels][channels]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPoolBackward {
    /// Samples.
    pub samples: u32,
    /// Pixels of one sample.
    pub pixels: u32,
    /// Channels.
    pub channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "global_avg_pool_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/global_avg_pool_backward.wgsl")),
        bindings: &[read("grad"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "factor", from: "params.factor * ", to: "" },
        Mutation { rule: "channel", from: "index % params.channels", to: "index % params.pixels" },
        Mutation { rule: "sample", from: "sample * params.channels + ", to: "" },
        Mutation {
            rule: "tail sample",
            from: "sample >= params.samples",
            to: "sample + 1u >= params.samples",
        },
        Mutation {
            rule: "write past the end",
            from: "sample >= params.samples",
            to: "sample > params.samples",
        },
    ],
};

impl Kernel for GlobalAvgPoolBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("pixels", self.pixels),
            Param::u32("channels", self.channels),
            Param::f32("factor", 1.0 / self.pixels as f32),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.samples) * u64::from(self.pixels) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let inputs = u64::from(self.samples) * u64::from(self.channels);
        vec![inputs, inputs * u64::from(self.pixels)]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work {
            operations: u64::from(self.samples) * u64::from(self.pixels) * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [samples, pixels, channels] =
            [self.samples, self.pixels, self.channels].map(|size| size as usize);
        let grad = to_f64(buffers[0], self.samples * self.channels);
        vec![relative(&global_avg_pool_backward(&grad, samples, pixels, channels), 3.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(37);
    let mut case = |(samples, pixels, channels): (u32, u32, u32)| {
        let kernel = GlobalAvgPoolBackward { samples, pixels, channels };
        let grad = random.floats((samples * channels) as usize, -1.0, 1.0);
        Case::new(format!("{samples}x{pixels}x{channels}"), kernel, vec![grad, vec![]])
    };
    [(1, 1, 1), (2, 4, 3), (3, 49, 65), (7, 1, 9), (1, 1021, 2), (64, 9, 1), (5, 25, 13)]
        .into_iter()
        .map(&mut case)
        .collect()
}
