//! The shader of [`Conv2dGradWeight`](crate::Conv2dGradWeight) for input channels in fours:
//! `shaders/conv2d_grad_weight_vec4.wgsl`.

use std::borrow::Cow;

use recording::{Shader, read, write};

use crate::{Case, Entry, Mutation, conv2d_grad_weight::cases_of};

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_weight_vec4",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_weight_vec4.wgsl")),
        bindings: &[read("grad_output"), read("input"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "x += params.stride", to: "x += 1u" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: "(y + dy < vec2(params.height)) & ", to: "" },
        Mutation { rule: "column right of the image", from: " & (x + dx < vec2(params.width))", to: "" },
        Mutation { rule: "last position", from: "position < positions", to: "position + 1u < positions" },
        Mutation {
            rule: "last part shorter",
            from: "min(params.samples_per_partial, params.samples - sample)",
            to: "params.samples_per_partial",
        },
        Mutation { rule: "part of the gradients", from: "var at = sample *", to: "var at = 0u *" },
        Mutation { rule: "part of the input", from: "var line = sample *", to: "var line = 0u *" },
        Mutation { rule: "next sample", from: "line += params.height", to: "line += 0u" },
        Mutation {
            rule: "channel past the end",
            from: "if channel < params.out_channels",
            to: "if channel <= params.out_channels",
        },
        Mutation { rule: "eighth output channel", from: "vec4(4u, 5u, 6u, 7u)", to: "vec4(4u, 5u, 6u, 6u)" },
        Mutation {
            rule: "outside is zero",
            from: "select(vec4(0.0), input[sites.y], inside.y)",
            to: "input[sites.y]",
        },
        Mutation { rule: "odd quad", from: "if first + 1u < row", to: "if true" },
        Mutation { rule: "begin with 0", from: "if ACCUMULATE", to: "if false" },
        Mutation { rule: "begin with what is there", from: "if ACCUMULATE", to: "if true" },
        Mutation { rule: "quad of a begin", from: "channel + 5u, k.y", to: "channel + 5u, k.x" },
    ],
};

fn cases() -> Vec<Case> {
    cases_of(&ENTRY)
}
