//! Images of 8 bits to float inputs: resize, flip, crop, scale.

/// What a network makes of a value from 0 to 255 of each channel: `(value - subtract) / divide_by`.
///
/// Channels beyond the third are treated as the third.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelScale {
    /// Subtracted first.
    pub subtract: [f32; 3],
    /// What the difference is divided by; not zero.
    pub divide_by: [f32; 3],
}

impl PixelScale {
    /// From 0 to 1.
    pub const UNIT: Self = Self { subtract: [0.0; 3], divide_by: [255.0; 3] };

    /// `(value - subtract) / divide_by` of `channel`.
    pub fn apply(&self, value: f64, channel: usize) -> f64 {
        let at = channel.min(2);
        (value - f64::from(self.subtract[at])) / f64::from(self.divide_by[at])
    }
}

impl Default for PixelScale {
    fn default() -> Self {
        Self::UNIT
    }
}

/// The shape of a gather from `source[images][height][width][channels]` to
/// `[views][out_height][out_width][channels]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    /// Rows of a source image.
    pub height: usize,
    /// Columns of a source image.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Rows after resizing.
    pub resize_height: usize,
    /// Columns after resizing.
    pub resize_width: usize,
    /// Rows of the crop.
    pub out_height: usize,
    /// Columns of the crop.
    pub out_width: usize,
    /// What becomes of the values.
    pub scale: PixelScale,
}

/// How one output image is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Index of the source image.
    pub image: usize,
    /// Whether the resized image is mirrored left to right before it is cropped.
    pub flip: bool,
    /// Row of the resized image where the crop starts; may be negative.
    pub dy: i32,
    /// Column of the resized (and mirrored) image where the crop starts; may be negative.
    pub dx: i32,
}

/// Each view in turn: bilinear resize, mirror if `flip`, crop at `(dy, dx)` with zeros outside, scaled.
///
/// Pixel centers are aligned: row `y` of the resized image samples `(y + 1/2) height / resize_height - 1/2`,
/// and neighbors beyond an edge are the edge. Without a change of size this copies pixels exactly.
pub fn gather(shape: &Gather, source: &[u8], views: &[View]) -> Vec<f64> {
    assert_eq!(
        source.len() % (shape.height * shape.width * shape.channels),
        0,
        "source must be whole images"
    );
    let mut output = Vec::with_capacity(views.len() * shape.out_height * shape.out_width * shape.channels);
    for view in views {
        for y in 0..shape.out_height {
            for x in 0..shape.out_width {
                let row = inside(y, view.dy, shape.resize_height);
                let column = inside(x, view.dx, shape.resize_width)
                    .map(|column| if view.flip { shape.resize_width - 1 - column } else { column });
                for channel in 0..shape.channels {
                    let value = row.zip(column).map_or(0.0, |(row, column)| {
                        sample(shape, source, view.image, [row, column, channel])
                    });
                    output.push(shape.scale.apply(value, channel));
                }
            }
        }
    }
    output
}

/// Another brightness and contrast of an image of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light {
    /// Added to every byte.
    pub offset: i32,
    /// The contrast's factor times 4,096.
    pub factor: u32,
}

