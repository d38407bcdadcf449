//! Gradient of the input of a convolution of floats on subgroups. Numerics: `reference::conv::Conv2d`. Shader:
//! `shaders/conv2d_grad_input_subgroup.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use reference::conv::Conv2d;

use crate::{
    Case, Conv2dGradInput, Entry, Mutation, Random, Window,
    conv2d::{CASE_LANES, Tile, flatten, in_fours, shapes, wide_shapes},
};

/// [`Conv2dGradInput`] with equal bits, for subgroups of `lanes` lanes.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dGradInputSubgroup {
    /// The convolution.
    pub conv: Conv2dGradInput,
    /// Lanes of a subgroup.
    pub lanes: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_input_subgroup",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_input_subgroup.wgsl")),
        bindings: &[read("grad_output"), read("weight"), write("grad_input")],
    },
    cases,
    mutations: &[
        Mutation { rule: "remainder of a tile", from: "tile / pixel_tiles", to: "0u" },
        Mutation { rule: "first tap below", from: "(down + params.pad_top) % stride", to: "down" },
        Mutation { rule: "first tap right", from: "(right + params.pad_left) % stride", to: "right" },
        Mutation { rule: "stride of the taps", from: "left + tx * stride", to: "left + tx" },
        Mutation { rule: "padding above", from: " + params.pad_top) / stride", to: ") / stride" },
        Mutation { rule: "padding left", from: " + params.pad_left) / stride", to: ") / stride" },
        Mutation { rule: "row below the output", from: "y{{ i }} - ty < params.out_height && ", to: "" },
        Mutation { rule: "column right of the output", from: " && x{{ i }} - tx < params.out_width", to: "" },
        Mutation { rule: "last step", from: "step < steps", to: "step + 1u < steps" },
        Mutation {
            rule: "channels of the output past the last",
            from: "channels < vec4(params.out_channels)",
            to: "channels >= vec4(0u)",
        },
        Mutation { rule: "sample", from: "/ columns / lines", to: "* 0u" },
        Mutation { rule: "line past the end", from: " && iy{{ i }} < params.height", to: "" },
        Mutation { rule: "column past the end", from: " && ix{{ i }} < params.width", to: "" },
        Mutation { rule: "lane of a weight", from: "(4 * q + k) % LANES", to: "(4 * q + k + 1) % LANES" },
        Mutation {
            rule: "channel past the end",
            from: "u < params.in_channels {",
            to: "u <= params.in_channels {",
        },
    ],
};

impl Conv2dGradInputSubgroup {
    /// Input pixels of one remainder by the stride in both directions, at most.
    fn pixels(&self) -> u32 {
        let (Window { samples, height, width, stride, .. }, _) =
            flatten(self.conv.window, self.conv.in_channels);
        samples * height.div_ceil(stride) * width.div_ceil(stride)
    }

    fn tile(&self) -> Tile {
        Tile::product(self.lanes, self.pixels(), flatten(self.conv.window, self.conv.in_channels).1)
    }
}

impl Kernel for Conv2dGradInputSubgroup {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.conv.params()
    }
    fn constants(&self) -> Vec<Constant> {
        Vec::new()
    }
    fn template(&self) -> Vec<Constant> {
        let (_, in_channels) = flatten(self.conv.window, self.conv.in_channels);
        let mut values = self.tile().template();
        values.push(Constant::new("IN_FOURS", u32::from(in_fours(in_channels))));
        values.push(Constant::new("OUT_FOURS", u32::from(in_fours(self.conv.out_channels))));
        values
    }
    fn subgroup(&self) -> Option<u32> {
        Some(self.lanes)
    }
    fn workgroups(&self) -> u64 {
        let (Window { stride, .. }, in_channels) = flatten(self.conv.window, self.conv.in_channels);
        u64::from(stride) * u64::from(stride) * self.tile().count(self.pixels(), in_channels)
    }
    fn lens(&self) -> Vec<u64> {
        self.conv.lens()
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.conv.window.taps()) * u64::from(self.conv.out_channels.div_ceil(4))
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
    let mut random = Random::new(48);
    let mut case = |conv: Conv2d, lanes: u32| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let plain = Conv2dGradInput { window: conv.into(), in_channels, out_channels };
        let grad = random.floats(conv.output_len(), -1.0, 2.0);
        let weight = random.floats(conv.weight_len(), -1.0, 1.0);
        let kernel = Conv2dGradInputSubgroup { conv: plain, lanes };
        Case::new(format!("{lanes} lanes {conv:?}"), kernel, vec![grad, weight, vec![]])
    };
    let deep = Conv2d::valid([2, 1, 1, 4], [1, 1], 240_001, 1);
    let mut cases = Vec::new();
    for lanes in CASE_LANES {
        let shapes = [shapes(), wide_shapes(), vec![deep]].concat().into_iter();
        cases.extend(shapes.map(|conv| case(conv, lanes)));
    }
    cases
}
