//! Global average pool. Numerics: `reference::pool::global_avg_pool_forward`. Shader:
//! `shaders/global_avg_pool_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::pool::global_avg_pool_forward;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Averages `x[samples][pixels][channels]` over the pixels: `y[samples][channels]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPoolForward {
    /// Samples.
    pub samples: u32,
    /// Pixels of one sample.
    pub pixels: u32,
    /// Channels.
    pub channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "global_avg_pool_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/global_avg_pool_forward.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last pixel", from: "pixel < params.pixels", to: "pixel + 1u < params.pixels" },
        Mutation { rule: "factor", from: "params.factor * sum", to: "sum" },
        Mutation { rule: "pixel stride", from: "pixel * params.channels", to: "pixel" },
        Mutation {
            rule: "sample stride",
            from: "params.pixels * params.channels + index",
            to: "params.channels + index",
        },
        Mutation {
            rule: "tail value",
            from: "index >= params.samples * params.channels",
            to: "index + 1u >= params.samples * params.channels",
        },
        Mutation {
            rule: "write past the end",
            from: "index >= params.samples",
            to: "index > params.samples",
        },
    ],
};

impl Kernel for GlobalAvgPoolForward {
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
        groups_for(u64::from(self.samples) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let outputs = u64::from(self.samples) * u64::from(self.channels);
        vec![outputs * u64::from(self.pixels), outputs]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.pixels)
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
        let x = to_f64(buffers[0], self.samples * self.pixels * self.channels);
        let y = global_avg_pool_forward(&x, samples, pixels, channels);
        let sizes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        let means = global_avg_pool_forward(&sizes, samples, pixels, channels);
        let bounds: Vec<f64> = means.iter().map(|mean| (pixels as f64 + 3.0) * UNIT * mean).collect();
        vec![Expected::within(&y, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(36);
    let mut case = |(samples, pixels, channels): (u32, u32, u32)| {
        let kernel = GlobalAvgPoolForward { samples, pixels, channels };
        let x = random.floats((samples * pixels * channels) as usize, -1.0, 2.0);
        Case::new(format!("{samples}x{pixels}x{channels}"), kernel, vec![x, vec![]])
    };
    let mut cases: Vec<Case> =
        [(1, 1, 1), (2, 4, 3), (3, 49, 65), (7, 1, 9), (1, 1021, 2), (64, 9, 1), (5, 25, 13)]
            .into_iter()
            .map(&mut case)
            .collect();
    cases.push(case((1, 65_000, 1)));
    cases
}
