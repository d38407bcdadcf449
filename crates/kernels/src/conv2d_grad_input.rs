//! Gradient of the input of a convolution of floats. Numerics: `reference::conv::Conv2d`. Shader:
//! `shaders/conv2d_grad_input.wgsl`, or `shaders/conv2d_grad_input_vec4.wgsl` where the input channels come
//! in fours.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::conv::Conv2d;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    conv2d::{TILE, flatten, in_fours, shapes},
    conv2d_grad_input_vec4,
    floats::{UNIT, sum_of_products, to_f64},
    groups_for,
};

/// `grad_input[n, iy, ix, ci] = sum over (ky, kx, co) of grad_output[n, oy, ox, co] * weight[co, ky, kx, ci]`
/// over the output positions `(oy, ox)` that read the pixel through the tap; gradients NHWC, weight OHWI.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dGradInput {
    /// Geometry.
    pub window: Window,
    /// Channels of the input.
    pub in_channels: u32,
    /// Channels of the output.
    pub out_channels: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_input",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_input.wgsl")),
        bindings: &[read("grad_output"), read("weight"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "stride",
            from: "padded / params.stride, padded % params.stride",
            to: "padded, vec2(0u)",
        },
        Mutation { rule: "phase of a tap", from: "all(reader.remainder == phase) && ", to: "" },
        Mutation { rule: "padding above", from: " + params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " + params.pad_left", to: "" },
        Mutation { rule: "row below the output", from: "at.x < params.out_height && ", to: "" },
        Mutation { rule: "column right of the output", from: " && at.y < params.out_width", to: "" },
        Mutation {
            rule: "last channel",
            from: "c < params.out_channels",
            to: "c + 1u < params.out_channels",
        },
        Mutation {
            rule: "last tap of a line",
            from: "kx < params.kernel_w",
            to: "kx + 1u < params.kernel_w",
        },
        Mutation { rule: "last line of taps", from: "ky < params.kernel_h", to: "ky + 1u < params.kernel_h" },
        Mutation {
            rule: "outside is zero",
            from: "select(0.0, grad_output[s1.first + c], s1.inside)",
            to: "grad_output[s1.first + c]",
        },
        Mutation { rule: "sample", from: "line / params.height * params.out_height", to: "0u" },
        Mutation {
            rule: "pixel past the end",
            from: "if pixel < params.samples",
            to: "if pixel <= params.samples",
        },
        Mutation { rule: "tap of one pixel alone", from: "s0.inside || ", to: "" },
        Mutation {
            rule: "eighth pixel",
            from: "g7 = select(0.0, grad_output[s7.first",
            to: "g7 = select(0.0, grad_output[s6.first",
        },
        Mutation { rule: "fourth channel", from: "weight[k.w]", to: "weight[k.z]" },
        Mutation {
            rule: "channel past the end",
            from: "if channel < params.in_channels",
            to: "if channel <= params.in_channels",
        },
    ],
};

impl Conv2dGradInput {
    fn conv(&self) -> Conv2d {
        self.window.to_reference(self.in_channels, self.out_channels)
    }

    /// Window and input channels as the shader gets them.
    fn flat(&self) -> (Window, u32) {
        flatten(self.window, self.in_channels)
    }
}

impl Kernel for Conv2dGradInput {
    fn shader(&self) -> &Shader {
        if in_fours(self.flat().1) { &conv2d_grad_input_vec4::ENTRY.shader } else { &ENTRY.shader }
    }
    fn params(&self) -> Vec<Param> {
        let (window, in_channels) = self.flat();
        let mut params = window.params();
        params
            .extend([Param::u32("in_channels", in_channels), Param::u32("out_channels", self.out_channels)]);

        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        let (window, in_channels) = self.flat();
        let tile = if in_fours(in_channels) { 2 * TILE } else { TILE };
        groups_for(u64::from(window.in_pixels().div_ceil(2 * TILE)) * u64::from(in_channels.div_ceil(tile)))
    }
    fn lens(&self) -> Vec<u64> {
        let conv = self.conv();
        vec![conv.output_len() as u64, conv.weight_len() as u64, conv.input_len() as u64]
    }
    fn loop_trips(&self) -> u64 {
        let (Window { kernel_h, kernel_w, .. }, _) = self.flat();
        u64::from(kernel_h) * (1 + u64::from(kernel_w) * (1 + u64::from(self.out_channels)))
    }
    fn work(&self) -> Work {
        let products = (self.conv().output_len() * self.conv().taps()) as u64 * u64::from(self.in_channels);
        Work { operations: 2 * products, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let conv = self.conv();
        let [grad, weight] =
            [(0, conv.output_len()), (1, conv.weight_len())].map(|(at, len)| to_f64(buffers[at], len as u32));
        let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let sizes = conv.grad_input(&size(&grad), &size(&weight));
        let terms = (conv.taps() * conv.out_channels + 2) as f64;
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&conv.grad_input(&grad, &weight), &bounds)]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let conv = self.conv();
        let terms = (conv.taps() * conv.out_channels + 2) as f64;
        let value = |&index: &usize| {
            let (sum, size) = sum_of_products(buffers[0], buffers[1], &conv.terms_of_input(index));
            (sum, terms * UNIT * size)
        };
        let (values, bounds): (Vec<f64>, Vec<f64>) = indices.iter().map(value).unzip();
        Some(Expected::within(&values, &bounds))
    }
}

fn cases() -> Vec<Case> {
    cases_where(false)
}

/// The cases whose input channels come in fours, or those whose do not.
pub(crate) fn cases_where(fours: bool) -> Vec<Case> {
    let mut random = Random::new(42);
    let mut case = |conv: Conv2d| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let kernel = Conv2dGradInput { window: conv.into(), in_channels, out_channels };
        let grad = random.floats(conv.output_len(), -1.0, 2.0);
        let weight = random.floats(conv.weight_len(), -1.0, 1.0);
        Case::new(format!("{conv:?}"), kernel, vec![grad, weight, vec![]])
    };
    let deep = Conv2d::valid([2, 1, 1, if fours { 4 } else { 1 }], [1, 1], 60_001, 1);
    let mut shapes = shapes();
    shapes.push(deep);
    shapes.retain(|&conv| in_fours(flatten(conv.into(), conv.in_channels as u32).1) == fours);
    shapes.into_iter().map(&mut case).collect()
}
