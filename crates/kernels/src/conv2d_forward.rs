//! Convolution of floats. Numerics: `reference::conv::Conv2d`. Shader: `shaders/conv2d_forward.wgsl`, or
//! `shaders/conv2d_forward_vec4.wgsl` where the input channels come in fours.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::conv::Conv2d;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    conv2d::{TILE, flatten, in_fours, shapes},
    conv2d_forward_vec4,
    floats::{UNIT, float_at, sum_of_products, to_f64},
    groups_for,
};

/// `output[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of input[n, iy, ix, ci] * weight[co, ky, kx,
/// ci]`, input and output NHWC, weight OHWI, `iy = oy * stride + ky - pad_top` and likewise `ix`, zeros
/// outside the image.
///
/// A linear layer is the window of one tap on images of one pixel, or the kernel of the image's size.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dForward {
    /// Geometry.
    pub window: Window,
    /// Channels of the input.
    pub in_channels: u32,
    /// Channels of the output.
    pub out_channels: u32,
    /// Whether `bias[out_channels]` is added; otherwise it is one word that is not read.
    pub bias: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_forward.wgsl")),
        bindings: &[read("input"), read("weight"), read("bias"), write("output")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "% params.out_height * params.stride", to: "% params.out_height" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation {
            rule: "row below the image",
            from: "let inside = y < params.height;",
            to: "let inside = true;",
        },
        Mutation {
            rule: "column right of the image",
            from: "let inside = place < line;",
            to: "let inside = true;",
        },
        Mutation { rule: "last tap of a line", from: "c < run;", to: "c + 1u < run;" },
        Mutation { rule: "last line of taps", from: "ky < params.kernel_h", to: "ky + 1u < params.kernel_h" },
        Mutation { rule: "bias dropped", from: "if BIAS", to: "if false" },
        Mutation { rule: "bias always", from: "if BIAS", to: "if true" },
        Mutation { rule: "fourth pixel", from: "input_of(r3,", to: "input_of(r2," },
        Mutation { rule: "fourth channel", from: "weight[at.w + c]", to: "weight[at.z + c]" },
        Mutation {
            rule: "pixel past the end",
            from: "if pixel < params.samples",
            to: "if pixel <= params.samples",
        },
        Mutation {
            rule: "channel past the end",
            from: "if channel < params.out_channels",
            to: "if channel <= params.out_channels",
        },
        Mutation { rule: "sample", from: " / params.out_height * params.height", to: "* 0u" },
        Mutation {
            rule: "next image",
            from: "let line = field.line + params.height",
            to: "let line = field.line",
        },
        Mutation { rule: "next line", from: "let y = field.y + params.stride", to: "let y = field.y" },
    ],
};

impl Conv2dForward {
    fn conv(&self) -> Conv2d {
        self.window.to_reference(self.in_channels, self.out_channels)
    }

    /// Window and input channels as the shader gets them.
    fn flat(&self) -> (Window, u32) {
        flatten(self.window, self.in_channels)
    }
}

impl Kernel for Conv2dForward {
    fn shader(&self) -> &Shader {
        if in_fours(self.flat().1) { &conv2d_forward_vec4::ENTRY.shader } else { &ENTRY.shader }
    }
    fn params(&self) -> Vec<Param> {
        let (window, in_channels) = self.flat();
        let mut params = window.params();
        params
            .extend([Param::u32("in_channels", in_channels), Param::u32("out_channels", self.out_channels)]);

        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BIAS", u32::from(self.bias))]
    }
    fn workgroups(&self) -> u64 {
        let tiles = u64::from(self.window.out_pixels().div_ceil(2 * TILE));
        groups_for(tiles * u64::from(self.out_channels.div_ceil(TILE)))
    }
    fn lens(&self) -> Vec<u64> {
        let conv = self.conv();
        let bias = if self.bias { u64::from(self.out_channels) } else { 1 };
        vec![conv.input_len() as u64, conv.weight_len() as u64, bias, conv.output_len() as u64]
    }
    fn loop_trips(&self) -> u64 {
        let (Window { kernel_h, kernel_w, .. }, in_channels) = self.flat();
        let line = if in_fours(in_channels) {
            u64::from(kernel_w) * (1 + u64::from(in_channels / 4))
        } else {
            u64::from(kernel_w) * u64::from(in_channels)
        };
        u64::from(kernel_h) * (1 + line)
    }
    fn work(&self) -> Work {
        let products = (self.conv().output_len() * self.conv().taps()) as u64 * u64::from(self.in_channels);
        Work { operations: 2 * products, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let conv = self.conv();
        let [input, weight] =
            [(0, conv.input_len()), (1, conv.weight_len())].map(|(at, len)| to_f64(buffers[at], len as u32));
        let bias = self.bias.then(|| to_f64(buffers[2], self.out_channels));
        let output = conv.forward(&input, &weight, bias.as_deref());
        let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let sizes = conv.forward(&size(&input), &size(&weight), bias.as_deref().map(size).as_deref());
        let terms = (conv.taps() * conv.in_channels + 3) as f64;
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&output, &bounds)]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let conv = self.conv();
        let terms = (conv.taps() * conv.in_channels + 3) as f64;
        let value = |&index: &usize| {
            let bias = if self.bias { float_at(buffers[2], index % conv.out_channels) } else { 0.0 };
            let (sum, size) = sum_of_products(buffers[0], buffers[1], &conv.terms_of_output(index));
            (sum + bias, terms * UNIT * (size + bias.abs()))
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
    let mut random = Random::new(41);
    let mut case = |conv: Conv2d, bias: bool| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let kernel = Conv2dForward { window: conv.into(), in_channels, out_channels, bias };
        let inputs = vec![
            random.floats(conv.input_len(), -1.0, 2.0),
            random.floats(conv.weight_len(), -1.0, 1.0),
            random.floats(if bias { conv.out_channels } else { 1 }, -2.0, 2.0),
            vec![],
        ];
        Case::new(format!("{conv:?} bias {bias}"), kernel, inputs)
    };
    let deep = Conv2d::valid([2, 1, 1, if fours { 240_004 } else { 60_001 }], [1, 1], 1, 1);
    let mut shapes = shapes();
    shapes.push(deep);
    shapes.retain(|&conv| in_fours(flatten(conv.into(), conv.in_channels as u32).1) == fours);
    shapes.into_iter().enumerate().map(|(index, conv)| case(conv, index % 2 == 0)).collect()
}
