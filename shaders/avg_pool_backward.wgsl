//#import dispatch
//#import window
// dx[n, iy, ix, c] = sum over the windows that read the pixel of dy / (taps of that window inside the image).
// dy: out_pixels x channels floats; dx: in_pixels x channels.
// One invocation gathers one input value, tap after tap.
struct Params {
    samples: u32,
    height: u32,
    width: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
    out_height: u32,
    out_width: u32,
    channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

override WORKGROUP: u32;

// Positions of a window along one axis that lie inside the image.
fn inside(window: u32, kernel: u32, pad: u32, size: u32) -> u32 {
    let first = window * params.stride;
    return min(first + kernel, size + pad) - max(first, pad);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.samples * params.height * params.width * params.channels {
        return;
    }
    let at = window_position(index / params.channels, params.height, params.width);
    let channel = index % params.channels;
    var sum = 0.0;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let pixel = window_output_at(at, ky, kx);
            if pixel != OUTSIDE {
                let out = window_position(pixel, params.out_height, params.out_width);
                let rows = inside(out.y, params.kernel_h, params.pad_top, params.height);
                let columns = inside(out.z, params.kernel_w, params.pad_left, params.width);
                sum += dy[pixel * params.channels + channel] / f32(rows * columns);
            }
        }
    }
    dx[index] = sum;
}
