//! Gradient of the weight of a convolution of floats. Numerics: `reference::conv::Conv2d`. Shader:
//! `shaders/conv2d_grad_weight.wgsl`, or `shaders/conv2d_grad_weight_vec4.wgsl` where the input channels come
//! in fours, or else `shaders/conv2d_grad_weight_image.wgsl` where short lines of taps move by one pixel.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::conv::Conv2d;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    conv2d::{TILE, flatten, in_fours, shapes},
    conv2d_grad_weight_image, conv2d_grad_weight_vec4,
    floats::{UNIT, float_at, sum_of_products, to_f64},
    groups_for,
};

/// `partials[s, co, ky, kx, ci] = sum over (n, oy, ox) of grad_output[n, oy, ox, co] * input[n, iy, ix, ci]`
/// over the samples `n` of part `s`, `samples_per_partial` a part; a [`ColumnSum`](crate::ColumnSum) over the
/// parts finishes the gradient. With `accumulate` the sums begin with what `partials` holds.
///
/// Parts keep the loop of an invocation below its limit and give wide devices enough invocations.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dGradWeight {
    /// Geometry.
    pub window: Window,
    /// Channels of the input.
    pub in_channels: u32,
    /// Channels of the output.
    pub out_channels: u32,
    /// Samples of one part; times the output positions of a sample, the loop trips of an invocation.
    pub samples_per_partial: u32,
    /// Whether a sum begins with what `partials` holds; samples given in turn then add up to the same bits as together.
    pub accumulate: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "conv2d_grad_weight",
        source: Cow::Borrowed(include_str!("../../../shaders/conv2d_grad_weight.wgsl")),
        bindings: &[read("grad_output"), read("input"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "stride", from: "x += params.stride", to: "x += 1u" },
        Mutation { rule: "padding above", from: " - params.pad_top", to: "" },
        Mutation { rule: "padding left", from: " - params.pad_left", to: "" },
        Mutation { rule: "row below the image", from: "(y + dy < vec4(params.height)) & ", to: "" },
        Mutation { rule: "column right of the image", from: " & (x + dx < vec4(params.width))", to: "" },
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
        Mutation { rule: "outside is zero", from: "select(vec4(0.0), read, inside)", to: "read" },
        Mutation { rule: "end of a row", from: "if count > 3u", to: "if count > 2u" },
        Mutation { rule: "begin with 0", from: "if ACCUMULATE", to: "if false" },
        Mutation { rule: "begin with what is there", from: "if ACCUMULATE", to: "if true" },
        Mutation { rule: "channel of a begin", from: "channel + 5u, k", to: "channel + 4u, k" },
    ],
};

impl Conv2dGradWeight {
    fn conv(&self) -> Conv2d {
        self.window.to_reference(self.in_channels, self.out_channels)
    }

    /// Whether the lines of taps are short ones that overlap from position to position, for vectors of output
    /// channels.
    fn is_image(&self) -> bool {
        let window = self.flat().0;
        let fits = window.stride == 1 && (2..=5).contains(&window.kernel_w);
        fits && !in_fours(self.in_channels) && self.out_channels.is_multiple_of(TILE)
    }

    /// Window and input channels as the shader gets them.
    fn flat(&self) -> (Window, u32) {
        flatten(self.window, self.in_channels)
    }

    /// Parts, `ceil(samples / samples_per_partial)`.
    pub fn partials(&self) -> u32 {
        self.window.samples.div_ceil(self.samples_per_partial)
    }
}

impl Conv2dGradWeight {
    /// Some of the partials: the number of each, and the word of `buffers[2]` that holds it.
    pub(crate) fn expected_partials(&self, buffers: &[&[u32]], places: &[(usize, usize)]) -> Expected {
        let conv = self.conv();
        let value = |&(index, place): &(usize, usize)| {
            let first = index / conv.weight_len() * self.samples_per_partial as usize;
            let end = conv.samples.min(first + self.samples_per_partial as usize);
            let terms = conv.terms_of_weight(index % conv.weight_len(), first..end);
            let (sum, size) = sum_of_products(buffers[0], buffers[1], &terms);
            let start = if self.accumulate { float_at(buffers[2], place) } else { 0.0 };
            let count = ((end - first) * conv.positions() + 2) as f64;
            (sum + start, count * UNIT * (size + start.abs()))
        };
        let (values, bounds): (Vec<f64>, Vec<f64>) = places.iter().map(value).unzip();
        Expected::within(&values, &bounds)
    }
}

