//! Gradient of the input of batch norm, pool and quantization in one pass. Numerics: `reference::norm::batch_norm_backward`
//! with the sums given, of the gradients that `reference::pool::Pool2d::max_pool_backward` and
//! `reference::activation::clip_backward` let through. Shader: `shaders/normalize_quantize_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::norm::batch_norm_backward_frozen;

use crate::{
    Case, Entry, Mutation, NormalizeQuantize, Random, WORKGROUP, Window,
    floats::{UNIT, to_f64},
    groups_for,
    normalize_quantize_backward_sums::inputs,
    pool::{apart_windows, to_reference, whole_image},
    quads::{standardized, template, unpack_route, unread},
};

/// What lies between the pool and x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalizeRule {
    /// Nothing; x, `coefficients` and `sums` are any buffers of 4 words and not read.
    None,
    /// A batch norm whose mean and variance are constants; x and `sums` are not read.
    Frozen,
    /// A batch norm whose mean and variance are those of a batch of this many rows.
    Batch(u32),
}

/// Writes `grad_input[input pixels][channels]` from `grad[output pixels][channels]`: to the tap that `route` names where
/// it passes, then through the batch norm, `slope * (dy - (sums[0] + xhat * sums[1]) / rows)`. `maxima[samples][parts]`
/// receives magnitudes whose maximum is the sample's largest.
#[derive(Clone, Copy, Debug)]
pub struct NormalizeQuantizeBackward {
    /// Geometry of the pool, 1x1 for none; the kernel is square and not larger than the stride.
    pub window: Window,
    /// Channels.
    pub channels: u32,
    /// What lies between the pool and x.
    pub rule: NormalizeRule,
    /// `grad_input` holds x before, and the binding x is any buffer of 4 words.
    pub in_place: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "normalize_quantize_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/normalize_quantize_backward.wgsl")),
        bindings: &[
            read("x"),
            read("grad"),
            read("route"),
            read("coefficients"),
            read("sums"),
            write("grad_input"),
            write("maxima"),
        ],
    },
    cases,
    mutations: &[
        Mutation { rule: "mask", from: "!= OUTSIDE), quad), passes)", to: "!= OUTSIDE), quad), !passes)" },
        Mutation { rule: "mean", from: " - n.mean", to: "" },
        Mutation { rule: "scale", from: " * n.scale", to: "" },
        Mutation { rule: "slope", from: "n.slope * ", to: "" },
        Mutation { rule: "gradient through the mean", from: "n.beta_sum + ", to: "" },
        Mutation { rule: "gradient through the variance", from: " + xhat * n.gamma_sum", to: "" },
        Mutation { rule: "rows of the whole batch", from: " * params.factor", to: "" },
        Mutation { rule: "tap", from: "tap == vec4(", to: "tap <= vec4(" },
        Mutation { rule: "plane of a tap", from: "{{ bit + 1 }}u * plane_words", to: "1u * plane_words" },
        Mutation { rule: "padding", from: " - params.pad_left", to: "" },
        Mutation { rule: "pixels between windows", from: "let dy = vec4(0.0);", to: "let dy = gradient;" },
        Mutation { rule: "sample", from: "(sample * height + y)", to: "y" },
        Mutation { rule: "magnitude", from: " & vec4(0x7fffffffu)", to: "" },
        Mutation { rule: "maximum", from: "largest = max(largest, ", to: "largest = min(largest, " },
        Mutation { rule: "last lanes", from: "largest.z, largest.w", to: "largest.x, largest.y" },
        Mutation {
            rule: "channels past the end",
            from: "select(vec4(0u), magnitude(dx), quad_channels(quad) < vec4(params.channels))",
            to: "magnitude(dx)",
        },
        Mutation { rule: "x in another place", from: "\"grad_input\" if IN_PLACE", to: "\"x\" if IN_PLACE" },
        Mutation { rule: "sums swapped", from: "sum(1u, quad)", to: "sum(0u, quad)" },
    ],
};

