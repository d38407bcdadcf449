//! Average pool over windows. Numerics: `reference::pool::Pool2d::avg_pool_forward`. Shader:
//! `shaders/avg_pool_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, WORKGROUP, Window,
    floats::to_f64,
    groups_for,
    pool::{self, average_cases, averaged, to_reference},
};

/// Averages `x[in pixels][channels]` over square windows: `y[out pixels][channels]`; padding does not take part.
#[derive(Clone, Copy, Debug)]
pub struct AvgPoolForward {
    /// Geometry.
    pub window: Window,
    /// Channels.
    pub channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "avg_pool_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/avg_pool_forward.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last line of taps", from: "ky < params.kernel_h", to: "ky + 1u < params.kernel_h" },
        Mutation {
            rule: "last tap of a line",
            from: "kx < params.kernel_w",
            to: "kx + 1u < params.kernel_w",
        },
        Mutation {
            rule: "taps in the padding",
            from: "count += 1.0;\n            }",
            to: "}\n            count += 1.0;",
        },
        Mutation { rule: "mean", from: "sum / count", to: "sum" },
        Mutation { rule: "channel", from: "* params.channels + channel]", to: "* params.channels]" },
        Mutation { rule: "stride", from: "out.y * params.stride", to: "out.y" },
        Mutation { rule: "tail value", from: "index >= params.samples", to: "index + 1u >= params.samples" },
        Mutation {
            rule: "write past the end",
            from: "index >= params.samples",
            to: "index > params.samples",
        },
    ],
};

impl Kernel for AvgPoolForward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        pool::params(&self.window, self.channels)
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.lens()[1])
    }
    fn lens(&self) -> Vec<u64> {
        [self.window.in_pixels(), self.window.out_pixels()]
            .map(|pixels| u64::from(pixels) * u64::from(self.channels))
            .to_vec()
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.window.kernel_h) * u64::from(1 + self.window.kernel_w)
    }
    fn work(&self) -> Work {
        let lens = self.lens();
        Work { operations: lens[1] * u64::from(self.window.taps()), bytes: 4 * lens.iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let pool = to_reference(&self.window, self.channels);
        let x = to_f64(buffers[0], self.window.in_pixels() * self.channels);
        averaged(&self.window, &x, |values| pool.avg_pool_forward(values))
    }
}

fn cases() -> Vec<Case> {
    average_cases(55, Window::in_pixels, |window, channels| AvgPoolForward { window, channels })
}
