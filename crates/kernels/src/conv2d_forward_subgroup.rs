//! Convolution of floats on subgroups. Numerics: `reference::conv::Conv2d`. Shader:
//! `shaders/conv2d_forward_subgroup.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use reference::conv::Conv2d;

use crate::{
    Case, Conv2dForward, Entry, Mutation, Random,
    conv2d::{CASE_LANES, Tile, flatten, in_fours, shapes, wide_shapes},
};

/// [`Conv2dForward`] with equal bits, for input channels in fours and subgroups of `lanes` lanes.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dForwardSubgroup {
    /// The convolution.
    pub conv: Conv2dForward,
    /// Lanes of a subgroup.
    pub lanes: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_forward_subgroup",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_forward_subgroup.wgsl")),
        bindings: &[read("input"), read("weight"), read("bias"), write("output")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "% params.out_height * params.stride", to: "% params.out_height" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: " && f{{ i }}.y + ky < params.height", to: "" },
        Mutation { rule: "column right of the image", from: "x{{ i }} + c < line && ", to: "" },
        Mutation {
            rule: "next line of the image",
            from: "select(0u, line, next)",
            to: "select(0u, run, next)",
        },
        Mutation {
            rule: "last tap of a line",
            from: "let next = c == run;",
            to: "let next = c + 1u == run;",
        },
        Mutation { rule: "channels of a column", from: "f{{ i }}.x * depth", to: "f{{ i }}.x" },
        Mutation { rule: "bias dropped", from: "if BIAS", to: "if false" },
        Mutation { rule: "bias always", from: "if BIAS", to: "if true" },
        Mutation { rule: "lane of a column", from: "{{ j % LANES }}u);", to: "{{ (j + 1) % LANES }}u);" },
        Mutation {
            rule: "row of a lane",
            from: "field_of(min(pixel + {{ i * LANES }}u",
            to: "field_of(min(pixel",
        },
        Mutation { rule: "pixel past the end", from: "u < pixels", to: "u <= pixels" },
        Mutation {
            rule: "channel past the end",
            from: "if channel < params.out_channels",
            to: "if channel <= params.out_channels",
        },
        Mutation { rule: "sample", from: " / params.out_height * params.height", to: "* 0u" },
    ],
};

impl Conv2dForwardSubgroup {
    /// Whether the kernel computes `conv`.
    pub fn fits(conv: &Conv2dForward) -> bool {
        in_fours(flatten(conv.window, conv.in_channels).1)
    }

    fn tile(&self) -> Tile {
        Tile::product(self.lanes, self.conv.window.out_pixels(), self.conv.out_channels)
    }
}

impl Kernel for Conv2dForwardSubgroup {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.conv.params()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("BIAS", u32::from(self.conv.bias))]
    }
    fn template(&self) -> Vec<Constant> {
        let mut values = self.tile().template();
        values.push(Constant::new("FOURS", u32::from(in_fours(self.conv.out_channels))));
        values
    }
    fn subgroup(&self) -> Option<u32> {
        Some(self.lanes)
    }
    fn workgroups(&self) -> u64 {
        self.tile().count(self.conv.window.out_pixels(), self.conv.out_channels)
    }
    fn lens(&self) -> Vec<u64> {
        self.conv.lens()
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.conv.window.taps()) * u64::from(self.conv.in_channels) / 4
    }
    fn work(&self) -> Work {
        self.conv.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        self.conv.expected(buffers)
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        self.conv.expected_at(buffers, indices)
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(47);
    let mut case = |conv: Conv2d, bias: bool, lanes: u32| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let plain = Conv2dForward { window: conv.into(), in_channels, out_channels, bias };
        let inputs = vec![
            random.floats(conv.input_len(), -1.0, 2.0),
            random.floats(conv.weight_len(), -1.0, 1.0),
            random.floats(if bias { conv.out_channels } else { 1 }, -2.0, 2.0),
            vec![],
        ];
        let kernel = Conv2dForwardSubgroup { conv: plain, lanes };
        Conv2dForwardSubgroup::fits(&plain)
            .then(|| Case::new(format!("{lanes} lanes {conv:?} bias {bias}"), kernel, inputs))
    };
    let deep = Conv2d::valid([2, 1, 1, 240_004], [1, 1], 1, 1);
    let mut cases = Vec::new();
    for lanes in CASE_LANES {
        let shapes = [shapes(), wide_shapes(), vec![deep]].concat().into_iter().enumerate();
        cases.extend(shapes.filter_map(|(index, conv)| case(conv, index % 2 == 0, lanes)));
    }
    cases
}
