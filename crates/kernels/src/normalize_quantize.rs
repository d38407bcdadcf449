//! Batch norm, maximum pool, clip, quantization and packing in one pass. Numerics: `reference::norm::batch_norm_forward`,
//! `reference::pool::Pool2d::max_pool_forward` and `reference::quantize::activation_codes`. Shader:
//! `shaders/normalize_quantize.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{bits, quantize::Rounding};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    floats::to_f64,
    groups_for,
    pool::{apart_windows, to_reference, whole_image},
    quads::{normalized, tap_bits, template, unread},
    rounding::{RoundedCodes, exact_band, rounding_band, rounding_number, shift_of},
    words_for,
};

/// From `x[input pixels][channels]`, `z = slope (x - mean) + beta` by the `coefficients` of
/// [`BatchNormCoefficients`](crate::BatchNormCoefficients), the maximum of z over the taps of each window, and of this
/// the codes `round(n clip(z, 0, 1))` as `planes[bits][output pixels][words]`. What the backward pass needs of it goes to
/// `route[1 + tap bits][output pixels][words]`: whether `0 <= z <= 1`, and the number of the first maximal tap.
#[derive(Clone, Copy, Debug)]
pub struct NormalizeQuantize {
    /// Geometry of the pool, 1x1 for none; the kernel is square.
    pub window: Window,
    /// Channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
    /// Whether x is normalized; otherwise `coefficients` is any buffer of 4 words and not read.
    pub normalize: bool,
    /// How codes are rounded.
    pub rounding: Rounding,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "normalize_quantize",
        source: Cow::Borrowed(include_str!("../../../shaders/normalize_quantize.wgsl")),
        bindings: &[read("x"), read("coefficients"), write("planes"), write("route")],
    },
    cases,
    mutations: &[
        Mutation { rule: "mean", from: " - n.mean", to: "" },
        Mutation { rule: "slope", from: " * n.slope", to: "" },
        Mutation { rule: "beta", from: " + n.beta", to: "" },
        Mutation { rule: "row of the slope", from: "coefficient(2u", to: "coefficient(1u" },
        Mutation { rule: "first maximum", from: "(z > best.value)", to: "(z >= best.value)" },
        Mutation { rule: "negative maxima", from: "(best.tap == NONE) | ", to: "" },
        Mutation { rule: "padding takes part", from: " & vec4(inside)", to: "" },
        Mutation { rule: "ties to even", from: "else \"round(\"", to: "else \"floor(0.5 + \"" },
        Mutation { rule: "ties up", from: "\"floor(0.5 + \" if", to: "\"round(\" if" },
        Mutation {
            rule: "upper end of a floor",
            from: "(1u << {{ BITS }}u) - 1u)",
            to: "1u << {{ BITS }}u)",
        },
        Mutation { rule: "floor of nested codes", from: "if ROUNDING == 2", to: "if ROUNDING == 3" },
        Mutation { rule: "upper bits", from: ">> vec4({{ SHIFT }}u)", to: "" },
        Mutation { rule: "clip above", from: "clamp(z, vec4(0.0), vec4(1.0))", to: "max(z, vec4(0.0))" },
        Mutation { rule: "lower end passes", from: "(z >= vec4(0.0))", to: "(z > vec4(0.0))" },
        Mutation { rule: "upper end passes", from: "(z <= vec4(1.0))", to: "(z < vec4(1.0))" },
        Mutation { rule: "upper end", from: " & (z <= vec4(1.0))", to: "" },
        Mutation { rule: "last channels of a row", from: " & exists", to: "" },
        Mutation {
            rule: "codes of the last channels",
            from: "select(vec4(0u), rounded, exists)",
            to: "rounded",
        },
        Mutation { rule: "place of a channel", from: "bits.z << 2u", to: "bits.z << 3u" },
        Mutation { rule: "pixels past the end", from: "} < pixels {", to: "} <= pixels {" },
        Mutation { rule: "next window", from: "next_field(field{{ i - 1 }})", to: "field_of(pixel0)" },
        Mutation { rule: "width of a line", from: "* params.width + x", to: "* params.out_width + x" },
    ],
};

