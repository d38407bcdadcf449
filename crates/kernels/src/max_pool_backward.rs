//! Gradient of the maximum pool. Numerics: `reference::pool::Pool2d::max_pool_backward`. Shader:
//! `shaders/max_pool_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    floats::{UNIT, to_f64},
    groups_for,
    pool::{to_reference, windows},
};

/// Gathers `grad_input[input pixels][channels]` from the windows whose first maximum, `argmax[output
/// pixels][channels]`, is that input.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolBackward {
    /// Geometry; the kernel is square.
    pub window: Window,
    /// Channels.
    pub channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "max_pool_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/max_pool_backward.wgsl")),
        bindings: &[read("grad"), read("argmax"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "tap of the maximum", from: "argmax[at] == tap", to: "argmax[at] <= tap" },
        Mutation { rule: "overlapping windows", from: "sum += grad[at]", to: "sum = grad[at]" },
        Mutation { rule: "last tap", from: "tap < params.kernel_h", to: "tap + 1u < params.kernel_h" },
        Mutation { rule: "gate dropped", from: "argmax[at] == tap", to: "true" },
        Mutation { rule: "channel", from: "index % params.channels", to: "index % params.width" },
        Mutation {
            rule: "tail value",
            from: "in_pixel >= params.samples",
            to: "in_pixel + 1u >= params.samples",
        },
        Mutation { rule: "stride", from: "% params.stride == 0u", to: "% params.stride <= 1u" },
    ],
};

impl Kernel for MaxPoolBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        [self.window.params(), vec![Param::u32("channels", self.channels)]].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.window.in_pixels()) * u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        let outputs = u64::from(self.window.out_pixels()) * channels;
        vec![outputs, outputs, u64::from(self.window.in_pixels()) * channels]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.window.taps())
    }
    fn work(&self) -> Work {
        Work {
            operations: u64::from(self.window.in_pixels())
                * u64::from(self.window.taps())
                * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let pool = to_reference(&self.window, self.channels);
        let grad = to_f64(buffers[0], self.window.out_pixels() * self.channels);
        let argmax = &buffers[1][..grad.len()];
        let sizes: Vec<f64> = grad.iter().map(|grad| grad.abs()).collect();
        let terms = f64::from(self.window.taps() - 1);
        let bounds: Vec<f64> =
            pool.max_pool_backward(&sizes, argmax).iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&pool.max_pool_backward(&grad, argmax), &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(39);
    let mut case = |window: Window, channels: u32| {
        let x = random.floats((window.in_pixels() * channels) as usize, -2.0, 1.0);
        let (_, argmax) =
            to_reference(&window, channels).max_pool_forward(&to_f64(&x, window.in_pixels() * channels));
        let grad = random.floats(argmax.len(), -1.0, 1.0);
        let kernel = MaxPoolBackward { window, channels };
        Case::new(format!("{window:?} channels {channels}"), kernel, vec![grad, argmax, vec![]])
    };
    let mut cases: Vec<Case> = windows().into_iter().map(|window| case(window, 5)).collect();
    cases.push(case(windows()[3], 65));
    cases
}