impl NormalizeQuantizeBackward {
    /// Maxima of one sample.
    pub fn parts(&self) -> u32 {
        self.blocks() * self.channels.div_ceil(32)
    }

    /// Steps of the window over one axis of the image, the part before the first window included.
    fn cells(size: u32, pad: u32, stride: u32) -> u32 {
        (size + pad).div_ceil(stride)
    }

    fn cells_across(&self) -> u32 {
        Self::cells(self.window.width, self.window.pad_left, self.window.stride)
    }

    /// Cells of one invocation.
    fn cells_of_block(&self) -> u32 {
        match self.window.stride {
            1 => 4,
            2 => 2,
            _ => 1,
        }
    }

    /// Blocks of one sample.
    fn blocks(&self) -> u32 {
        let down = Self::cells(self.window.height, self.window.pad_top, self.window.stride);
        (down * self.cells_across()).div_ceil(self.cells_of_block())
    }

    /// The maximum that element `index` of `grad_input` takes part in.
    fn part_of(&self, index: usize) -> usize {
        let Window { height, width, stride, pad_top, pad_left, .. } = self.window;
        let index = u32::try_from(index).expect("sizes of a dispatch fit 32 bits");
        let (pixel, channel) = (index / self.channels, index % self.channels);
        let (sample, y, x) = (pixel / width / height, pixel / width % height, pixel % width);
        let cell = (y + pad_top) / stride * self.cells_across() + (x + pad_left) / stride;
        let block = sample * self.blocks() + cell / self.cells_of_block();
        (block * self.channels.div_ceil(32) + channel / 32) as usize
    }
}

