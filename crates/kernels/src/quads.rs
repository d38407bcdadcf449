//! What the fused kernels of normalization, pool and quantization share. Shader side: `shaders/shared/quads.wgsl`.

use recording::Constant;
use reference::{bits, norm};

use crate::{Window, floats::UNIT};

/// Planes that name one of the taps of `window`.
pub(crate) fn tap_bits(window: &Window) -> u32 {
    window.taps().next_power_of_two().trailing_zeros()
}

/// 1 where four channels at a time make up a row.
pub(crate) fn vec4(channels: u32) -> u32 {
    u32::from(channels.is_multiple_of(4))
}

/// Words of an operand that a variant does not read: any buffer that holds an element will do.
pub(crate) fn unread(channels: u32) -> u64 {
    if vec4(channels) == 1 { 4 } else { 1 }
}

/// Values that every template of the family is expanded with.
pub(crate) fn template(window: &Window, channels: u32) -> Vec<Constant> {
    vec![
        Constant::new("KERNEL", window.kernel_w),
        Constant::new("TAP_BITS", tap_bits(window)),
        Constant::new("VEC4", vec4(channels)),
    ]
}

/// `slope (x - mean) + beta` of each element and how far a device may be off it; `coefficients` are those of
/// [`BatchNormCoefficients`](crate::BatchNormCoefficients).
pub(crate) fn normalized(x: &[f64], coefficients: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let channels = coefficients.len() / 4;
    let row = |at: usize| &coefficients[at * channels..][..channels];
    let ones = vec![1.0; channels];
    let z = norm::batch_norm_forward(x, row(0), &ones, row(2), row(3), 0.0);
    // Difference, product and sum.
    let error = |(index, z): (usize, &f64)| {
        let beta = row(3)[index % channels];
        UNIT * (3.0 * (z - beta).abs() + beta.abs())
    };
    let errors = z.iter().enumerate().map(error).collect();
    (z, errors)
}

/// `xhat = (x - mean) * scale` of each element.
pub(crate) fn standardized(x: &[f64], coefficients: &[f64]) -> Vec<f64> {
    let channels = coefficients.len() / 4;
    let row = |at: usize| &coefficients[at * channels..][..channels];
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    norm::batch_norm_forward(x, row(0), &ones, row(1), &zeros, 0.0)
}

/// Where the gradient of each output goes: whether it passes, and to which tap.
pub(crate) fn unpack_route(route: &[u32], window: &Window, channels: u32) -> (Vec<bool>, Vec<u32>) {
    let (rows, planes) = (window.out_pixels(), 1 + tap_bits(window));
    let words = planes * rows * crate::words_for(channels);
    let codes = bits::unpack(&route[..words as usize], rows as usize, channels as usize, planes);
    (codes.iter().map(|code| code & 1 == 1).collect(), codes.iter().map(|code| code >> 1).collect())
}
