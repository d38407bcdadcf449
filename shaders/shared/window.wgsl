// Sliding windows over images, NHWC: output (n, oy, ox) reads input (n, iy, ix) through the tap (ky, kx)
// where iy = oy * stride + ky - pad_top, and likewise ix. The importing shader's Params hold the ten members
// samples, height, width, kernel_h, kernel_w, stride, pad_top, pad_left, out_height, out_width. Pixels are
// rows of a matrix of pixels.
const OUTSIDE = 0xffffffffu;

// Input pixel that output pixel `out_pixel` reads through tap `tap`, or OUTSIDE in the padding.
fn window_input(out_pixel: u32, tap: u32) -> u32 {
    let out = window_position(out_pixel, params.out_height, params.out_width);
    return window_input_at(out, tap / params.kernel_w, tap % params.kernel_w);
}

// Output pixel that reads input pixel `in_pixel` through tap `tap`, or OUTSIDE where none does.
fn window_output(in_pixel: u32, tap: u32) -> u32 {
    let at = window_position(in_pixel, params.height, params.width);
    return window_output_at(at, tap / params.kernel_w, tap % params.kernel_w);
}

// Sample, line and column of a pixel of images of `height` lines of `width` pixels.
fn window_position(pixel: u32, height: u32, width: u32) -> vec3<u32> {
    let line = pixel / width;
    let sample = line / height;
    return vec3(sample, line - sample * height, pixel - line * width);
}

// window_input for (n, oy, ox) and (ky, kx); a caller of many taps divides only once.
fn window_input_at(out: vec3<u32>, ky: u32, kx: u32) -> u32 {
    // A coordinate above or left of the image wraps to a huge one.
    let iy = out.y * params.stride + ky - params.pad_top;
    let ix = out.z * params.stride + kx - params.pad_left;
    let pixel = (out.x * params.height + iy) * params.width + ix;
    return select(OUTSIDE, pixel, iy < params.height && ix < params.width);
}

// window_output for (n, iy, ix) and (ky, kx).
fn window_output_at(at: vec3<u32>, ky: u32, kx: u32) -> u32 {
    // A difference below zero wraps to a huge one, which lies outside the output.
    let y = at.y + params.pad_top - ky;
    let x = at.z + params.pad_left - kx;
    let oy = y / params.stride;
    let ox = x / params.stride;
    let pixel = (at.x * params.out_height + oy) * params.out_width + ox;
    let divides = y % params.stride == 0u && x % params.stride == 0u;
    return select(OUTSIDE, pixel, divides && oy < params.out_height && ox < params.out_width);
}