impl Kernel for Conv2dGradWeight {
    fn shader(&self) -> &Shader {
        if in_fours(self.flat().1) {
            &conv2d_grad_weight_vec4::ENTRY.shader
        } else if self.is_image() {
            &conv2d_grad_weight_image::ENTRY.shader
        } else {
            &ENTRY.shader
        }
    }
    fn params(&self) -> Vec<Param> {
        let (window, in_channels) = self.flat();
        let mut params = window.params();
        params
            .extend([Param::u32("in_channels", in_channels), Param::u32("out_channels", self.out_channels)]);
        params.push(Param::u32("samples_per_partial", self.samples_per_partial));
        params
    }
    fn constants(&self) -> Vec<Constant> {
        let mut constants = vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("ACCUMULATE", u32::from(self.accumulate)),
        ];
        if self.is_image() {
            constants.push(Constant::new("KERNEL_W", self.window.kernel_w));
        }
        constants
    }
    fn workgroups(&self) -> u64 {
        if self.is_image() {
            let lines = u64::from(self.window.kernel_h * self.in_channels);
            return groups_for(lines * u64::from(self.out_channels / TILE) * u64::from(self.partials()));
        }
        let tile = if in_fours(self.flat().1) { 2 * TILE } else { TILE };
        let row = self.window.taps() * self.in_channels;
        let tiles = u64::from(row.div_ceil(tile)) * u64::from(self.out_channels.div_ceil(2 * TILE));
        groups_for(tiles * u64::from(self.partials()))
    }
    fn lens(&self) -> Vec<u64> {
        let conv = self.conv();
        let partials = u64::from(self.partials()) * conv.weight_len() as u64;
        vec![conv.output_len() as u64, conv.input_len() as u64, partials]
    }
    fn loop_trips(&self) -> u64 {
        let samples = self.samples_per_partial.min(self.window.samples);
        let lines = u64::from(samples) * u64::from(self.window.out_height);
        lines * (u64::from(self.window.out_width) + u64::from(self.is_image()))
    }
    fn work(&self) -> Work {
        let products = (self.conv().output_len() * self.conv().taps()) as u64 * u64::from(self.in_channels);
        Work { operations: 2 * products, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let conv = self.conv();
        let [grad, input] =
            [(0, conv.output_len()), (1, conv.input_len())].map(|(at, len)| to_f64(buffers[at], len as u32));
        let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let per_sample = (conv.output_len() / conv.samples, conv.input_len() / conv.samples);
        let (mut partials, mut bounds) = (vec![], vec![]);
        for first in (0..conv.samples).step_by(self.samples_per_partial as usize) {
            let end = conv.samples.min(first + self.samples_per_partial as usize);
            let part = Conv2d { samples: end - first, ..conv };
            let grad = &grad[first * per_sample.0..end * per_sample.0];
            let input = &input[first * per_sample.1..end * per_sample.1];
            partials.extend(part.grad_weight(grad, input));
            let terms = (part.samples * part.positions() + 2) as f64;
            bounds.extend(part.grad_weight(&size(grad), &size(input)).iter().map(|size| terms * UNIT * size));
        }
        if self.accumulate {
            let start = to_f64(buffers[2], self.lens()[2] as u32);
            let terms = (self.samples_per_partial as usize * conv.positions() + 2) as f64;
            for ((partial, bound), start) in partials.iter_mut().zip(&mut bounds).zip(start) {
                *partial += start;
                *bound += terms * UNIT * start.abs();
            }
        }
        vec![Expected::within(&partials, &bounds)]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let places: Vec<(usize, usize)> = indices.iter().map(|&index| (index, index)).collect();
        Some(self.expected_partials(buffers, &places))
    }
}

fn cases() -> Vec<Case> {
    cases_of(&ENTRY)
}

/// The cases that run the shader of `entry`.
pub(crate) fn cases_of(entry: &Entry) -> Vec<Case> {
    let mut random = Random::new(43);
    let kernel_of = |conv: Conv2d, samples_per_partial: u32| {
        let (in_channels, out_channels) = (conv.in_channels as u32, conv.out_channels as u32);
        let window = conv.into();
        Conv2dGradWeight { window, in_channels, out_channels, samples_per_partial, accumulate: false }
    };
    let mut case = |conv: Conv2d, samples_per_partial: u32, accumulate: bool| {
        let kernel = Conv2dGradWeight { accumulate, ..kernel_of(conv, samples_per_partial) };
        let grad = random.floats(conv.output_len(), -1.0, 2.0);
        let input = random.floats(conv.input_len(), -1.0, 1.0);
        let start = if accumulate { random.floats(kernel.lens()[2] as usize, -4.0, 4.0) } else { vec![] };
        Case::new(
            format!("{conv:?} samples per partial {samples_per_partial} accumulate {accumulate}"),
            kernel,
            vec![grad, input, start],
        )
    };
    let mut shapes = shapes();
    shapes.extend([1, 4].map(|depth| Conv2d::valid([1, 251, 251, depth], [1, 1], 1, 1)));
    shapes.retain(|&conv| kernel_of(conv, 1).shader().name == entry.shader.name);
    shapes
        .into_iter()
        .zip([1, 2, 100, 3].into_iter().cycle())
        .flat_map(|(conv, samples)| [false, true].map(|accumulate| case(conv, samples, accumulate)))
        .collect()
}
