//! Convolution of codes with planes of weights: AND and population count on words of 64 bits.
//!
//! With codes `a` of A planes and weights `2w - n` of W planes, the sum over a window is
//! `sum over planes p, m of 2^(p+m+1) * popcount(a_p AND w_m) - n * sum(a)`, exact in 32 bits.

use fearless_simd::{Level, dispatch, prelude::*, u64x8};

use crate::{
    check::{Map, levels},
    manifest::{self, Window},
};

/// Output channels that are computed side by side.
const LANES: usize = 8;
/// Rows, each a plane of the codes under one window, that share one load of the weights.
const ROWS: usize = 8;
const WORD: usize = 64;

/// A convolution with weights in the order in which they are read.
#[derive(Clone, Debug)]
pub struct BitConvolution {
    window: Window,
    groups: usize,
    input: Map,
    output: Map,
    bits: usize,
    weight_bits: usize,
    /// Per group, block of channels and plane of the weights, the least significant first: the lanes of every word.
    weights: Vec<Vec<[u64; LANES]>>,
}

/// Memory that is used again.
#[derive(Debug, Default)]
pub struct Scratch {
    planes: Vec<u64>,
    patch: Vec<[u64; ROWS]>,
}

impl BitConvolution {
    /// `planes` as in a file: bit `channel * fan_in + tap` of each plane, the most significant plane first.
    pub fn new(
        conv: &manifest::BitConvolution,
        (input, bits): (Map, u32),
        output: Map,
        planes: &[u8],
    ) -> Self {
        let (groups, channels) = (conv.groups as usize, conv.channels as usize);
        let inner = input.channels as usize / groups;
        let taps = conv.window.taps() as usize;
        let (of_group, words) = (channels / groups, inner.div_ceil(WORD));
        let weight_bits = conv.weight_bits as usize;
        let plane_bytes = planes.len() / weight_bits;
        let mut weights = Vec::new();
        for group in 0..groups {
            for first in (0..of_group).step_by(LANES) {
                for plane in planes.chunks_exact(plane_bytes).rev() {
                    let mut block = vec![[0; LANES]; taps * words];
                    let rows = group * of_group + first..(group * of_group + (first + LANES).min(of_group));
                    for (lane, row) in rows.enumerate() {
                        for k in 0..taps * inner {
                            let (at, tap, channel) = (row * taps * inner + k, k / inner, k % inner);
                            let bit = u64::from(plane[at / 8] >> (at % 8) & 1);
                            block[tap * words + channel / WORD][lane] |= bit << (channel % WORD);
                        }
                    }
                    weights.push(block);
                }
            }
        }
        Self { window: conv.window, groups, input, output, bits: bits as usize, weight_bits, weights }
    }

    pub fn run(&self, level: Level, codes: &[u8], sums: &mut [i32], scratch: &mut Scratch) {
        dispatch!(level, simd => self.run_with(simd, codes, sums, scratch));
    }

    #[inline(always)]
    fn run_with<S: Simd>(&self, simd: S, codes: &[u8], sums: &mut [i32], scratch: &mut Scratch) {
        simd.vectorize(
            #[inline(always)]
            || {
                let layout = Layout::of(self);
                layout.pack(codes, &mut scratch.planes);
                sums.fill(0);
                let rows = self.output.pixels() * self.bits;
                scratch.patch.clear();
                scratch.patch.resize(layout.patch_words(), [0; ROWS]);
                let mut first = 0;
                while first < rows {
                    // Few rows are left at the end, and small maps have few at all.
                    let count = match rows - first {
                        8.. => 8,
                        4..8 => 4,
                        2..4 => 2,
                        _ => 1,
                    };
                    for group in 0..self.groups {
                        let block = Block { first, group };
                        match count {
                            8 => self.rows::<S, 8>(simd, &layout, block, scratch, sums),
                            4 => self.rows::<S, 4>(simd, &layout, block, scratch, sums),
                            2 => self.rows::<S, 2>(simd, &layout, block, scratch, sums),
                            _ => self.rows::<S, 1>(simd, &layout, block, scratch, sums),
                        }
                    }
                    first += count;
                }
            },
        );
    }

    /// Adds what `N` rows contribute to the sums of one group.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(
        &self,
        simd: S,
        layout: &Layout,
        block: Block,
        scratch: &mut Scratch,
        sums: &mut [i32],
    ) {
        let channels = self.output.channels as usize;
        let of_group = channels / self.groups;
        let mut ones = [0i64; N];
        let patch: &mut [[u64; ROWS]] = &mut scratch.patch;
        for (at, ones) in ones.iter_mut().enumerate() {
            let row = block.first + at;
            *ones = layout.gather(self, &scratch.planes, (row, block.group), patch, at);
        }
        let blocks = of_group.div_ceil(LANES);
        let n = i64::from(levels(self.weight_bits as u32));
        for lanes_block in 0..blocks {
            let mut totals = [simd.splat_u64x8(0); N];
            for plane in 0..self.weight_bits {
                let at = (block.group * blocks + lanes_block) * self.weight_bits + plane;
                let counts = counts::<S, N>(simd, patch, &self.weights[at]);
                for (total, count) in totals.iter_mut().zip(counts) {
                    *total += count << plane as u32;
                }
            }
            let from = block.group * of_group + lanes_block * LANES;
            let lanes = LANES.min(of_group - lanes_block * LANES);
            for (at, totals) in totals.into_iter().enumerate() {
                let totals: [u64; LANES] = totals.into();
                let (pixel, plane) = ((block.first + at) / self.bits, (block.first + at) % self.bits);
                let offset = n * ones[at];
                let mut parts = [0i32; LANES];
                for (part, total) in parts.iter_mut().zip(totals) {
                    *part = ((2 * total.cast_signed() - offset) << plane) as i32;
                }
                let sums = &mut sums[pixel * channels + from..][..lanes];
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
        }
    }
}

