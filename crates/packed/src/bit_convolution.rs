//! Convolution of codes with planes of weights: AND and population count on words of 64 bits.
//!
//! With codes `a` of A planes and weights `2w - n` of W planes, the sum over a window is
//! `sum over planes p, m of 2^(p+m+1) * popcount(a_p AND w_m) - n * sum(a)`, exact in 32 bits. Where a mask leaves weights
//! out, `sum(a)` is over the codes that it keeps. Codes `2a - N` give twice that less N times the sum of the weights.

use fearless_simd::{Level, dispatch, prelude::*, u64x8};

use crate::{
    check::Map,
    code_planes::{Layout, PlaneSource, WORD},
    codes::{Code, levels},
    manifest::{self, CodeGroup, Planes, Window},
    weights::Group,
};

/// Output channels that are computed side by side.
pub const LANES: usize = 8;
/// Rows, each a plane of the codes under one window, that share one load of the weights.
pub const ROWS: usize = 8;

/// A convolution with weights in the order in which they are read.
#[derive(Clone, Debug)]
pub struct BitConvolution {
    pub window: Window,
    pub groups: usize,
    pub input: Map,
    pub output: Map,
    pub code: Code,
    /// The planes of the codes.
    pub planes: Vec<PlaneSource>,
    /// Pairs of a group of planes of the codes and one of the weights, in the order in which they are added.
    pairs: Vec<Pair>,
}

/// A group of planes of the codes with one of the weights.
#[derive(Clone, Debug)]
struct Pair {
    /// With its place among the planes of the layout.
    code: CodeGroup,
    /// Planes of the weights.
    planes: usize,
    masked: bool,
    /// Per group of channels, block of them and plane of the weights, the least significant first and behind it the mask: the
    /// lanes of every word.
    weights: Vec<Vec<[u64; LANES]>>,
    /// What codes -1 and 1 take from the sum of each channel; empty where they are 0 and 1.
    offsets: Vec<i32>,
    /// Factor of the sums of every channel.
    factor: f32,
    /// What the factor of each channel is multiplied by.
    scales: Vec<f32>,
}

/// Memory that is used again.
#[derive(Debug, Default)]
pub struct Scratch {
    planes: Vec<u64>,
    patch: Vec<[u64; ROWS]>,
    sums: Vec<i32>,
}

/// The factor of the sums of a group of codes and one of weights, and what that of each channel is multiplied by.
fn factors(code: &CodeGroup, group: &Group, channels: usize) -> (f32, Vec<f32>) {
    let scales = (0..channels).map(|channel| group.scale(channel, channels)).collect();
    (code.factor * group.written.factor, scales)
}

/// Factors of the sums of each channel of a group of codes and one of weights.
pub fn channel_factors(code: &CodeGroup, group: &Group, channels: usize) -> Vec<f32> {
    let (factor, mut factors) = factors(code, group, channels);
    factors.iter_mut().for_each(|scale| *scale *= factor);
    factors
}

impl Pair {
    fn new(conv: &BitConvolution, code: CodeGroup, group: &Group) -> Self {
        let channels = conv.output.channels as usize;
        let inner = conv.input.channels as usize / conv.groups;
        let taps = conv.window.taps() as usize;
        let (of_group, words) = (channels / conv.groups, inner.div_ceil(WORD));
        let lowest_first = group.planes.iter().rev().chain(&group.mask);
        let planes: Vec<&Vec<bool>> = lowest_first.collect();
        let mut weights = Vec::new();
        for first_of_group in (0..channels).step_by(of_group) {
            for first in (first_of_group..first_of_group + of_group).step_by(LANES) {
                for plane in &planes {
                    let mut block = vec![[0; LANES]; taps * words];
                    for (lane, row) in (first..(first + LANES).min(first_of_group + of_group)).enumerate() {
                        let bits = &plane[row * taps * inner..][..taps * inner];
                        for (k, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
                            let (tap, channel) = (k / inner, k % inner);
                            block[tap * words + channel / WORD][lane] |= 1 << (channel % WORD);
                        }
                    }
                    weights.push(block);
                }
            }
        }
        let offsets = match conv.code.planes {
            Planes::Unit => Vec::new(),
            Planes::Sign => {
                let sum = |channel| group.sum(channel * taps * inner..(channel + 1) * taps * inner);
                (0..channels).map(|channel| levels(code.planes) as i32 * sum(channel)).collect()
            }
        };
        let (factor, scales) = factors(&code, group, channels);
        let masked = group.mask.is_some();
        Self { code, planes: group.planes.len(), masked, weights, offsets, factor, scales }
    }
}