impl NormalizeQuantize {
    /// Words of the route of `window` and `channels`.
    pub fn route_words(window: &Window, channels: u32) -> u64 {
        u64::from(1 + tap_bits(window)) * u64::from(window.out_pixels()) * u64::from(words_for(channels))
    }

    /// Output pixels of one invocation.
    fn pixels(&self) -> u32 {
        match self.window.taps() {
            1 => 4,
            2..=4 => 2,
            _ => 1,
        }
    }

    fn words(&self) -> u64 {
        u64::from(self.window.out_pixels()) * u64::from(words_for(self.channels))
    }
}

impl Kernel for NormalizeQuantize {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        [self.window.params(), vec![Param::u32("channels", self.channels)]].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        let own = [
            Constant::new("BITS", self.bits),
            Constant::new("NORMALIZE", u32::from(self.normalize)),
            Constant::new("PIXELS", self.pixels()),
            Constant::new("ROUNDING", rounding_number(self.rounding)),
            Constant::new("FACTOR", self.rounding.factor(self.bits) as u32),
            Constant::new("SHIFT", shift_of(self.rounding, self.bits)),
        ];
        [template(&self.window, self.channels), own.to_vec()].concat()
    }
    fn workgroups(&self) -> u64 {
        let blocks = self.window.out_pixels().div_ceil(self.pixels());
        groups_for(u64::from(blocks) * u64::from(words_for(self.channels)))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        vec![
            u64::from(self.window.in_pixels()) * channels,
            if self.normalize { 4 * channels } else { unread(self.channels) },
            u64::from(self.bits) * self.words(),
            Self::route_words(&self.window, self.channels),
        ]
    }
    fn loop_trips(&self) -> u64 {
        8
    }
    fn work(&self) -> Work {
        let len = u64::from(self.window.in_pixels()) * u64::from(self.channels);
        Work { operations: 8 * len, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let pool = to_reference(&self.window, self.channels);
        let x = to_f64(buffers[0], self.window.in_pixels() * self.channels);
        let (z, errors) = match self.normalize {
            true => normalized(&x, &to_f64(buffers[1], 4 * self.channels)),
            false => (x.clone(), vec![0.0; x.len()]),
        };
        let (maxima, taps) = pool.max_pool_forward(&z);
        let max_errors = pool.at_taps(&errors, &taps);
        // The second largest of each window, which may come out first where both are closer than their errors.
        let mut others = z.clone();
        for (z, won) in others.iter_mut().zip(pool.max_pool_backward(&vec![1.0; taps.len()], &taps)) {
            *z = if won > 0.0 { f64::NEG_INFINITY } else { *z };
        }
        let (seconds, second_taps) = pool.max_pool_forward(&others);
        let second_errors = pool.at_taps(&errors, &second_taps);
        let (firsts, rivals) = (pool.at_taps(&x, &taps), pool.at_taps(&x, &second_taps));

        let n = self.rounding.factor(self.bits);
        let mut codes = RoundedCodes::rounded(self.bits, self.rounding);
        let (mut routes, mut alternatives) = (Vec::new(), Vec::new());
        for (at, (&z, &error)) in maxima.iter().zip(&max_errors).enumerate() {
            // The clip leaves no doubt beyond its ends.
            let clipped = !(z - error < 1.0 && z + error > 0.0);
            let doubt = match error {
                _ if clipped => 0.0,
                0.0 => exact_band(z, self.bits, self.rounding),
                _ => rounding_band(n * z.clamp(0.0, 1.0)) + n * error,
            };
            codes.push(z, doubt);
            let route = |passes: bool, tap: u32| u32::from(passes) | tap << 1;
            let passes = (0.0..=1.0).contains(&z);
            let open = z.abs() < error || (z - 1.0).abs() < error;
            // Equal values stay equal on a device, and the first of them wins.
            let close = seconds[at] + second_errors[at] >= z - error && rivals[at] != firsts[at];
            routes.push(route(passes, taps[at]));
            alternatives.push(route(passes != open, if close { second_taps[at] } else { taps[at] }));
        }
        let (rows, channels, planes) =
            (self.window.out_pixels() as usize, self.channels as usize, 1 + tap_bits(&self.window));
        let pack = |codes: &[u32]| bits::pack(codes, rows, channels, planes);
        vec![
            codes.expected(self.window.out_pixels(), self.channels),
            Expected::codes(pack(&routes), planes as usize, pack(&alternatives)),
        ]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(62);
    let mut case = |window: Window, channels: u32, bits: u32, normalize: bool, rounding: Rounding| {
        let kernel = NormalizeQuantize { window, channels, bits, normalize, rounding };
        let (len, c) = ((window.in_pixels() * channels) as usize, channels as usize);
        let mut x = random.floats(len, -1.0, 2.0);
        // Whole windows of equal, of negative and of special values.
        let special =
            [0.5, -0.0, 0.0, 1.0, 0.5, 1.0, -1.0, 0.0, -3e38, 3e38, 0.25, 0.75, 1e-30, f32::INFINITY];
        for (x, special) in x.iter_mut().step_by(7).zip(special) {
            *x = special.to_bits();
        }
        let rows = [(-0.5, 0.5), (0.5, 2.0), (-1.5, 1.5), (-0.25, 0.75)];
        let coefficients: Vec<u32> =
            rows.into_iter().flat_map(|(low, high)| random.floats(c, low, high)).collect();
        let label = format!("{window:?} channels {channels} bits {bits} normalize {normalize} {rounding:?}");
        Case::new(label, kernel, vec![x, coefficients, vec![], vec![]])
    };
    use Rounding::{Even, Floor, MidRise, Shift};
    let single = |samples, height, width| whole_image(samples, height, width);
    let mut cases = Vec::new();
    for (window, channels) in [
        (single(1, 1, 1), 1),
        (single(3, 1, 1), 31),
        (single(2, 3, 3), 32),
        (single(1, 7, 1), 33),
        (single(1, 2, 3), 68),
        (single(5, 3, 1), 97),
        (single(1, 1, 2), 1028),
        (single(1, 1021, 1), 1),
    ] {
        cases.push(case(window, channels, 2, true, Even));
    }
    for (window, channels) in apart_windows().into_iter().zip([5, 12, 37, 64, 3, 100, 48, 8]) {
        cases.push(case(window, channels, 2, true, Even));
        cases.push(case(window, channels, 3, false, Even));
    }
    cases.extend((1..=8).map(|bits| case(single(2, 3, 2), 45, bits, true, Even)));
    cases.extend([1, 8].map(|bits| case(apart_windows()[0], 20, bits, false, Even)));
    cases.extend([1, 3, 8].map(|bits| case(single(2, 3, 2), 45, bits, true, Floor)));
    for rule in [MidRise, Shift { from: 8 }] {
        cases.extend((1..=8).map(|bits| case(single(2, 3, 2), 45, bits, true, rule)));
        cases.push(case(apart_windows()[0], 20, 2, false, rule));
    }
    cases.push(case(single(2, 5, 1), 6, 4, false, Even));
    // Few different values, so that a window has several maxima and products fall halfway between two codes.
    let coarse = [(0, true), (1, true), (0, false), (3, false), (5, false)];
    for ((window, normalize), rounding) in
        coarse.into_iter().flat_map(|c| [(c, Even), (c, Floor), (c, MidRise)])
    {
        let mut case = case(apart_windows()[window], 20, 1, normalize, rounding);
        let coarse = |word: &mut u32| *word = ((f32::from_bits(*word) * 2.0).round() / 2.0).to_bits();
        case.inputs[0].iter_mut().for_each(coarse);
        case.label += " coarse";
        cases.push(case);
    }
    cases
}
