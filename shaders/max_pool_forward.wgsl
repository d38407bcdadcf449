//#import dispatch
//#import window
// y[o, c] = maximum of x over the taps of output pixel o that lie inside the image, argmax[o, c] = the first
// such tap.
// x: input pixels x channels floats; y, argmax: output pixels x channels.
// One invocation finds one maximum.
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
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> argmax: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let out_pixel = index / params.channels;
    if out_pixel >= params.samples * params.out_height * params.out_width {
        return;
    }
    let channel = index % params.channels;
    var best = 0.0;
    var best_tap = OUTSIDE;
    for (var tap = 0u; tap < params.kernel_h * params.kernel_w; tap++) {
        let pixel = window_input(out_pixel, tap);
        if pixel == OUTSIDE {
            continue;
        }
        let value = x[pixel * params.channels + channel];
        if best_tap == OUTSIDE || value > best {
            best = value;
            best_tap = tap;
        }
    }
    y[index] = best;
    argmax[index] = best_tap;
}
