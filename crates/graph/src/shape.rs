//! Shapes of images and the geometry of windows over them.

use kernels::Window;

/// Height, width and channels of one sample; tensors are NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
}

impl Shape {
    /// A shape.
    pub fn new(height: u32, width: u32, channels: u32) -> Self {
        Self { height, width, channels }
    }

    /// Pixels of one sample.
    pub fn pixels(&self) -> u32 {
        self.height * self.width
    }

    /// Values of one sample.
    pub fn len(&self) -> u32 {
        self.pixels() * self.channels
    }

    /// Values of one sample, for shapes that may be too large to be used.
    pub fn words(&self) -> u64 {
        u64::from(self.height) * u64::from(self.width) * u64::from(self.channels)
    }

    /// True for a shape without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// How a window treats the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Only whole windows.
    Valid,
    /// Output size is the input size divided by the stride, rounded up; the smaller half of the padding goes first.
    Same,
    /// This many pixels on every side.
    Explicit(u32),
}

/// Kernel height and width, stride and padding of a convolution or pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Kernel height and width.
    pub kernel: (u32, u32),
    /// Step in both directions.
    pub stride: u32,
    /// Border rule.
    pub padding: Padding,
}

impl Geometry {
    /// A square kernel.
    pub fn square(kernel: u32, stride: u32, padding: Padding) -> Self {
        Self { kernel: (kernel, kernel), stride, padding }
    }

    /// The window over `samples` images of `shape`, or `None` where it does not fit or a size is zero.
    pub fn window(&self, samples: u32, shape: Shape) -> Option<Window> {
        let (kernel_h, kernel_w) = self.kernel;
        let stride = self.stride;
        let axis = |size: u32, kernel: u32| -> Option<(u32, u32)> {
            if size == 0 || kernel == 0 || stride == 0 {
                return None;
            }
            match self.padding {
                Padding::Valid => (size >= kernel).then(|| (0, (size - kernel) / stride + 1)),
                Padding::Same => {
                    let out = size.div_ceil(stride);
                    Some((((out - 1) * stride + kernel).saturating_sub(size) / 2, out))
                }
                Padding::Explicit(pad) => (size + 2 * pad >= kernel && pad < kernel)
                    .then(|| (pad, (size + 2 * pad - kernel) / stride + 1)),
            }
        };
        let (pad_top, out_height) = axis(shape.height, kernel_h)?;
        let (pad_left, out_width) = axis(shape.width, kernel_w)?;
        let (height, width) = (shape.height, shape.width);
        Some(Window {
            samples,
            height,
            width,
            kernel_h,
            kernel_w,
            stride,
            pad_top,
            pad_left,
            out_height,
            out_width,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_their_padding_rule() {
        let shape = Shape::new(9, 9, 3);
        let out = |geometry: Geometry| geometry.window(1, shape).map(|w| (w.pad_top, w.out_height));
        assert_eq!(out(Geometry::square(5, 1, Padding::Valid)), Some((0, 5)));
        assert_eq!(out(Geometry::square(3, 1, Padding::Same)), Some((1, 9)));
        assert_eq!(out(Geometry::square(2, 2, Padding::Same)), Some((0, 5)));
        assert_eq!(out(Geometry::square(3, 2, Padding::Explicit(1))), Some((1, 5)));
        assert_eq!(out(Geometry::square(10, 1, Padding::Valid)), None);
        assert_eq!(out(Geometry::square(3, 0, Padding::Same)), None);
    }
}
