//! The layers between convolutions. All f32 arithmetic is one rounded operation after the other, in the order written.

use fearless_simd::{Level, Simd, dispatch};

use crate::{
    check::Map,
    codes::{Code, levels},
    manifest::{CodeGroup, Form, Planes, Quantize, Rounding, Rule, Window},
};

/// Comparisons that turn integer sums into codes.
#[derive(Clone, Debug)]
pub struct Thresholds {
    /// All ones in channels whose codes fall while the sum grows, for the complement then grows.
    flips: Vec<i32>,
    /// What the sum, or its complement, must reach for each code from 1 on, `[code][channel]`.
    bounds: Vec<i32>,
}

impl Thresholds {
    pub fn new(thresholds: &[i32], ascending: &[u8]) -> Self {
        let channels = ascending.len();
        // `v < t` where `!v >= -t`; no sum reaches the largest integer.
        let bound = |(at, &threshold): (usize, &i32)| match ascending[at % channels] {
            1 => threshold,
            _ => threshold.checked_neg().unwrap_or(i32::MAX),
        };
        Self {
            flips: ascending.iter().map(|&direction| i32::from(direction) - 1).collect(),
            bounds: thresholds.iter().enumerate().map(bound).collect(),
        }
    }

    /// Codes of `sums`, which are changed.
    pub fn run(&self, level: Level, sums: &mut [i32], codes: &mut [u8]) {
        dispatch!(level, simd => self.run_with(simd, sums, codes));
    }

    #[inline(always)]
    fn run_with<S: Simd>(&self, simd: S, sums: &mut [i32], codes: &mut [u8]) {
        simd.vectorize(
            #[inline(always)]
            || {
                let channels = self.flips.len();
                codes.fill(0);
                for (sums, codes) in sums.chunks_exact_mut(channels).zip(codes.chunks_exact_mut(channels)) {
                    sums.iter_mut().zip(&self.flips).for_each(|(sum, flip)| *sum ^= flip);
                    for bounds in self.bounds.chunks_exact(channels) {
                        for ((code, sum), bound) in codes.iter_mut().zip(&*sums).zip(bounds) {
                            *code = code.wrapping_add(u8::from(sum >= bound));
                        }
                    }
                }
            },
        );
    }
}

/// Maxima over windows; taps outside the map take no part.
pub fn max_pool<T: Copy>(
    level: Level,
    window: &Window,
    (input, output): (Map, Map),
    source: &[T],
    result: &mut [T],
    larger: impl Fn(T, T) -> T,
) {
    dispatch!(level, simd => simd.vectorize(
        #[inline(always)]
        || {
            let channels = input.channels as usize;
            let [top, _, left, _] = window.padding.map(|size| size as usize);
            let stride = window.stride as usize;
            for (pixel, result) in result.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (pixel / output.width as usize * stride, pixel % output.width as usize * stride);
                let rows = y.saturating_sub(top)..(y + window.kernel[0] as usize - top).min(input.height as usize);
                let mut first = true;
                for row in rows {
                    let from = x.saturating_sub(left);
                    for column in from..(x + window.kernel[1] as usize - left).min(input.width as usize) {
                        let source = &source[(row * input.width as usize + column) * channels..][..channels];
                        if first {
                            result.copy_from_slice(source);
                        } else {
                            result.iter_mut().zip(source).for_each(|(max, value)| *max = larger(*max, *value));
                        }
                        first = false;
                    }
                }
            }
        },
    ));
}

