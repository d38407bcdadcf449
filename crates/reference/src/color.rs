//! Random crops and colors of pictures, on bytes from step to step.

use crate::image::{PixelScale, whole_neighbors};

/// A part of an image, shown in another size and in other colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorView {
    /// Index of the source image.
    pub image: usize,
    /// Whether the resized part is mirrored left to right.
    pub flip: bool,
    /// First row of the part.
    pub top: usize,
    /// First column of the part.
    pub left: usize,
    /// Rows of the part.
    pub height: usize,
    /// Columns of the part.
    pub width: usize,
    /// What happens to the colors.
    pub steps: ColorSteps,
}

/// A change of all colors of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorStep {
    /// `p f`
    Brightness,
    /// `(p - g) f + g`, where `g` is the mean gray of the picture.
    Contrast,
    /// `p f + (1 - f) g`, where `g` is the pixel's gray.
    Saturation,
    /// `p + shift`
    Shift,
}

/// Four changes, one after the other. After each, values are rounded down and clipped to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorSteps {
    /// The order in which they come.
    pub order: [ColorStep; 4],
    /// Factor of the brightness times 4,096, at most 16,384.
    pub brightness: u32,
    /// Factor of the contrast times 4,096, at most 16,384.
    pub contrast: u32,
    /// Factor of the saturation times 4,096, at most 16,384.
    pub saturation: u32,
    /// What is added to red, green and blue.
    pub shift: [i32; 3],
}

impl ColorSteps {
    /// Colors as they are.
    pub const PLAIN: Self = Self {
        order: [ColorStep::Brightness, ColorStep::Contrast, ColorStep::Saturation, ColorStep::Shift],
        brightness: 4096,
        contrast: 4096,
        saturation: 4096,
        shift: [0; 3],
    };
}

/// Weights of red, green and blue in gray, times 16,384 (Rec. 601).
pub const GRAY: [i64; 3] = [4899, 9617, 1868];

/// Rows and columns of the images of a source and of what is made of them; all have three channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorGather {
    /// Rows of a source image.
    pub height: usize,
    /// Columns of a source image.
    pub width: usize,
    /// Rows of the result.
    pub out_height: usize,
    /// Columns of the result.
    pub out_width: usize,
    /// What becomes of the values.
    pub scale: PixelScale,
}

/// One view, `[out_height][out_width][3]`: the part is resized to bytes (bicubic, pixel centers aligned, the part's edges
/// repeated), mirrored, its colors changed by [`ColorSteps`], and scaled. Everything but the scale is on whole numbers.
///
/// The kernel of the resize is Keys' with a = -3/4, at distances to the nearest 1/256 and with weights to the nearest 1/2048;
/// the mean gray counts to the nearest 1/256.
///
/// # Panics
/// Where `source` is not whole images, or the part is not inside of one.
pub fn gather_colored(shape: &ColorGather, source: &[u8], view: &ColorView) -> Vec<f64> {
    assert_eq!(source.len() % (shape.height * shape.width * 3), 0, "source must be whole images");
    assert!(view.top + view.height <= shape.height && view.left + view.width <= shape.width, "part");
    let mut pixels = Vec::with_capacity(shape.out_height * shape.out_width);
    for y in 0..shape.out_height {
        for x in 0..shape.out_width {
            let x = if view.flip { shape.out_width - 1 - x } else { x };
            pixels.push(resized(shape, source, view, y, x));
        }
    }
    view.steps.order.iter().for_each(|&step| change(&mut pixels, step, &view.steps));
    let scaled = |p: &[i64; 3]| [0, 1, 2].map(|channel| shape.scale.apply(p[channel] as f64, channel));
    pixels.iter().flat_map(scaled).collect()
}

fn change(pixels: &mut [[i64; 3]], step: ColorStep, steps: &ColorSteps) {
    let weighted = |p: &[i64; 3]| (0..3).map(|channel| GRAY[channel] * p[channel]).sum::<i64>();
    let count = pixels.len() as i64;
    let mean = (pixels.iter().map(|p| (weighted(p) + 32) >> 6).sum::<i64>() + count / 2) / count;
    let [brightness, contrast, saturation] =
        [steps.brightness, steps.contrast, steps.saturation].map(i64::from);
    for p in pixels {
        let gray = (weighted(p) + (1 << 13)) >> 14;
        for (value, shift) in p.iter_mut().zip(steps.shift) {
            let changed = match step {
                ColorStep::Brightness => (*value * brightness) >> 12,
                ColorStep::Contrast => ((256 * *value - mean) * contrast + 4096 * mean) >> 20,
                ColorStep::Saturation => (*value * saturation + gray * (4096 - saturation)) >> 12,
                ColorStep::Shift => *value + i64::from(shift),
            };
            *value = changed.clamp(0, 255);
        }
    }
}

/// A color of the resized part from its sixteen neighbors.
fn resized(shape: &ColorGather, source: &[u8], view: &ColorView, y: usize, x: usize) -> [i64; 3] {
    let (rows, down) = taps(y, view.height, shape.out_height);
    let (columns, across) = taps(x, view.width, shape.out_width);
    [0, 1, 2].map(|channel| {
        let mut sum = 0;
        for (row, down) in rows.iter().zip(down) {
            let line = (view.image * shape.height + view.top + row) * shape.width + view.left;
            for (column, across) in columns.iter().zip(across) {
                sum += down * across * i64::from(source[(line + column) * 3 + channel]);
            }
        }
        ((sum + (1 << 21)) >> 22).clamp(0, 255)
    })
}

/// The four source positions around a resized one, clamped to the edge, and their weights times 2,048.
fn taps(position: usize, size: usize, resized: usize) -> ([usize; 4], [i64; 4]) {
    let [first, second, share] = whole_neighbors(position, size, resized);
    let t = ((256 * share + resized) / (2 * resized)) as i64;
    let u = 256 - t;
    let outer = |near: i64, far: i64| -((3 * near * far * far + (1 << 14)) >> 15);
    let (before, after) = (outer(t, u), outer(u, t));
    let behind = (5 * u * u * u - 9 * 256 * u * u + (1 << 26) + (1 << 14)) >> 15;
    let weights = [before, 2048 - before - behind - after, behind, after];
    ([first.max(1) - 1, first, second, (second + 1).min(size - 1)], weights)
}
