//! Activations of one bit in {-1, +1}, as XNOR-Net (Rastegari et al. 2016) and Group-Net (Zhuang et al.) have them: the
//! sign, its straight-through gradients, XNOR-Net's factor, and the border that has no zero.

use crate::{conv::Conv2d, quantize::sign};

/// How a gradient passes the sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignRule {
    /// Unchanged where `|x| <= 1`.
    #[default]
    Identity,
    /// Times `2 - 2 |x|` where `|x| <= 1`: the slope of a piecewise polynomial that comes close to the sign.
    Polynomial,
}

/// `sgn(x)` as a code: 1 for +1, 0 for -1; `sgn(0) = +1`.
pub fn sign_codes(x: &[f64]) -> Vec<u32> {
    x.iter().map(|&x| u32::from(sign(x) > 0.0)).collect()
}

/// The straight-through gradient of the sign.
pub fn sign_backward(x: &[f64], grad: &[f64], rule: SignRule) -> Vec<f64> {
    assert_eq!(x.len(), grad.len(), "inputs and gradients must pair up");
    let slope = |x: f64| match rule {
        _ if x.abs() > 1.0 => 0.0,
        SignRule::Identity => 1.0,
        SignRule::Polynomial => 2.0 - 2.0 * x.abs(),
    };
    x.iter().zip(grad).map(|(&x, &grad)| slope(x) * grad).collect()
}

/// The mean of `x[pixels]` over the taps of each output position of `conv`; taps outside the image count 0.
pub fn box_filter(x: &[f64], conv: &Conv2d) -> Vec<f64> {
    let conv = Conv2d { in_channels: 1, out_channels: 1, ..*conv };
    let taps = conv.kernel_h * conv.kernel_w;
    conv.unfold(x).chunks_exact(taps).map(|row| row.iter().sum::<f64>() / taps as f64).collect()
}

/// XNOR-Net's factor K of each output position: the mean of `|x|` over the channels, box-filtered with the kernel's window.
pub fn activation_factors(x: &[f64], conv: &Conv2d) -> Vec<f64> {
    let mean = |pixel: &[f64]| pixel.iter().map(|x| x.abs()).sum::<f64>() / pixel.len() as f64;
    box_filter(&x.chunks_exact(conv.in_channels).map(mean).collect::<Vec<_>>(), conv)
}

/// Sizes of images and of what [`padded`] makes of them, height before width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Size of an image.
    pub size: [usize; 2],
    /// Size of a result.
    pub out_size: [usize; 2],
    /// Where the image's first pixel lies in the result.
    pub first: [usize; 2],
    /// Channels.
    pub channels: usize,
}

/// Images `[n][height][width][channels]` within a border of `value`; what of an image lies outside the result is cut.
pub fn padded<T: Copy>(images: &[T], border: Border, value: T) -> Vec<T> {
    let Border { size: [height, width], out_size: [out_height, out_width], first, channels } = border;
    let mut result = Vec::new();
    for image in images.chunks_exact(height * width * channels) {
        for pixel in 0..out_height * out_width {
            let [y, x] = [pixel / out_width, pixel % out_width];
            let source = y.checked_sub(first[0]).zip(x.checked_sub(first[1]));
            match source.filter(|&(y, x)| y < height && x < width) {
                Some((y, x)) => result.extend(&image[(y * width + x) * channels..][..channels]),
                None => result.extend(std::iter::repeat_n(value, channels)),
            }
        }
    }
    result
}