/// Means over windows: the sum of the taps inside the map in order, by their number.
pub fn average_pool(window: &Window, (input, output): (Map, Map), source: &[f32], result: &mut [f32]) {
    let channels = input.channels as usize;
    let [top, _, left, _] = window.padding.map(|size| size as usize);
    let [kernel_h, kernel_w] = window.kernel.map(|size| size as usize);
    let (height, width, stride) = (input.height as usize, input.width as usize, window.stride as usize);
    for (pixel, result) in result.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (pixel / output.width as usize * stride, pixel % output.width as usize * stride);
        result.fill(0.0);
        let mut count = 0.0;
        for row in y.saturating_sub(top)..(y + kernel_h - top).min(height) {
            for column in x.saturating_sub(left)..(x + kernel_w - left).min(width) {
                let source = &source[(row * width + column) * channels..][..channels];
                result.iter_mut().zip(source).for_each(|(sum, value)| *sum += value);
                count += 1.0;
            }
        }
        result.iter_mut().for_each(|sum| *sum /= count);
    }
}

/// Numbers to codes.
#[derive(Clone, Debug)]
pub struct Quantizer {
    rule: Rule,
    /// Factor and step of each channel, where they have their own.
    channels: Vec<(f32, u8)>,
    /// Factor and largest number of each channel, where groups of codes are apart.
    apart: Vec<(f32, f32)>,
    /// The largest number before bits are cut off.
    largest: f32,
}

impl Quantizer {
    /// `widths` are those of the channels, where they have their own, and `groups` the channels' groups of codes, where these are
    /// apart.
    pub fn new(quantize: &Quantize, widths: &[u8], groups: &[u8]) -> Self {
        let factor = levels(quantize.bits) as f32;
        let usual = Rule { form: Form::Clip, inverse: 1.0, factor, rounding: Rounding::Even, drop: 0 };
        let rule = quantize.rule.unwrap_or(usual);
        let channel = |width: &u8| {
            let own = levels(u32::from(*width));
            (own as f32, (levels(quantize.bits) / own) as u8)
        };
        let channels = widths.iter().map(channel).collect();
        let planes: Vec<u32> =
            quantize.codes.iter().flat_map(|codes| &codes.groups).map(|group| group.planes).collect();
        let of_group = |group: &u8| {
            let most = levels(planes[usize::from(*group)]) as f32;
            (if rule.rounding == Rounding::Even { most } else { most + 1.0 }, most)
        };
        let apart = groups.iter().map(of_group).collect();
        Self { rule, channels, apart, largest: levels(quantize.bits + rule.drop) as f32 }
    }

    pub fn run(&self, level: Level, values: &[f32], codes: &mut [u8]) {
        let inverse = self.rule.inverse;
        match self.rule.form {
            Form::Clip if !self.apart.is_empty() => {
                let channels = self.apart.len();
                for (codes, values) in codes.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
                    for ((code, x), (factor, most)) in codes.iter_mut().zip(values).zip(&self.apart) {
                        let number = factor * unit(*x);
                        let even = self.rule.rounding == Rounding::Even;
                        let rounded = if even { number.round_ties_even() } else { number.floor() };
                        *code = rounded.min(*most) as u8;
                    }
                }
            }
            Form::Clip => self.round(level, values, codes, |x| unit(inverse * x)),
            Form::Magnitude => self.round(level, values, codes, |x| (inverse * x).abs().min(1.0)),
            Form::ClipByChannel => {
                let channels = self.channels.len();
                for (codes, values) in codes.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
                    for ((code, x), (factor, step)) in codes.iter_mut().zip(values).zip(&self.channels) {
                        *code = (factor * unit(*x)).round_ties_even() as u8 * step;
                    }
                }
            }
            Form::Sign => codes.iter_mut().zip(values).for_each(|(code, x)| *code = u8::from(*x >= 0.0)),
        }
    }

    #[inline(always)]
    fn round(&self, level: Level, values: &[f32], codes: &mut [u8], limited: impl Fn(f32) -> f32 + Copy) {
        let Self { rule: Rule { factor, rounding, drop, .. }, largest, .. } = *self;
        let product = |x: f32| factor * limited(x);
        // The lowest byte of an integer that is added to 2^23 is that integer.
        let code = |rounded: f32| (rounded.min(largest) + 8_388_608.0).to_bits() as u8 >> drop;
        match rounding {
            Rounding::Even => each(level, values, codes, |x| code(product(x).round_ties_even())),
            Rounding::HalfUp => each(level, values, codes, |x| code((product(x) + 0.5).floor())),
            Rounding::Down => each(level, values, codes, |x| code(product(x).floor())),
        }
    }
}