/// Rows from `first` on, of one group.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    group: usize,
}

/// Ones of every row AND every lane.
#[inline(always)]
fn counts<S: Simd, const N: usize>(
    simd: S,
    patch: &[[u64; ROWS]],
    weights: &[[u64; LANES]],
) -> [u64x8<S>; N] {
    let mut counts = [simd.splat_u64x8(0); N];
    for (words, weights) in patch.iter().zip(weights) {
        let weights: u64x8<S> = (*weights).simd_into(simd);
        for (count, word) in counts.iter_mut().zip(words) {
            *count += (weights & *word).count_ones();
        }
    }
    counts
}

/// Codes as planes `[plane][row][column][group][word]` of the map with its padding, whose codes are 0.
struct Layout {
    /// Rows and columns with the padding.
    height: usize,
    width: usize,
    groups: usize,
    inner: usize,
    /// Words of a group's channels.
    words: usize,
    bits: usize,
    input: Map,
    top: usize,
    left: usize,
    kernel: [usize; 2],
}

impl Layout {
    fn of(conv: &BitConvolution) -> Self {
        let [top, bottom, left, right] = conv.window.padding.map(|size| size as usize);
        let inner = conv.input.channels as usize / conv.groups;
        Self {
            height: conv.input.height as usize + top + bottom,
            width: conv.input.width as usize + left + right,
            groups: conv.groups,
            inner,
            words: inner.div_ceil(WORD),
            bits: conv.bits,
            input: conv.input,
            top,
            left,
            kernel: conv.window.kernel.map(|size| size as usize),
        }
    }

    fn plane_words(&self) -> usize {
        self.height * self.width * self.groups * self.words
    }

    /// Words of one plane of the codes under a window.
    fn patch_words(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.words
    }

    #[inline(always)]
    fn pack(&self, codes: &[u8], planes: &mut Vec<u64>) {
        planes.clear();
        planes.resize(self.bits * self.plane_words(), 0);
        let (channels, columns) = (self.input.channels as usize, self.input.width as usize);
        for (pixel, codes) in codes.chunks_exact(channels).enumerate() {
            let at = (pixel / columns + self.top) * self.width + pixel % columns + self.left;
            for (group, codes) in codes.chunks_exact(self.inner).enumerate() {
                for (word, codes) in codes.chunks(WORD).enumerate() {
                    let place = (at * self.groups + group) * self.words + word;
                    for plane in 0..self.bits {
                        planes[plane * self.plane_words() + place] = plane_word(codes, plane);
                    }
                }
            }
        }
    }

    /// Copies the words under the window of a row to column `at` of the patch; returns their ones.
    #[inline(always)]
    fn gather(
        &self,
        conv: &BitConvolution,
        planes: &[u64],
        (row, group): (usize, usize),
        patch: &mut [[u64; ROWS]],
        at: usize,
    ) -> i64 {
        let (pixel, plane) = (row / self.bits, row % self.bits);
        let stride = conv.window.stride as usize;
        let y = pixel / conv.output.width as usize * stride;
        let x = pixel % conv.output.width as usize * stride;
        let mut ones = 0;
        let pixel_words = self.groups * self.words;
        for (ky, line) in patch.chunks_exact_mut(self.kernel[1] * self.words).enumerate() {
            let first = plane * self.plane_words() + ((y + ky) * self.width + x) * pixel_words;
            if self.groups == 1 {
                for (word, source) in line.iter_mut().zip(&planes[first..][..self.kernel[1] * self.words]) {
                    word[at] = *source;
                    ones += i64::from(source.count_ones());
                }
                continue;
            }
            for (kx, words) in line.chunks_exact_mut(self.words).enumerate() {
                let source = &planes[first + kx * pixel_words + group * self.words..][..self.words];
                for (word, source) in words.iter_mut().zip(source) {
                    word[at] = *source;
                    ones += i64::from(source.count_ones());
                }
            }
        }
        ones
    }
}

/// Bit `plane` of up to 64 codes, the first in the lowest bit.
#[inline(always)]
fn plane_word(codes: &[u8], plane: usize) -> u64 {
    // One multiplication moves the lowest bits of eight bytes side by side.
    const EVERY: u64 = 0x0101_0101_0101_0101;
    const MOVE: u64 = 0x0102_0408_1020_4080;
    let (eights, rest) = codes.as_chunks::<8>();
    let mut word = 0;
    for (at, eight) in eights.iter().enumerate() {
        let bits = u64::from_le_bytes(*eight) >> plane & EVERY;
        word |= (bits.wrapping_mul(MOVE) >> 56) << (8 * at);
    }
    for (at, code) in rest.iter().enumerate() {
        word |= u64::from(code >> plane & 1) << (8 * eights.len() + at);
    }
    word
}
