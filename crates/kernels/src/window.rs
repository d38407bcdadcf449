//! The geometry of convolutions and pools. Shader side: `shaders/shared/window.wgsl`.

use recording::Param;
use reference::conv::Conv2d;

/// A window of `kernel_h` x `kernel_w` taps that slides over images `[samples, height, width]`.
///
/// Output position `(n, oy, ox)` reads `iy = oy * stride + ky - pad_top` and likewise `ix`; what lies outside
/// the image is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Images.
    pub samples: u32,
    /// Rows of an image.
    pub height: u32,
    /// Columns of an image.
    pub width: u32,
    /// Rows of the window.
    pub kernel_h: u32,
    /// Columns of the window.
    pub kernel_w: u32,
    /// Step in both directions.
    pub stride: u32,
    /// Padding above the image.
    pub pad_top: u32,
    /// Padding left of the image.
    pub pad_left: u32,
    /// Rows of the output.
    pub out_height: u32,
    /// Columns of the output.
    pub out_width: u32,
}

impl Window {
    /// Members of the uniform struct that shaders importing `window` begin with, in order.
    pub fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("height", self.height),
            Param::u32("width", self.width),
            Param::u32("kernel_h", self.kernel_h),
            Param::u32("kernel_w", self.kernel_w),
            Param::u32("stride", self.stride),
            Param::u32("pad_top", self.pad_top),
            Param::u32("pad_left", self.pad_left),
            Param::u32("out_height", self.out_height),
            Param::u32("out_width", self.out_width),
        ]
    }

    /// Input pixels of all samples.
    pub fn in_pixels(&self) -> u32 {
        self.samples * self.height * self.width
    }

    /// Output positions of all samples.
    pub fn out_pixels(&self) -> u32 {
        self.samples * self.out_height * self.out_width
    }

    /// Positions inside the window.
    pub fn taps(&self) -> u32 {
        self.kernel_h * self.kernel_w
    }

    /// The same geometry as a convolution of the reference.
    pub fn to_reference(&self, in_channels: u32, out_channels: u32) -> Conv2d {
        Conv2d {
            samples: self.samples as usize,
            height: self.height as usize,
            width: self.width as usize,
            in_channels: in_channels as usize,
            kernel_h: self.kernel_h as usize,
            kernel_w: self.kernel_w as usize,
            out_channels: out_channels as usize,
            out_h: self.out_height as usize,
            out_w: self.out_width as usize,
            stride: self.stride as usize,
            pad_top: self.pad_top as usize,
            pad_left: self.pad_left as usize,
        }
    }
}

impl From<Conv2d> for Window {
    /// The geometry of `conv`, without its channels.
    ///
    /// Sizes of an image that fits a device's buffers fit 32 bits.
    fn from(conv: Conv2d) -> Self {
        Self {
            samples: conv.samples as u32,
            height: conv.height as u32,
            width: conv.width as u32,
            kernel_h: conv.kernel_h as u32,
            kernel_w: conv.kernel_w as u32,
            stride: conv.stride as u32,
            pad_top: conv.pad_top as u32,
            pad_left: conv.pad_left as u32,
            out_height: conv.out_h as u32,
            out_width: conv.out_w as u32,
        }
    }
}
