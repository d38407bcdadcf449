//! Lines of taps as rows of vectors. Numerics: `reference::conv::unfold_lines`. Shader: `shaders/unfold_lines.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// `dst[line, ox, kx * channels + c] = src[line, ox + kx - pad_left, c]`, zero outside the line, and each row
/// padded with zeros to a multiple of four.
///
/// A convolution that moves by one pixel is one with a kernel of one column on the unfolded lines, whose channels
/// then come in fours. With a kernel of one column it only pads the channels of pixels, or rows of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfoldLines {
    /// Lines.
    pub lines: u32,
    /// Pixels of a line.
    pub width: u32,
    /// Channels of a pixel.
    pub channels: u32,
    /// Taps of a line.
    pub kernel_w: u32,
    /// Zeros left of a line.
    pub pad_left: u32,
    /// Positions of the kernel on a line.
    pub out_width: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "unfold_lines",
        source: Cow::Borrowed(include_str!("../../../shaders/unfold_lines.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "outside is zero", from: "first + at < length && ", to: "" },
        Mutation { rule: "padding of a row", from: " && at < params.kernel_w * params.channels", to: "" },
        Mutation { rule: "line", from: "line * length + first", to: "first" },
        Mutation { rule: "last vector", from: "quad < params.quads", to: "quad + 1u < params.quads" },
        Mutation { rule: "line past the end", from: "line >= params.lines", to: "line > params.lines" },
        Mutation { rule: "fourth value", from: "at + 3u", to: "at + 2u" },
    ],
};

impl UnfoldLines {
    /// Values of a row of the result.
    pub fn row(&self) -> u32 {
        (self.kernel_w * self.channels).next_multiple_of(4)
    }
}

impl Kernel for UnfoldLines {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("lines", self.lines),
            Param::u32("width", self.width),
            Param::u32("channels", self.channels),
            Param::u32("kernel_w", self.kernel_w),
            Param::u32("pad_left", self.pad_left),
            Param::u32("out_width", self.out_width),
            Param::u32("quads", self.row() / 4),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.lines) * u64::from(self.out_width))
    }
    fn lens(&self) -> Vec<u64> {
        let of = |width: u32, row: u32| u64::from(self.lines) * u64::from(width) * u64::from(row);
        vec![of(self.width, self.channels), of(self.out_width, self.row())]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.row() / 4)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [width, channels, kernel_w, pad_left, out_width, row] =
            [self.width, self.channels, self.kernel_w, self.pad_left, self.out_width, self.row()]
                .map(|size| size as usize);
        let src = &buffers[0][..self.lens()[0] as usize];
        let lines = src.chunks_exact(width * channels);
        let unfolded = lines.flat_map(|line| {
            reference::conv::unfold_line(line, channels, kernel_w, pad_left, out_width).into_iter().flat_map(
                move |mut taps: Vec<u32>| {
                    taps.resize(row, 0);
                    taps
                },
            )
        });
        vec![Expected::exact(unfolded.collect())]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(46);
    let mut case = |[lines, width, channels]: [u32; 3], [kernel_w, pad_left, out_width]: [u32; 3]| {
        let kernel = UnfoldLines { lines, width, channels, kernel_w, pad_left, out_width };
        let src = random.floats(kernel.lens()[0] as usize, -1.0, 1.0);
        Case::new(format!("{kernel:?}"), kernel, vec![src, vec![]])
    };
    vec![
        case([1, 1, 1], [1, 0, 1]),
        case([7, 1, 15], [1, 0, 1]),
        case([5, 9, 3], [5, 0, 5]),
        case([6, 9, 3], [5, 2, 9]),
        case([11, 4, 1], [7, 3, 4]),
        case([3, 13, 6], [3, 1, 13]),
        case([3, 2, 2], [4, 3, 2]),
        case([1, 67, 4], [1, 0, 67]),
    ]
}
