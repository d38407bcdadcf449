//! A border around images. Numerics: `reference::binary::padded`. Shader: `shaders/pad_image.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::binary::{Border, padded};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Writes `dst[samples][out_height][out_width][channels]`: the images `src[samples][height][width][channels]` from pixel
/// (top, left) on, cut where they are too large, and `value` around them.
#[derive(Clone, Copy, Debug)]
pub struct PadImage {
    /// Images.
    pub samples: u32,
    /// Height and width of an image.
    pub size: (u32, u32),
    /// Channels.
    pub channels: u32,
    /// Height and width of a result.
    pub out_size: (u32, u32),
    /// Lines above an image, and pixels left of it.
    pub first: (u32, u32),
    /// Value of the border.
    pub value: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "pad_image",
        source: Cow::Borrowed(include_str!("../../../shaders/pad_image.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "lines above", from: "- params.top", to: "" },
        Mutation { rule: "pixels on the left", from: "- params.left", to: "" },
        Mutation { rule: "below the image", from: "y < params.height &&", to: "" },
        Mutation { rule: "right of the image", from: "&& x < params.width", to: "" },
        Mutation { rule: "sample", from: "sample * params.height", to: "0u" },
        Mutation { rule: "channel", from: "+ channel]", to: "]" },
        Mutation { rule: "border", from: "= params.value", to: "= 0.0" },
    ],
};

impl PadImage {
    fn border(&self) -> Border {
        let sizes = |(height, width): (u32, u32)| [height as usize, width as usize];
        Border {
            size: sizes(self.size),
            out_size: sizes(self.out_size),
            first: sizes(self.first),
            channels: self.channels as usize,
        }
    }
}

impl Kernel for PadImage {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("height", self.size.0),
            Param::u32("width", self.size.1),
            Param::u32("channels", self.channels),
            Param::u32("out_height", self.out_size.0),
            Param::u32("out_width", self.out_size.1),
            Param::u32("top", self.first.0),
            Param::u32("left", self.first.1),
            Param::f32("value", self.value),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.lens()[1])
    }
    fn lens(&self) -> Vec<u64> {
        let of = |(height, width): (u32, u32)| {
            [self.samples, height, width, self.channels].into_iter().map(u64::from).product()
        };
        vec![of(self.size), of(self.out_size)]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let images = &buffers[0][..self.lens()[0] as usize];
        vec![Expected::exact(padded(images, self.border(), self.value.to_bits()))]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(62);
    let mut case = |samples: u32, size, channels, out_size, first| {
        let kernel = PadImage { samples, size, channels, out_size, first, value: 1.25 };
        let images = random.floats(kernel.lens()[0] as usize, -1.0, 1.0);
        Case::new(format!("{samples}x{size:?}x{channels} to {out_size:?}"), kernel, vec![images, vec![]])
    };
    vec![
        case(1, (1, 1), 1, (1, 1), (0, 0)),
        case(2, (3, 4), 1, (5, 6), (1, 1)),
        case(3, (5, 3), 7, (7, 6), (0, 2)),
        case(2, (4, 5), 33, (3, 9), (1, 3)),
        case(2, (6, 6), 5, (5, 4), (0, 0)),
    ]
}
