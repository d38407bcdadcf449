//! Gradient of the maximum pool. Numerics: `reference::pool::Pool2d::max_pool_backward`. Shader:
//! `shaders/max_pool_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    floats::{UNIT, to_f64},
    groups_for,
    pool::{to_reference, windows},
    tiling::vector,
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
        Mutation { rule: "tap of the maximum", from: "== Words(ky", to: "<= Words(ky" },
        Mutation { rule: "overlapping windows", from: "sum += select", to: "sum = select" },
        Mutation { rule: "last tap", from: "kx < KERNEL", to: "kx + 1u < KERNEL" },
        Mutation {
            rule: "first window of an axis",
            from: "if oy < params.out_height &&",
            to: "if oy < params.out_height - 1u &&",
        },
        Mutation {
            rule: "image after the last window",
            from: "window = oy < params.out_height &&",
            to: "window =",
        },
        Mutation { rule: "window cut by the image", from: "if y < params.height && ", to: "if " },
        Mutation {
            rule: "zeros outside windows",
            from: ", window);\n    let value",
            to: ", true);\n    let value",
        },
        Mutation { rule: "windows run backward", from: "ox -= 1u", to: "ox += 1u" },
        Mutation { rule: "padding", from: "+ params.pad_top", to: "" },
        Mutation { rule: "tail value", from: "place >= params.samples", to: "place + 1u >= params.samples" },
        Mutation { rule: "stride", from: "ky += params.stride", to: "ky += 1u" },
        Mutation { rule: "neighboring vector", from: "* params.vectors + vector", to: "* params.vectors" },
    ],
};

impl MaxPoolBackward {
    /// Windows stand side by side and nothing pads them, so that each writes its own pixels.
    fn tiles(&self) -> bool {
        let Window { kernel_h, stride, pad_top, pad_left, .. } = self.window;
        kernel_h == stride && pad_top == 0 && pad_left == 0
    }

    fn vectors(&self) -> u32 {
        self.channels / vector(self.channels)
    }
}

impl Kernel for MaxPoolBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        [self.window.params(), vec![Param::u32("vectors", self.vectors())]].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("KERNEL", self.window.kernel_h)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.channels)), Constant::new("TILES", u32::from(self.tiles()))]
    }
    fn workgroups(&self) -> u64 {
        let Window { samples, height, width, kernel_h, .. } = self.window;
        let places = match self.tiles() {
            true => {
                u64::from(samples)
                    * u64::from(height.div_ceil(kernel_h))
                    * u64::from(width.div_ceil(kernel_h))
            }
            false => u64::from(self.window.in_pixels()),
        };
        groups_for(places * u64::from(self.vectors()))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        let outputs = u64::from(self.window.out_pixels()) * channels;
        vec![outputs, outputs, u64::from(self.window.in_pixels()) * channels]
    }
    fn loop_trips(&self) -> u64 {
        let kernel = u64::from(self.window.kernel_h);
        kernel * (1 + kernel)
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
    cases.extend(windows().into_iter().map(|window| case(window, 12)));
    cases.push(case(windows()[3], 65));
    cases
}
