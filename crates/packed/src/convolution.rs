//! Convolution in f32. Every output adds its products one after the other in the order (ky, kx, ci), each product and each
//! sum rounded, and then the bias; taps outside the map count as what the description says. So the result is the same on every processor.

use fearless_simd::{Level, dispatch, f32x16, prelude::*};

use crate::{
    check::Map,
    manifest::{self, Window},
};

/// Output channels that are computed side by side.
const LANES: usize = 16;
/// Output pixels that share one load of the weights.
const PIXELS: usize = 4;

/// A convolution with weights in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Convolution {
    window: Window,
    groups: usize,
    input: Map,
    output: Map,
    /// Per group and block of channels: the lanes of every tap.
    weights: Vec<Vec<[f32; LANES]>>,
    bias: Vec<f32>,
    outside: f32,
}

impl Convolution {
    pub fn new(conv: &manifest::Convolution, input: Map, output: Map, weight: &[f32], bias: &[f32]) -> Self {
        let groups = conv.groups as usize;
        let (channels, fan_in) = (conv.channels as usize, weight.len() / conv.channels as usize);
        let of_group = channels / groups;
        let blocks =
            (0..groups).flat_map(|group| (0..of_group).step_by(LANES).map(move |first| (group, first)));
        let block = |(group, first): (usize, usize)| {
            let lane = |tap: usize, lane: usize| {
                let row = group * of_group + first + lane;
                if first + lane < of_group { weight[row * fan_in + tap] } else { 0.0 }
            };
            (0..fan_in).map(|tap| std::array::from_fn(|at| lane(tap, at))).collect()
        };
        Self {
            window: conv.window,
            groups,
            input,
            output,
            weights: blocks.map(block).collect(),
            bias: bias.to_vec(),
            outside: conv.outside,
        }
    }

    pub fn run(&self, level: Level, input: &[f32], output: &mut [f32]) {
        dispatch!(level, simd => self.run_with(simd, input, output));
    }

    #[inline(always)]
    fn run_with<S: Simd>(&self, simd: S, input: &[f32], output: &mut [f32]) {
        simd.vectorize(
            #[inline(always)]
            || {
                let channels = self.output.channels as usize;
                let (inner, of_group) = (self.input.channels as usize / self.groups, channels / self.groups);
                let taps = self.window.taps() as usize * inner;
                let blocks = of_group.div_ceil(LANES);
                let mut patches = vec![0.0; PIXELS * taps];
                let pixels = self.output.pixels();
                for first in (0..pixels).step_by(PIXELS) {
                    let count = PIXELS.min(pixels - first);
                    for group in 0..self.groups {
                        for (at, patch) in patches.chunks_exact_mut(taps).take(count).enumerate() {
                            self.gather(input, first + at, (group * inner, inner), patch);
                        }
                        for block in 0..blocks {
                            let sums = products(simd, &patches, &self.weights[group * blocks + block]);
                            let from = group * of_group + block * LANES;
                            let lanes = LANES.min(of_group - block * LANES);
                            for (at, sums) in sums.iter().enumerate().take(count) {
                                let place = (first + at) * channels + from;
                                output[place..][..lanes].copy_from_slice(&sums[..lanes]);
                            }
                        }
                    }
                }
                if !self.bias.is_empty() {
                    for pixel in output.chunks_exact_mut(channels) {
                        pixel.iter_mut().zip(&self.bias).for_each(|(value, bias)| *value += bias);
                    }
                }
            },
        );
    }

    /// Copies the inputs under the window at `pixel` to a row of patches.
    #[inline(always)]
    fn gather(&self, input: &[f32], pixel: usize, (first, inner): (usize, usize), patch: &mut [f32]) {
        let Window { kernel: [_, kernel_w], stride, padding: [top, _, left, _] } = self.window;
        let (width, channels) = (self.input.width as usize, self.input.channels as usize);
        let y = pixel / self.output.width as usize * stride as usize;
        let x = pixel % self.output.width as usize * stride as usize;
        let whole = inner == channels && x >= left as usize && x + kernel_w as usize <= width + left as usize;
        for (ky, row) in patch.chunks_exact_mut(kernel_w as usize * inner).enumerate() {
            let y = (y + ky).wrapping_sub(top as usize);
            if y >= self.input.height as usize {
                row.fill(self.outside);
                continue;
            }
            if whole {
                let run = row.len();
                row.copy_from_slice(&input[(y * width + x - left as usize) * channels..][..run]);
                continue;
            }
            for (kx, taps) in row.chunks_exact_mut(inner).enumerate() {
                let x = (x + kx).wrapping_sub(left as usize);
                if x >= width {
                    taps.fill(self.outside);
                    continue;
                }
                taps.copy_from_slice(&input[(y * width + x) * channels + first..][..inner]);
            }
        }
    }
}

/// Sums of products, tap after tap.
#[inline(always)]
fn products<S: Simd>(simd: S, patches: &[f32], weights: &[[f32; LANES]]) -> [[f32; LANES]; PIXELS] {
    let mut sums = [simd.splat_f32x16(0.0); PIXELS];
    let (first, second) = patches.split_at(2 * weights.len());
    let ((a, b), (c, d)) = (first.split_at(weights.len()), second.split_at(weights.len()));
    for ((((weights, a), b), c), d) in weights.iter().zip(a).zip(b).zip(c).zip(d) {
        let weights: f32x16<S> = (*weights).simd_into(simd);
        for (sum, value) in sums.iter_mut().zip([a, b, c, d]) {
            *sum += weights * *value;
        }
    }
    sums.map(Into::into)
}
