//! Partial sums of the gradients of beta and gamma behind a pool and a quantization. Numerics: the sums of
//! `reference::norm::batch_norm_backward_frozen`, of the gradients that `reference::pool::Pool2d::max_pool_backward` and
//! `reference::activation::clip_backward` let through. Shader: `shaders/normalize_quantize_backward_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::quantize::Rounding;

use crate::{
    Case, Entry, Mutation, NormalizeQuantize, Random, WORKGROUP, Window,
    floats::{UNIT, to_f64},
    groups_for,
    pool::{apart_windows, to_reference, whole_image},
    quads::{standardized, template, unpack_route},
};

/// Sums over groups of output pixels into `partials[ceil(output pixels / group)][2 * channels]`: first the sums of
/// `dy`, the gradient `grad[output pixels][channels]` where `route` passes it, then those of `dy * xhat` with xhat taken
/// at the tap that `route` names. A [`ColumnSum`](crate::ColumnSum) finishes them.
#[derive(Clone, Copy, Debug)]
pub struct NormalizeQuantizeBackwardSums {
    /// Geometry of the pool, 1x1 for none; the kernel is square.
    pub window: Window,
    /// Channels.
    pub channels: u32,
    /// Output pixels of one partial sum; the loop trips of an invocation.
    pub group: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "normalize_quantize_backward_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/normalize_quantize_backward_sums.wgsl")),
        bindings: &[read("x"), read("grad"), read("route"), read("coefficients"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last pixel of a group", from: "pixel < end", to: "pixel + 1u < end" },
        Mutation {
            rule: "last group shorter",
            from: "min(first + params.group, pixels)",
            to: "first + params.group",
        },
        Mutation {
            rule: "mask",
            from: "gradients(pixel, quad), passes",
            to: "gradients(pixel, quad), !passes",
        },
        Mutation { rule: "bits of a quad", from: "(quad & 7u) * 4u", to: "0u" },
        Mutation { rule: "word of a quad", from: "quad / 8u", to: "0u" },
        Mutation { rule: "mean", from: "value - mean", to: "value" },
        Mutation { rule: "scale", from: " * scale", to: "" },
        Mutation { rule: "row of the scale", from: "coefficient(1u", to: "coefficient(0u" },
        Mutation { rule: "tap", from: "tap == vec4(", to: "tap <= vec4(" },
        Mutation { rule: "plane of a tap", from: "{{ bit + 1 }}u * plane_words", to: "1u * plane_words" },
        Mutation { rule: "next window", from: "field = next_field(field)", to: "field = field_of(first)" },
        Mutation { rule: "layout of the two sums", from: "part * 2u", to: "part" },
        Mutation { rule: "second sum", from: "] = gamma_sum", to: "] = beta_sum" },
    ],
};

impl NormalizeQuantizeBackwardSums {
    /// Rows of the result, `ceil(output pixels / group)`.
    pub fn groups(&self) -> u32 {
        self.window.out_pixels().div_ceil(self.group)
    }
}

impl Kernel for NormalizeQuantizeBackwardSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let own = vec![Param::u32("channels", self.channels), Param::u32("group", self.group)];
        [self.window.params(), own].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        template(&self.window, self.channels)
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()) * u64::from(self.channels.div_ceil(4)))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        vec![
            u64::from(self.window.in_pixels()) * channels,
            u64::from(self.window.out_pixels()) * channels,
            NormalizeQuantize::route_words(&self.window, self.channels),
            4 * channels,
            2 * u64::from(self.groups()) * channels,
        ]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.group.min(self.window.out_pixels()))
    }
    fn work(&self) -> Work {
        let len = u64::from(self.window.out_pixels()) * u64::from(self.channels);
        Work { operations: 5 * len, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let pool = to_reference(&self.window, self.channels);
        let channels = self.channels as usize;
        let x = to_f64(buffers[0], self.window.in_pixels() * self.channels);
        let grad = to_f64(buffers[1], self.window.out_pixels() * self.channels);
        let (passes, taps) = unpack_route(buffers[2], &self.window, self.channels);
        let xhat = pool.at_taps(&standardized(&x, &to_f64(buffers[3], 4 * self.channels)), &taps);
        let mut sums = vec![0.0; 2 * self.groups() as usize * channels];
        let mut sizes = sums.clone();
        for (index, grad) in grad.iter().enumerate().filter(|(index, _)| passes[*index]) {
            let at = index / channels / self.group as usize * 2 * channels + index % channels;
            for (at, term) in [(at, *grad), (at + channels, grad * xhat[index])] {
                sums[at] += term;
                sizes[at] += term.abs();
            }
        }
        // The normalized value carries a difference and a product, the term one more.
        let terms = f64::from(self.group.min(self.window.out_pixels()) + 4);
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&sums, &bounds)]
    }
}

/// Pixels, gradients, a route and coefficients, as the forward pass leaves them.
pub(crate) fn inputs(random: &mut Random, window: &Window, channels: u32) -> [Vec<u32>; 4] {
    let x = random.floats((window.in_pixels() * channels) as usize, -1.0, 2.0);
    let rows = [(-0.5, 0.5), (0.5, 2.0), (-1.5, 1.5), (-0.25, 0.75)];
    let coefficients: Vec<u32> =
        rows.into_iter().flat_map(|(low, high)| random.floats(channels as usize, low, high)).collect();
    let rounding = Rounding::Even;
    let forward = NormalizeQuantize { window: *window, channels, bits: 1, normalize: true, rounding };
    let route = forward.expected(&[&x, &coefficients, &[], &[]]).remove(1).words;
    let grad = random.floats((window.out_pixels() * channels) as usize, -1.0, 2.0);
    [x, grad, route, coefficients]
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(63);
    let mut case = |window: Window, channels: u32, group: u32| {
        let [x, grad, route, coefficients] = inputs(&mut random, &window, channels);
        let kernel = NormalizeQuantizeBackwardSums { window, channels, group };
        let label = format!("{window:?} channels {channels} by {group}");
        Case::new(label, kernel, vec![x, grad, route, coefficients, vec![]])
    };
    let mut cases = Vec::new();
    for (samples, channels, group) in
        [(1, 1, 1), (7, 3, 7), (64, 65, 64), (65, 8, 64), (129, 36, 64), (127, 2, 5), (1021, 4, 1021)]
    {
        cases.push(case(whole_image(samples, 1, 1), channels, group));
    }
    for (window, channels) in apart_windows().into_iter().zip([5, 12, 37, 64, 3, 100, 48, 8]) {
        cases.push(case(window, channels, window.out_height * window.out_width));
        cases.push(case(window, channels + 1, 4));
    }
    cases.push(case(whole_image(1, 65_000, 1), 1, 65_000));
    cases
}
