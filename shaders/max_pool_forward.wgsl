//#import dispatch
// y[o, c] = maximum of x over the taps of output pixel o that lie inside the image, argmax[o, c] = the first
// such tap.
// x: input pixels x channels floats; y, argmax: output pixels x channels.
// One invocation finds the maxima of four channels of one output pixel.
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
const NONE = vec4(0xffffffffu);

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let tiles = (params.channels + 3u) / 4u;
    let out_pixel = index / tiles;
    if out_pixel >= params.samples * params.out_height * params.out_width {
        return;
    }
    let channel = (index - out_pixel * tiles) * 4u;
    let channels = min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.channels - 1u));
    let line = out_pixel / params.out_width;
    let sample = line / params.out_height;
    // A coordinate above or left of the image wraps to a huge one.
    let top = (line - sample * params.out_height) * params.stride - params.pad_top;
    let left = (out_pixel - line * params.out_width) * params.stride - params.pad_left;
    var best = vec4(0.0);
    var taps = NONE;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        let iy = top + ky;
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let ix = left + kx;
            if iy >= params.height || ix >= params.width {
                continue;
            }
            let pixel = (sample * params.height + iy) * params.width + ix;
            let at = pixel * params.channels + channels;
            let values = vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
            let better = (taps == NONE) | (values > best);
            best = select(best, values, better);
            taps = select(taps, vec4(ky * params.kernel_w + kx), better);
        }
    }
    store(out_pixel, channel, best.x, taps.x);
    store(out_pixel, channel + 1u, best.y, taps.y);
    store(out_pixel, channel + 2u, best.z, taps.z);
    store(out_pixel, channel + 3u, best.w, taps.w);
}

fn store(pixel: u32, channel: u32, value: f32, tap: u32) {
    if channel < params.channels {
        let at = pixel * params.channels + channel;
        y[at] = value;
        argmax[at] = tap;
    }
}