impl BitConvolution {
    pub fn new(
        conv: &manifest::BitConvolution,
        (input, code, of_channels): (Map, Code, &[u8]),
        output: Map,
        groups: &[Group],
    ) -> Self {
        let planes = PlaneSource::of(&code, of_channels, (input.channels / conv.groups) as usize);
        let (window, pairs) = (conv.window, Vec::new());
        let new = Self { window, groups: conv.groups as usize, input, output, code, planes, pairs };
        let placed = new.code_groups();
        let pairs = placed.iter().flat_map(|code| groups.iter().map(|group| Pair::new(&new, *code, group)));
        Self { pairs: pairs.collect(), ..new }
    }

    /// The groups of codes with their places among the planes of the layout, where those of groups apart follow each other.
    fn code_groups(&self) -> Vec<CodeGroup> {
        let mut first = 0;
        let placed = |group: &CodeGroup| {
            let behind = if self.code.apart { first } else { group.first };
            first += group.planes;
            CodeGroup { first: behind, ..*group }
        };
        self.code.groups().iter().map(placed).collect()
    }

    /// The integer sums of the only pair that a channel belongs to; all others add nothing to it.
    pub fn run(&self, level: Level, codes: &[u8], sums: &mut [i32], scratch: &mut Scratch) {
        Layout::of(self).pack(codes, &self.planes, &mut scratch.planes);
        self.pair(level, &self.pairs[0], sums, scratch);
        let mut others = std::mem::take(&mut scratch.sums);
        others.resize(sums.len(), 0);
        for pair in &self.pairs[1..] {
            self.pair(level, pair, &mut others, scratch);
            sums.iter_mut().zip(&others).for_each(|(sum, other)| *sum += other);
        }
        scratch.sums = others;
    }

    /// The sums of all pairs with their factors, and with one of each output position where there are any.
    pub fn run_values(
        &self,
        level: Level,
        (codes, of_positions): (&[u8], Option<&[f32]>),
        values: &mut [f32],
        scratch: &mut Scratch,
    ) {
        Layout::of(self).pack(codes, &self.planes, &mut scratch.planes);
        let mut sums = std::mem::take(&mut scratch.sums);
        sums.resize(values.len(), 0);
        for (at, pair) in self.pairs.iter().enumerate() {
            self.pair(level, pair, &mut sums, scratch);
            let channels = pair.scales.len();
            let pixels = values.chunks_exact_mut(channels).zip(sums.chunks_exact(channels));
            for (pixel, (values, sums)) in pixels.enumerate() {
                let factor = of_positions.map_or(pair.factor, |factors| pair.factor * factors[pixel]);
                for ((value, sum), scale) in values.iter_mut().zip(sums).zip(&pair.scales) {
                    let term = *sum as f32 * (factor * scale);
                    *value = if at == 0 { term } else { *value + term };
                }
            }
        }
        scratch.sums = sums;
    }

    fn pair(&self, level: Level, pair: &Pair, sums: &mut [i32], scratch: &mut Scratch) {
        dispatch!(level, simd => self.pair_with(simd, pair, sums, scratch));
        if !pair.offsets.is_empty() {
            for sums in sums.chunks_exact_mut(pair.offsets.len()) {
                sums.iter_mut()
                    .zip(&pair.offsets)
                    .for_each(|(sum, offset)| *sum = sum.wrapping_mul(2).wrapping_sub(*offset));
            }
        }
    }

