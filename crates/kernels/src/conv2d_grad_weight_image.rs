//! The shader of [`Conv2dGradWeight`](crate::Conv2dGradWeight) for short lines of taps:
//! `shaders/conv2d_grad_weight_image.wgsl`.

use std::borrow::Cow;

use recording::{Shader, read, write};

use crate::{Case, Entry, Mutation, conv2d_grad_weight::cases_of};

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_weight_image",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_weight_image.wgsl")),
        bindings: &[read("grad_output"), read("input"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: "y < params.height", to: "true" },
        Mutation { rule: "column right of the image", from: "x < width", to: "width > 0u" },
        Mutation {
            rule: "last position of a line",
            from: "ox < params.out_width",
            to: "ox + 1u < params.out_width",
        },
        Mutation { rule: "last line", from: "line < lines", to: "line + 1u < lines" },
        Mutation {
            rule: "last part shorter",
            from: "min(params.samples_per_partial, params.samples - sample)",
            to: "params.samples_per_partial",
        },
        Mutation { rule: "part of the gradients", from: "var at = sample *", to: "var at = 0u *" },
        Mutation { rule: "part of the input", from: "var image = sample *", to: "var image = 0u *" },
        Mutation { rule: "next sample", from: "image += params.height", to: "image += 0u" },
        Mutation { rule: "inputs move on", from: "v2 = v3;", to: "" },
        Mutation { rule: "first of five taps", from: "KERNEL_W > 4u", to: "KERNEL_W > 5u" },
        Mutation { rule: "fourth output channel", from: "values.w", to: "values.z" },
        Mutation { rule: "input channel", from: "depth + ci;", to: "depth;" },
        Mutation { rule: "begin with 0", from: "if ACCUMULATE", to: "if false" },
        Mutation { rule: "begin with what is there", from: "if ACCUMULATE", to: "if true" },
        Mutation { rule: "tap of a begin", from: "begin(last - depth, row)", to: "begin(last, row)" },
    ],
};

fn cases() -> Vec<Case> {
    cases_of(&ENTRY)
}