/// `min(max(x, 0), 1)`, and 0 for what is no number.
#[inline(always)]
fn unit(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

#[inline(always)]
fn each(level: Level, values: &[f32], codes: &mut [u8], code_of: impl Fn(f32) -> u8 + Copy) {
    dispatch!(level, simd => simd.vectorize(
        #[inline(always)]
        || codes.iter_mut().zip(values).for_each(|(code, value)| *code = code_of(*value)),
    ));
}

/// `f32(sum) * factor` with a factor for each channel.
pub fn rescale(factors: &[f32], sums: &[i32], values: &mut [f32]) {
    let channels = factors.len();
    for (values, sums) in values.chunks_exact_mut(channels).zip(sums.chunks_exact(channels)) {
        values
            .iter_mut()
            .zip(sums)
            .zip(factors)
            .for_each(|((value, sum), factor)| *value = *sum as f32 * factor);
    }
}

/// What every code stands for, in a table for each of groups apart, else in one.
pub fn code_values(code: &Code) -> Vec<Vec<f32>> {
    let value = |groups: &[CodeGroup], number: u32| {
        let terms = groups.iter().map(|group| {
            let own = (number >> group.first & levels(group.planes)) as i32;
            let integer =
                if code.planes == Planes::Unit { own } else { 2 * own - levels(group.planes) as i32 };
            group.factor * integer as f32
        });
        terms.reduce(|sum, term| sum + term).unwrap_or(0.0)
    };
    let together = if code.apart { 1 } else { code.groups().len() };
    let of_groups = |groups| (0..1 << code.bits).map(|number| value(groups, number)).collect();
    code.groups().chunks(together).map(of_groups).collect()
}

/// Codes to what they stand for, by the table of each channel's group where `groups` says these.
pub fn dequantize(tables: &[Vec<f32>], groups: &[u8], codes: &[u8], values: &mut [f32]) {
    if let [table] = tables {
        values.iter_mut().zip(codes).for_each(|(value, code)| *value = table[usize::from(*code)]);
        return;
    }
    for ((value, code), group) in values.iter_mut().zip(codes).zip(groups.iter().cycle()) {
        *value = tables[usize::from(*group)][usize::from(*code)];
    }
}

/// A number added to each channel.
pub fn add_bias(bias: &[f32], values: &mut [f32]) {
    for pixel in values.chunks_exact_mut(bias.len()) {
        pixel.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

/// Batch norm with running statistics.
#[derive(Clone, Debug)]
pub struct BatchNormalization {
    mean: Vec<f32>,
    slope: Vec<f32>,
    beta: Vec<f32>,
}

impl BatchNormalization {
    pub fn new([gamma, beta, mean, variance]: [&[f32]; 4], epsilon: f32) -> Self {
        let slope =
            gamma.iter().zip(variance).map(|(gamma, variance)| gamma * (1.0 / (variance + epsilon).sqrt()));
        Self { mean: mean.to_vec(), slope: slope.collect(), beta: beta.to_vec() }
    }

    pub fn run(&self, values: &mut [f32]) {
        for pixel in values.chunks_exact_mut(self.mean.len()) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = (*value - self.mean[channel]) * self.slope[channel] + self.beta[channel];
            }
        }
    }
}

/// Mean over all pixels: their sum in order, times `1 / pixels`.
pub fn global_average_pool(input: Map, values: &[f32], means: &mut [f32]) {
    means.fill(0.0);
    for pixel in values.chunks_exact(input.channels as usize) {
        means.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    let factor = 1.0 / input.pixels() as f32;
    means.iter_mut().for_each(|mean| *mean *= factor);
}