impl Kernel for NormalizeQuantizeBackward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let rows = match self.rule {
            NormalizeRule::Batch(rows) => rows,
            _ => 1,
        };
        let own = vec![
            Param::u32("channels", self.channels),
            Param::u32("cells_across", self.cells_across()),
            Param::u32("blocks", self.blocks()),
            Param::f32("factor", 1.0 / rows as f32),
        ];
        [self.window.params(), own].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        let own = [
            Constant::new("STRIDE", self.window.stride),
            Constant::new("CELLS", self.cells_of_block()),
            Constant::new("NORMALIZE", u32::from(self.rule != NormalizeRule::None)),
            Constant::new("FROZEN", u32::from(self.rule == NormalizeRule::Frozen)),
            Constant::new("IN_PLACE", u32::from(self.in_place)),
        ];
        [template(&self.window, self.channels), own.to_vec()].concat()
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.window.samples) * u64::from(self.parts()))
    }
    fn lens(&self) -> Vec<u64> {
        let (channels, unread) = (u64::from(self.channels), unread(self.channels));
        let inputs = u64::from(self.window.in_pixels()) * channels;
        let batch = matches!(self.rule, NormalizeRule::Batch(_));
        vec![
            if batch && !self.in_place { inputs } else { unread },
            u64::from(self.window.out_pixels()) * channels,
            NormalizeQuantize::route_words(&self.window, self.channels),
            if self.rule == NormalizeRule::None { unread } else { 4 * channels },
            if batch { 2 * channels } else { unread },
            inputs,
            u64::from(self.window.samples) * u64::from(self.parts()),
        ]
    }
    fn loop_trips(&self) -> u64 {
        32
    }
    fn work(&self) -> Work {
        let len = u64::from(self.window.in_pixels()) * u64::from(self.channels);
        Work { operations: 8 * len, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let pool = to_reference(&self.window, self.channels);
        let channels = self.channels as usize;
        let (passes, taps) = unpack_route(buffers[2], &self.window, self.channels);
        let mut grad = to_f64(buffers[1], self.window.out_pixels() * self.channels);
        grad.iter_mut().zip(&passes).filter(|(_, passes)| !**passes).for_each(|(grad, _)| *grad = 0.0);
        let mut through = pool.max_pool_backward(&grad, &taps);
        let mut sizes: Vec<f64> = through.iter().map(|dy| dy.abs()).collect();
        let mut units = 0.0;
        if let NormalizeRule::Batch(rows) = self.rule {
            let x =
                to_f64(buffers[if self.in_place { 5 } else { 0 }], self.window.in_pixels() * self.channels);
            let xhat = standardized(&x, &to_f64(buffers[3], 4 * self.channels));
            let sums = to_f64(buffers[4], 2 * self.channels);
            for (index, xhat) in xhat.iter().enumerate() {
                for term in [sums[index % channels], xhat * sums[channels + index % channels]] {
                    through[index] -= term / f64::from(rows);
                    sizes[index] += (term / f64::from(rows)).abs();
                }
            }
            // Difference and two products, their sum, the rounded factor and its product, and the last difference.
            units = 8.0;
        }
        if self.rule != NormalizeRule::None {
            let slope = &to_f64(buffers[3], 4 * self.channels)[2 * channels..3 * channels];
            let (zeros, ones) = (vec![0.0; channels], vec![1.0; channels]);
            let scaled =
                |values: &[f64]| batch_norm_backward_frozen(values, values, &zeros, &ones, slope, 0.0).input;
            (through, sizes) = (scaled(&through), scaled(&sizes));
            units += 2.0;
        }
        let bounds: Vec<f64> = sizes.iter().map(|size| units * UNIT * size.abs()).collect();
        let parts = (self.window.samples * self.parts()) as usize;
        let (mut maxima, mut errors) = (vec![0.0f64; parts], vec![0.0f64; parts]);
        for (index, (dx, bound)) in through.iter().zip(&bounds).enumerate() {
            let part = self.part_of(index);
            maxima[part] = maxima[part].max(dx.abs());
            errors[part] = errors[part].max(*bound);
        }
        vec![Expected::within(&through, &bounds), Expected::within(&maxima, &errors)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(64);
    let mut case = |window: Window, channels: u32, rule: NormalizeRule, in_place: bool| {
        let [x, grad, route, coefficients] = inputs(&mut random, &window, channels);
        let rows = match rule {
            NormalizeRule::Batch(rows) => rows as f32,
            _ => 1.0,
        };
        let sums = random.floats(2 * channels as usize, -rows, rows);
        let kernel = NormalizeQuantizeBackward { window, channels, rule, in_place };
        let label = format!("{window:?} channels {channels} {rule:?} in place {in_place}");
        let (x, before) = if in_place { (vec![0x7fc0_0000; 4], x) } else { (x, vec![]) };
        Case::new(label, kernel, vec![x, grad, route, coefficients, sums, before, vec![]])
    };
    use NormalizeRule::{Batch, Frozen, None};
    let mut cases = Vec::new();
    for (window, channels) in [
        (whole_image(1, 1, 1), 1),
        (whole_image(3, 1, 1), 31),
        (whole_image(2, 3, 3), 32),
        (whole_image(1, 7, 1), 33),
        (whole_image(1, 2, 3), 68),
        (whole_image(5, 3, 1), 97),
        (whole_image(1, 1, 2), 1028),
        (whole_image(1, 1021, 1), 1),
    ] {
        cases.push(case(window, channels, Batch(window.in_pixels()), false));
        cases.push(case(window, channels, Batch(window.in_pixels()), true));
    }
    for (window, channels) in apart_windows().into_iter().zip([5, 12, 37, 64, 3, 100, 48, 8]) {
        cases.push(case(window, channels, Batch(3 * window.in_pixels()), false));
        cases.push(case(window, channels, Batch(3 * window.in_pixels()), true));
        cases.push(case(window, channels + 1, Frozen, false));
        cases.push(case(window, channels, None, false));
    }
    cases.push(case(whole_image(2, 5, 1), 6, None, false));
    cases.push(case(whole_image(2, 5, 1), 8, Frozen, false));
    cases
}
