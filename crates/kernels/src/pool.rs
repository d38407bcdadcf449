//! What the kernels of pools share.

use recording::{Expected, Kernel, Param};
use reference::pool::Pool2d;

use crate::floats::UNIT;
use crate::{Case, Random, Window};

/// The geometry as a pool of the reference.
///
/// # Panics
/// A pool window must be square.
pub(crate) fn to_reference(window: &Window, channels: u32) -> Pool2d {
    assert_eq!(window.kernel_h, window.kernel_w, "a pool window is square");
    let conv = window.to_reference(channels, channels);
    Pool2d {
        samples: conv.samples,
        height: conv.height,
        width: conv.width,
        channels: conv.in_channels,
        kernel: conv.kernel_h,
        stride: conv.stride,
        pad_top: conv.pad_top,
        pad_left: conv.pad_left,
        out_h: conv.out_h,
        out_w: conv.out_w,
    }
}

/// The members of Params: the geometry, then the channels.
pub(crate) fn params(window: &Window, channels: u32) -> Vec<Param> {
    [window.params(), vec![Param::u32("channels", channels)]].concat()
}

/// What an average pool or its gradient makes of `values`.
pub(crate) fn averaged(
    window: &Window,
    values: &[f64],
    average: impl Fn(&[f64]) -> Vec<f64>,
) -> Vec<Expected> {
    let sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    // One rounding for each sum, and WGSL's 2.5 units for a division.
    let units = f64::from(window.taps()) + 3.0;
    let bounds: Vec<f64> = average(&sizes).into_iter().map(|size| units * UNIT * size).collect();
    vec![Expected::within(&average(values), &bounds)]
}

/// Cases of average pools and their gradients, on `pixels` of each geometry.
pub(crate) fn average_cases<K: Kernel + 'static>(
    seed: u32,
    pixels: impl Fn(&Window) -> u32,
    kernel: impl Fn(Window, u32) -> K,
) -> Vec<Case> {
    let mut random = Random::new(seed);
    let with_channels = windows().into_iter().zip([1, 3, 65, 7, 33, 5, 2, 13]);
    let case = |(window, channels): (Window, u32)| {
        let values = random.floats((pixels(&window) * channels) as usize, -1.0, 2.0);
        Case::new(format!("{window:?} x {channels}"), kernel(window, channels), vec![values, vec![]])
    };
    with_channels.chain([(windows()[2], 31)]).map(case).collect()
}

/// Geometries for cases: whole and cut windows, overlap, padding, one pixel, one window, gaps between
/// windows.
pub(crate) fn windows() -> Vec<Window> {
    let same = |input, kernel, stride| square(&Pool2d::same(input, kernel, stride));
    let valid = |input, kernel, stride| square(&Pool2d::valid(input, kernel, stride));
    vec![
        valid([2, 4, 6, 1], 2, 2),
        same([1, 5, 5, 1], 2, 2),
        same([3, 5, 7, 1], 3, 2),
        same([2, 6, 5, 1], 3, 1),
        same([1, 1, 1, 1], 1, 1),
        valid([2, 7, 7, 1], 7, 1),
        valid([1, 4, 9, 1], 1, 3),
        valid([2, 5, 8, 1], 3, 3),
    ]
}

/// Geometries whose windows do not overlap, with padding, cut windows and gaps between them.
pub(crate) fn apart_windows() -> Vec<Window> {
    let same = |input, kernel, stride| square(&Pool2d::same(input, kernel, stride));
    let valid = |input, kernel, stride| square(&Pool2d::valid(input, kernel, stride));
    vec![
        valid([2, 4, 6, 1], 2, 2),
        same([1, 5, 5, 1], 2, 2),
        valid([3, 5, 7, 1], 2, 2),
        same([2, 7, 4, 1], 3, 3),
        valid([1, 7, 8, 1], 2, 3),
        same([1, 18, 18, 1], 2, 2),
        valid([5, 2, 2, 1], 2, 2),
        same([2, 8, 5, 1], 4, 4),
    ]
}

/// A window of one pixel that visits every pixel: no pool.
pub(crate) fn whole_image(samples: u32, height: u32, width: u32) -> Window {
    square(&Pool2d::valid([samples, height, width, 1].map(|size| size as usize), 1, 1))
}

fn square(pool: &Pool2d) -> Window {
    Window {
        samples: pool.samples as u32,
        height: pool.height as u32,
        width: pool.width as u32,
        kernel_h: pool.kernel as u32,
        kernel_w: pool.kernel as u32,
        stride: pool.stride as u32,
        pad_top: pool.pad_top as u32,
        pad_left: pool.pad_left as u32,
        out_height: pool.out_h as u32,
        out_width: pool.out_w as u32,
    }
}
