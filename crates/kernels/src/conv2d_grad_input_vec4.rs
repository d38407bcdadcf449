//! The shader of [`Conv2dGradInput`](crate::Conv2dGradInput) for input channels in fours:
//! `shaders/conv2d_grad_input_vec4.wgsl`.

use std::borrow::Cow;

use recording::{Shader, read, write};

use crate::{Case, Entry, Mutation, conv2d_grad_input::cases_where};

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_input_vec4",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_input_vec4.wgsl")),
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
        Mutation { rule: "second quad", from: "b0 += g0 * w", to: "b0 += g0 * v" },
        Mutation { rule: "odd quad", from: "if first + 1u < depth", to: "if true" },
    ],
};

fn cases() -> Vec<Case> {
    cases_where(true)
}
