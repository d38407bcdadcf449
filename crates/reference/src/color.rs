//! Random crops and colors of pictures, as one affine map of the pixels.

/// A part of an image, shown in another size and in other colors.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub map: ColorMap,
}

/// `M p + N mean + c` for colors 0 to 255 of a picture with the mean color `mean`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorMap {
    /// `M`, row by row.
    pub pixel: [[f64; 3]; 3],
    /// `N`, row by row.
    pub mean: [[f64; 3]; 3],
    /// `c`.
    pub shift: [f64; 3],
}

/// Weights of red, green and blue in the gray that contrast and saturation are about (Rec. 601).
pub const GRAY: [f64; 3] = [0.299, 0.587, 0.114];

impl ColorMap {
    /// Colors as they are.
    pub const PLAIN: Self = Self {
        pixel: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        mean: [[0.0; 3]; 3],
        shift: [0.0; 3],
    };

    /// Followed by `factor p`.
    #[must_use]
    pub fn brightness(self, factor: f64) -> Self {
        self.blend_with(factor, |_| [0.0; 3])
    }

    /// Followed by `(p - g) factor + g`, where `g` is the mean gray of the whole picture.
    #[must_use]
    pub fn contrast(self, factor: f64) -> Self {
        let brighter = self.brightness(factor);
        let gray = |rows: &[[f64; 3]; 3], column: usize| {
            (0..3).map(|row| GRAY[row] * rows[row][column]).sum::<f64>()
        };
        let mut out = brighter;
        for row in 0..3 {
            for column in 0..3 {
                out.mean[row][column] +=
                    (1.0 - factor) * (gray(&self.pixel, column) + gray(&self.mean, column));
            }
            out.shift[row] += (1.0 - factor) * (0..3).map(|row| GRAY[row] * self.shift[row]).sum::<f64>();
        }
        out
    }

    /// Followed by `factor p + (1 - factor) g`, where `g` is the pixel's gray.
    #[must_use]
    pub fn saturation(self, factor: f64) -> Self {
        self.blend_with(factor, |column| {
            let gray: f64 = (0..3).map(|row| GRAY[row] * column[row]).sum();
            [(1.0 - factor) * gray; 3]
        })
    }

    /// Followed by `p + shift`.
    #[must_use]
    pub fn shifted(mut self, shift: [f64; 3]) -> Self {
        (0..3).for_each(|row| self.shift[row] += shift[row]);
        self
    }

    /// Every column `v` of the map becomes `factor v + rest(v)`.
    fn blend_with(self, factor: f64, rest: impl Fn([f64; 3]) -> [f64; 3]) -> Self {
        let column = |v: [f64; 3]| {
            let rest = rest(v);
            [0, 1, 2].map(|row| factor * v[row] + rest[row])
        };
        let matrix = |m: [[f64; 3]; 3]| {
            let columns = [0, 1, 2].map(|at| column([m[0][at], m[1][at], m[2][at]]));
            [0, 1, 2].map(|row| [0, 1, 2].map(|at| columns[at][row]))
        };
        Self { pixel: matrix(self.pixel), mean: matrix(self.mean), shift: column(self.shift) }
    }
}

/// Rows and columns of the images of a source and of what is made of them; all have three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorGather {
    /// Rows of a source image.
    pub height: usize,
    /// Columns of a source image.
    pub width: usize,
    /// Rows of the result.
    pub out_height: usize,
    /// Columns of the result.
    pub out_width: usize,
}

/// One view, `[out_height][out_width][3]` over 255: the part is resized (bilinear, pixel centers aligned, the part's edges
/// repeated), mirrored, mapped by [`ColorMap`] with the mean over the resized part, and clipped to 0..=255 once, at the end.
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
            pixels.push(sample(shape, source, view, y, x));
        }
    }
    let count = pixels.len() as f64;
    let mean = [0, 1, 2].map(|channel| pixels.iter().map(|p| p[channel]).sum::<f64>() / count);
    let ColorMap { pixel, mean: of_mean, shift } = view.map;
    let dot = |row: [f64; 3], p: [f64; 3]| row[0] * p[0] + row[1] * p[1] + row[2] * p[2];
    let shift = [0, 1, 2].map(|row| shift[row] + dot(of_mean[row], mean));
    let mapped = pixels.iter().flat_map(|p| [0, 1, 2].map(|row| dot(pixel[row], *p) + shift[row]));
    mapped.map(|value| value.clamp(0.0, 255.0) / 255.0).collect()
}

/// A color of the resized part from its four neighbors.
fn sample(shape: &ColorGather, source: &[u8], view: &ColorView, y: usize, x: usize) -> [f64; 3] {
    let (top, bottom, down) = crate::image::neighbors(y, view.height, shape.out_height);
    let (left, right, across) = crate::image::neighbors(x, view.width, shape.out_width);
    let at = |y: usize, x: usize, channel: usize| {
        let row = view.image * shape.height + view.top + y;
        f64::from(source[(row * shape.width + view.left + x) * 3 + channel])
    };
    [0, 1, 2].map(|channel| {
        let upper = at(top, left, channel) * (1.0 - across) + at(top, right, channel) * across;
        let lower = at(bottom, left, channel) * (1.0 - across) + at(bottom, right, channel) * across;
        upper * (1.0 - down) + lower * down
    })
}
