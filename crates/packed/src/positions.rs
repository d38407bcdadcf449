//! Factors of positions: the mean magnitude of a pixel, its mean over windows, and products with it. All f32 arithmetic is one
//! rounded operation after the other, in the order written.

use crate::{check::Map, manifest::Window};

/// Vectors of a pile at most.
const PILE: usize = 256;

/// The mean of |x| over the channels of each pixel.
pub fn channel_magnitude(input: Map, values: &[f32], means: &mut [f32]) {
    let channels = input.channels as usize;
    for (mean, pixel) in means.iter_mut().zip(values.chunks_exact(channels)) {
        let magnitudes: Vec<f32> = pixel.iter().map(|x| x.abs()).collect();
        let mut piles = pile_sums(&magnitudes, 1.0 / channels as f32);
        while piles.len() > 1 {
            piles = pile_sums(&piles, 1.0);
        }
        *mean = piles[0];
    }
}

/// Numbers in vectors of four where these fill them, else of one, dealt to as few piles of 256 vectors as hold them: the lanes'
/// sums of each pile, added in pairs, times `factor`.
fn pile_sums(numbers: &[f32], factor: f32) -> Vec<f32> {
    let lanes = if numbers.len().is_multiple_of(4) { 4 } else { 1 };
    let vectors: Vec<&[f32]> = numbers.chunks_exact(lanes).collect();
    let piles = vectors.len().div_ceil(PILE);
    let sum = |pile: usize| {
        let mut sums = [0.0; 4];
        sums[..lanes].copy_from_slice(vectors[pile]);
        for vector in vectors.iter().skip(pile + piles).step_by(piles) {
            sums.iter_mut().zip(*vector).for_each(|(sum, number)| *sum += number);
        }
        factor * if lanes == 4 { (sums[0] + sums[1]) + (sums[2] + sums[3]) } else { sums[0] }
    };
    (0..piles).map(sum).collect()
}

/// Sums of one channel over the taps inside the map, in order, times one over the number of all taps.
pub fn window_mean(window: &Window, (input, output): (Map, Map), values: &[f32], means: &mut [f32]) {
    let [top, _, left, _] = window.padding.map(|size| size as usize);
    let [kernel_h, kernel_w] = window.kernel.map(|size| size as usize);
    let (height, width, stride) = (input.height as usize, input.width as usize, window.stride as usize);
    let factor = 1.0 / window.taps() as f32;
    for (pixel, mean) in means.iter_mut().enumerate() {
        let (y, x) = (pixel / output.width as usize * stride, pixel % output.width as usize * stride);
        let mut sum = 0.0;
        for row in y.saturating_sub(top)..(y + kernel_h - top).min(height) {
            for column in x.saturating_sub(left)..(x + kernel_w - left).min(width) {
                sum += values[row * width + column];
            }
        }
        *mean = factor * sum;
    }
}

/// Pixels times their factors.
pub fn scale(values: &[f32], factors: &[f32], result: &mut [f32]) {
    let channels = values.len() / factors.len();
    let pixels = result.chunks_exact_mut(channels).zip(values.chunks_exact(channels));
    for ((result, values), factor) in pixels.zip(factors) {
        result.iter_mut().zip(values).for_each(|(y, x)| *y = x * factor);
    }
}