/// One view of a lit image, `[out_height][out_width][channels]`, scaled: the augmentation that DoReFa-Net's SVHN networks
/// were trained with, on bytes from step to step.
///
/// The image is resized as [`gather`] does and rounded to bytes. Then `p = clip(byte + offset)`; and with the mean of `p`
/// over each channel, `clip(floor((p - mean) f + mean))`, where `f` is `factor / 4096`. The mean counts to the nearest 1/256,
/// so that everything is on whole numbers. Mirror and crop come last, with zeros outside.
///
/// # Panics
/// Where `source` is not whole images.
pub fn gather_lit(shape: &Gather, source: &[u8], view: &View, light: &Light) -> Vec<f64> {
    let &Gather { height, width, channels, resize_height, resize_width, .. } = shape;
    assert_eq!(source.len() % (height * width * channels), 0, "source must be whole images");
    let pixels = (resize_height * resize_width) as i64;
    let whole = 4 * pixels;
    let mut lit = vec![0; resize_height * resize_width * channels];
    for channel in 0..channels {
        let mut sum = 0;
        for row in 0..resize_height {
            for column in 0..resize_width {
                let byte = (weighted(shape, source, view.image, [row, column, channel]) + whole / 2) / whole;
                let p = (byte + i64::from(light.offset)).clamp(0, 255);
                sum += p;
                lit[(row * resize_width + column) * channels + channel] = p;
            }
        }
        let mean = (256 * sum + pixels / 2) / pixels;
        for p in lit.iter_mut().skip(channel).step_by(channels) {
            let scaled = (256 * *p - mean) * i64::from(light.factor) + 4096 * mean;
            *p = scaled.div_euclid(1 << 20).clamp(0, 255);
        }
    }
    let mut output = Vec::with_capacity(shape.out_height * shape.out_width * channels);
    for y in 0..shape.out_height {
        for x in 0..shape.out_width {
            let row = inside(y, view.dy, resize_height);
            let column = inside(x, view.dx, resize_width)
                .map(|column| if view.flip { resize_width - 1 - column } else { column });
            for channel in 0..channels {
                let value = row
                    .zip(column)
                    .map_or(0, |(row, column)| lit[(row * resize_width + column) * channels + channel]);
                output.push(shape.scale.apply(value as f64, channel));
            }
        }
    }
    output
}

/// A pixel of the resized image times `4 resize_height resize_width`, as a whole number.
fn weighted(shape: &Gather, source: &[u8], image: usize, [row, column, channel]: [usize; 3]) -> i64 {
    let [top, bottom, down] = whole_neighbors(row, shape.height, shape.resize_height);
    let [left, right, across] = whole_neighbors(column, shape.width, shape.resize_width);
    let at = |y: usize, x: usize| {
        i64::from(source[((image * shape.height + y) * shape.width + x) * shape.channels + channel])
    };
    let (down, across) = (down as i64, across as i64);
    let (height, width) = (2 * shape.resize_height as i64, 2 * shape.resize_width as i64);
    let upper = at(top, left) * (width - across) + at(top, right) * across;
    let lower = at(bottom, left) * (width - across) + at(bottom, right) * across;
    upper * (height - down) + lower * down
}

/// As [`neighbors`], with the weight of the second times `2 resized`.
pub(crate) fn whole_neighbors(position: usize, size: usize, resized: usize) -> [usize; 3] {
    let center = (2 * position + 1) * size + resized;
    let above = center / (2 * resized);
    [above.max(1) - 1, above.min(size - 1), center % (2 * resized)]
}

fn inside(position: usize, offset: i32, size: usize) -> Option<usize> {
    let shifted = i64::try_from(position).expect("an image side fits in 64 bits") + i64::from(offset);
    usize::try_from(shifted).ok().filter(|&shifted| shifted < size)
}

/// A pixel of the resized image from its four neighbors.
fn sample(shape: &Gather, source: &[u8], image: usize, [row, column, channel]: [usize; 3]) -> f64 {
    let (top, bottom, down) = neighbors(row, shape.height, shape.resize_height);
    let (left, right, across) = neighbors(column, shape.width, shape.resize_width);
    let at = |y: usize, x: usize| {
        f64::from(source[((image * shape.height + y) * shape.width + x) * shape.channels + channel])
    };
    let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
    let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
    upper * (1.0 - down) + lower * down
}

/// The two source positions around a resized one, clamped to the edge, and the weight of the second.
fn neighbors(position: usize, size: usize, resized: usize) -> (usize, usize, f64) {
    let center = (position as f64 + 0.5) * size as f64 / resized as f64 - 0.5;
    let first = center.floor();
    let clamp = |index: f64| index.clamp(0.0, (size - 1) as f64) as usize;
    (clamp(first), clamp(first + 1.0), center - first)
}