    #[inline(always)]
    fn pair_with<S: Simd>(&self, simd: S, pair: &Pair, sums: &mut [i32], scratch: &mut Scratch) {
        simd.vectorize(
            #[inline(always)]
            || {
                let layout = Layout::of(self);
                scratch.patch.clear();
                scratch.patch.resize(layout.patch_words(), [0; ROWS]);
                let (pixels, bits) = (self.output.pixels(), pair.code.planes as usize);
                // As many pixels at a time as rows hold with all their planes.
                let most = ROWS / bits;
                for first in (0..pixels).step_by(most) {
                    let count = most.min(pixels - first);
                    for group in 0..self.groups {
                        let block = Block { first, group };
                        let part = (pair, block);
                        match count * bits {
                            1 => self.rows::<S, 1>(simd, &layout, part, scratch, sums),
                            2 => self.rows::<S, 2>(simd, &layout, part, scratch, sums),
                            3 => self.rows::<S, 3>(simd, &layout, part, scratch, sums),
                            4 => self.rows::<S, 4>(simd, &layout, part, scratch, sums),
                            5 => self.rows::<S, 5>(simd, &layout, part, scratch, sums),
                            6 => self.rows::<S, 6>(simd, &layout, part, scratch, sums),
                            7 => self.rows::<S, 7>(simd, &layout, part, scratch, sums),
                            _ => self.rows::<S, 8>(simd, &layout, part, scratch, sums),
                        }
                    }
                }
            },
        );
    }

    /// Writes the sums of one group at the pixels whose planes are `N` rows.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(
        &self,
        simd: S,
        layout: &Layout,
        (pair, block): (&Pair, Block),
        scratch: &mut Scratch,
        sums: &mut [i32],
    ) {
        let channels = self.output.channels as usize;
        let (of_group, bits) = (channels / self.groups, pair.code.planes as usize);
        let n = u64::from(levels(pair.planes as u32));
        let patch: &mut [[u64; ROWS]] = &mut scratch.patch;
        // n times the codes under the window of each pixel.
        let mut offsets = [0u64; N];
        for row in 0..N {
            let (pixel, plane) = (row / bits, row % bits);
            let source = (block.first + pixel, pair.code.first as usize + plane, block.group);
            let ones = layout.gather(self, &scratch.planes, source, patch, row);
            offsets[pixel] += (n * ones) << plane;
        }
        let (blocks, planes) = (of_group.div_ceil(LANES), pair.planes + usize::from(pair.masked));
        for lanes_block in 0..blocks {
            let weights = &pair.weights[(block.group * blocks + lanes_block) * planes..][..planes];
            let mut totals = [simd.splat_u64x8(0); N];
            for (plane, weights) in weights[..pair.planes].iter().enumerate() {
                let counts = counts::<S, N>(simd, patch, weights);
                for (total, count) in totals.iter_mut().zip(counts) {
                    *total += count << plane as u32;
                }
            }
            let kept = pair.masked.then(|| counts::<S, N>(simd, patch, &weights[pair.planes]));
            let from = block.group * of_group + lanes_block * LANES;
            let lanes = LANES.min(of_group - lanes_block * LANES);
            for (pixel, offset) in offsets.iter().take(N / bits).enumerate() {
                let of_pixel = |rows: &[u64x8<S>; N]| {
                    let rows = rows[pixel * bits..][..bits].iter().enumerate();
                    rows.fold(simd.splat_u64x8(0), |sum, (plane, row)| sum + (*row << plane as u32))
                };
                let sum = of_pixel(&totals) << 1;
                // Differences wrap, and their low 32 bits are the sums.
                let taken = match &kept {
                    None => simd.splat_u64x8(*offset),
                    Some(kept) => of_pixel(kept) * n,
                };
                let parts: [u64; LANES] = (sum - taken).into();
                let sums = &mut sums[(block.first + pixel) * channels + from..][..lanes];
                match <&mut [i32; LANES]>::try_from(&mut *sums) {
                    Ok(sums) => *sums = parts.map(|part| part as i32),
                    Err(_) => sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = part as i32),
                }
            }
        }
    }
}

/// Pixels from `first` on, of one group.
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
