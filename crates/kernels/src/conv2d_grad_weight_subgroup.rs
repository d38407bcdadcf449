//! Gradient of the weight of a convolution of floats on subgroups. Numerics: `reference::conv::Conv2d`. Shader:
//! `shaders/conv2d_grad_weight_subgroup.wgsl`.

use std::borrow::Cow;

use recording::{Bound, Constant, Expected, Kernel, Param, Shader, Work, read, write};

use reference::conv::Conv2d;

use crate::{
    Case, Conv2dGradWeight, Entry, Mutation, Random, Window,
    conv2d::{CASE_LANES, STEPS, Tile, flatten, in_fours, shapes, wide_shapes},
};

/// [`Conv2dGradWeight`] with equal bits, for input channels in fours and subgroups of `lanes` lanes.
///
/// Of the weight's input channels only the first `kept_channels` are stored; the others are padding.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dGradWeightSubgroup {
    /// The convolution.
    pub conv: Conv2dGradWeight,
    /// Channels of the input that the partials hold.
    pub kept_channels: u32,
    /// Lanes of a subgroup.
    pub lanes: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_weight_subgroup",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_weight_subgroup.wgsl")),
        bindings: &[read("grad_output"), read("input"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "at.x + params.stride", to: "at.x + 1u" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: " < height{{ u }} &&", to: " < 0x80000000u &&" },
        Mutation {
            rule: "column right of the image",
            from: " && at{{ u }}.x + dx{{ i }} < params.width",
            to: "",
        },
        Mutation {
            rule: "positions past the last",
            from: "select(0u, params.height, p + {{ u }}u < positions)",
            to: "params.height",
        },
        Mutation {
            rule: "last part shorter",
            from: "min(params.samples_per_partial, params.samples - sample)",
            to: "params.samples_per_partial",
        },
        Mutation { rule: "part of the gradients", from: "let start = sample *", to: "let start = 0u *" },
        Mutation { rule: "part of the input", from: "Position(sample *", to: "Position(0u *" },
        Mutation { rule: "next sample", from: "select(0u, params.height, below)", to: "0u" },
        Mutation {
            rule: "channel past the end",
            from: "if channel < params.out_channels",
            to: "if channel <= params.out_channels",
        },
        Mutation { rule: "lane of a gradient", from: "+ j) % LANES }}u)", to: "+ j + 1) % LANES }}u)" },
        Mutation { rule: "position of a gradient", from: "min(p + u{{ h }},", to: "min(p," },
        Mutation { rule: "channel that is not kept", from: "u < params.kept_channels", to: "u < 4u" },
        Mutation { rule: "begin with 0", from: "if ACCUMULATE else", to: "if false else" },
        Mutation { rule: "part of a begin", from: "begin(part, first", to: "begin(0u, first" },
        Mutation {
            rule: "channel of a begin",
            from: "\"begin(part, first + \" ~ j",
            to: "\"begin(part, first + \" ~ 0",
        },
    ],
};

impl Conv2dGradWeightSubgroup {
    /// The kernel for `conv` that keeps all channels.
    pub fn new(conv: Conv2dGradWeight, lanes: u32) -> Self {
        Self { conv, kept_channels: conv.in_channels, lanes }
    }

    /// Whether the kernel computes `conv`.
    pub fn fits(conv: &Conv2dGradWeight) -> bool {
        in_fours(flatten(conv.window, conv.in_channels).1)
    }

    /// Window, input channels and kept channels as the shader gets them.
    fn flat(&self) -> (Window, u32, u32) {
        if self.kept_channels < self.conv.in_channels {
            return (self.conv.window, self.conv.in_channels, self.kept_channels);
        }
        let (window, in_channels) = flatten(self.conv.window, self.conv.in_channels);
        (window, in_channels, in_channels)
    }

    /// Vectors of consecutive inputs that one output channel multiplies.
    fn row(&self) -> u32 {
        let (window, in_channels, _) = self.flat();
        window.taps() * (in_channels / 4)
    }

    fn tile(&self) -> Tile {
        Tile::outer(self.lanes, self.row(), self.conv.out_channels)
    }
}

