// Sliding windows over images, NHWC: output (n, oy, ox) reads input (n, iy, ix) through the tap (ky, kx) where
// iy = oy * stride + ky - pad_top, and likewise ix. The importing shader's Params hold the ten members samples, height,
// width, kernel_h, kernel_w, stride, pad_top, pad_left, out_height, out_width.
const OUTSIDE = 0xffffffffu;

// Input pixel (row of a matrix of pixels) that output pixel `out_pixel` reads through tap `tap`, or OUTSIDE in the padding.
fn window_input(out_pixel: u32, tap: u32) -> u32 {
    let column = out_pixel % params.out_width;
    let line = out_pixel / params.out_width;
    let y = line % params.out_height * params.stride + tap / params.kernel_w;
    let x = column * params.stride + tap % params.kernel_w;
    // A coordinate above or left of the image wraps to a huge one.
    let iy = y - params.pad_top;
    let ix = x - params.pad_left;
    let pixel = (line / params.out_height * params.height + iy) * params.width + ix;
    return select(OUTSIDE, pixel, iy < params.height && ix < params.width);
}

// Output pixel that reads input pixel `in_pixel` through tap `tap`, or OUTSIDE where none does.
fn window_output(in_pixel: u32, tap: u32) -> u32 {
    let column = in_pixel % params.width;
    let line = in_pixel / params.width;
    let y = line % params.height + params.pad_top;
    let x = column + params.pad_left;
    let ky = tap / params.kernel_w;
    let kx = tap % params.kernel_w;
    // A difference below zero wraps to a huge one, which lies outside the output.
    let oy = (y - ky) / params.stride;
    let ox = (x - kx) / params.stride;
    let divides = (y - ky) % params.stride == 0u && (x - kx) % params.stride == 0u;
    let pixel = (line / params.height * params.out_height + oy) * params.out_width + ox;
    return select(OUTSIDE, pixel, divides && oy < params.out_height && ox < params.out_width);
}
