//! The shader of [`Conv2dForward`](crate::Conv2dForward) for input channels in fours:
//! `shaders/conv2d_forward_vec4.wgsl`.

use std::borrow::Cow;

use recording::{Shader, read, write};

use crate::{Case, Entry, Mutation, conv2d_forward::cases_where};

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_forward_vec4",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_forward_vec4.wgsl")),
        bindings: &[read("input"), read("weight"), read("bias"), write("output")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "% params.out_height * params.stride", to: "% params.out_height" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: "y < params.height && ", to: "" },
        Mutation { rule: "column right of the image", from: " && x < params.width", to: "" },
        Mutation { rule: "last channel", from: "c < depth", to: "c + 1u < depth" },
        Mutation {
            rule: "last tap of a line",
            from: "kx < params.kernel_w",
            to: "kx + 1u < params.kernel_w",
        },
        Mutation { rule: "last line of taps", from: "ky < params.kernel_h", to: "ky + 1u < params.kernel_h" },
        Mutation { rule: "bias dropped", from: "if BIAS", to: "if false" },
        Mutation { rule: "bias always", from: "if BIAS", to: "if true" },
        Mutation { rule: "fourth pixel", from: "input[p3 + c]", to: "input[p2 + c]" },
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

fn cases() -> Vec<Case> {
    cases_where(true)
}
