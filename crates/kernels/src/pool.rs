//! What the kernels of the maximum pool share.

use reference::pool::Pool2d;

use crate::Window;

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