impl Kernel for Conv2dGradWeightSubgroup {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let (window, in_channels, kept_channels) = self.flat();
        let mut params = window.params();
        params.extend([
            Param::u32("in_channels", in_channels),
            Param::u32("out_channels", self.conv.out_channels),
            Param::u32("samples_per_partial", self.conv.samples_per_partial),
            Param::u32("kept_channels", kept_channels),
        ]);
        params
    }
    fn constants(&self) -> Vec<Constant> {
        Vec::new()
    }
    fn template(&self) -> Vec<Constant> {
        let (_, in_channels, kept_channels) = self.flat();
        let mut values = self.tile().template();
        values.push(Constant::new("STEPS", STEPS));
        values.push(Constant::new("OUT_FOURS", u32::from(in_fours(self.conv.out_channels))));
        values.push(Constant::new("KEPT_FOURS", u32::from(kept_channels == in_channels)));
        values.push(Constant::new("ACCUMULATE", u32::from(self.conv.accumulate)));
        values
    }
    fn subgroup(&self) -> Option<u32> {
        Some(self.lanes)
    }
    fn workgroups(&self) -> u64 {
        u64::from(self.conv.partials()) * self.tile().count(self.row(), self.conv.out_channels)
    }
    fn lens(&self) -> Vec<u64> {
        let mut lens = self.conv.lens();
        lens[2] = lens[2] / u64::from(self.conv.in_channels) * u64::from(self.kept_channels);
        lens
    }
    fn loop_trips(&self) -> u64 {
        let samples = self.conv.samples_per_partial.min(self.conv.window.samples);
        let Window { out_height, out_width, .. } = self.conv.window;
        (u64::from(samples) * u64::from(out_height) * u64::from(out_width)).div_ceil(u64::from(STEPS))
    }
    fn work(&self) -> Work {
        self.conv.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (stride, kept) = (self.conv.in_channels as usize, self.kept_channels as usize);
        let kept = |index: usize| index % stride < kept;
        let keep = |expected: Expected| {
            let words = expected.words.into_iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, w)| w);
            let bound = match expected.bound {
                Bound::Absolute(bounds) => {
                    let bounds = bounds.into_iter().enumerate().filter(|(at, _)| kept(*at));
                    Bound::Absolute(bounds.map(|(_, bound)| bound).collect())
                }
                other => other,
            };
            Expected { words: words.collect(), bound }
        };
        let mut start = vec![0; self.conv.lens()[2] as usize];
        if self.conv.accumulate {
            let places = (0..start.len()).filter(|index| kept(*index)).collect::<Vec<_>>();
            places.into_iter().zip(buffers[2]).for_each(|(at, &value)| start[at] = value);
        }
        self.conv.expected(&[buffers[0], buffers[1], &start]).into_iter().map(keep).collect()
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let (stride, kept) = (self.conv.in_channels as usize, self.kept_channels as usize);
        let padded = |index: usize| index / kept * stride + index % kept;
        let places: Vec<(usize, usize)> = indices.iter().map(|&index| (padded(index), index)).collect();
        Some(self.conv.expected_partials(buffers, &places))
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(49);
    let mut case = |conv: Conv2d, samples_per_partial: u32, lanes: u32, padding: u32, accumulate: bool| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let window = conv.into();
        let plain = Conv2dGradWeight { window, in_channels, out_channels, samples_per_partial, accumulate };
        let grad = random.floats(conv.output_len(), -1.0, 2.0);
        let input = random.floats(conv.input_len(), -1.0, 1.0);
        let kept_channels = in_channels - padding;
        let kernel = Conv2dGradWeightSubgroup { conv: plain, kept_channels, lanes };
        let label = format!(
            "{lanes} lanes {conv:?} samples per partial {samples_per_partial} padding {padding} accumulate {accumulate}"
        );
        let fits = Conv2dGradWeightSubgroup::fits(&plain) && (padding == 0 || in_channels.is_multiple_of(4));
        let start = if accumulate { random.floats(kernel.lens()[2] as usize, -4.0, 4.0) } else { vec![] };
        fits.then(|| Case::new(label, kernel, vec![grad, input, start]))
    };
    let deep = Conv2d::valid([1, 509, 515, 4], [1, 1], 1, 1);
    let mut cases = Vec::new();
    for lanes in CASE_LANES {
        let shapes = [shapes(), wide_shapes(), vec![deep]].concat().into_iter();
        for (conv, samples) in shapes.zip([1, 2, 100, 3].into_iter().cycle()) {
            cases.extend(case(conv, samples, lanes, 0, false));
        }
        for (conv, padding) in [
            (Conv2d::valid([3, 9, 5, 16], [5, 1], 12, 1), 1),
            (Conv2d::same([2, 6, 7, 4], [3, 3], 5, 2), 3),
            (Conv2d::valid([3, 2, 2, 8], [2, 2], 8, 1), 2),
        ] {
            cases.extend(case(conv, 2, lanes, padding, false));
            cases.extend(case(conv, 2, lanes, padding, true));
        }
        for conv in wide_shapes() {
            cases.extend(case(conv, 2, lanes, 0, true));
        }
    }
    cases
}
