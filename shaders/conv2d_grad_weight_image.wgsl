//#import dispatch
// partials[s, co, ky, kx, ci] = sum over (n, oy, ox) of grad_output[n, oy, ox, co] * input[n, iy, ix, ci],
// where iy = oy + ky - pad_top and likewise ix, over the samples_per_partial samples of part s; outside the
// image input is 0. For steps of one pixel, output channels in fours and KERNEL_W of at most five taps. With ACCUMULATE
// a sum begins with what partials holds.
// grad_output: samples x out_height x out_width x out_channels / 4 vectors; input: samples x height x width x
// in_channels floats; partials: ceil(samples / samples_per_partial) x out_channels x taps x in_channels.
// One invocation computes four output channels of the taps of one line of one input channel of one part, each
// sum in the order of positions. From one position to the next the inputs move on by one tap, so a position
// loads one input for all taps.
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
    in_channels: u32,
    out_channels: u32,
    samples_per_partial: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;
override KERNEL_W: u32;
override ACCUMULATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let depth = params.in_channels;
    let quads = params.out_channels / 4u;
    let runs = params.kernel_h * depth;
    let run = index % runs;
    let quad = index / runs % quads;
    let part = index / runs / quads;
    let sample = part * params.samples_per_partial;
    if sample >= params.samples {
        return;
    }
    let ky = run / depth;
    let ci = run % depth;
    let lines = min(params.samples_per_partial, params.samples - sample) * params.out_height;
    var at = sample * params.out_height * params.out_width * quads + quad;
    var image = sample * params.height;
    // Above or left of the image coordinates wrap to huge ones.
    let top = ky - params.pad_top;
    var y = top;
    // The last tap is in v4 and a4 whatever the width of the kernel, and the first in v(5 - KERNEL_W).
    let row = params.kernel_h * KERNEL_W * depth;
    let first = (part * params.out_channels + quad * 4u) * row + ky * KERNEL_W * depth + ci;
    let last = first + (KERNEL_W - 1u) * depth;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var a4 = vec4(0.0);
    if ACCUMULATE {
        if KERNEL_W > 4u {
            a0 = begin(last - 4u * depth, row);
        }
        if KERNEL_W > 3u {
            a1 = begin(last - 3u * depth, row);
        }
        if KERNEL_W > 2u {
            a2 = begin(last - 2u * depth, row);
        }
        a3 = begin(last - depth, row);
        a4 = begin(last, row);
    }
    for (var line = 0u; line < lines; line++) {
        let start = (image + y) * params.width * depth + ci;
        let width = select(0u, params.width, y < params.height);
        var x = KERNEL_W - 1u - params.pad_left;
        var v0 = input_at(start, x - 4u, width);
        var v1 = input_at(start, x - 3u, width);
        var v2 = input_at(start, x - 2u, width);
        var v3 = input_at(start, x - 1u, width);
        for (var ox = 0u; ox < params.out_width; ox++) {
            let v4 = input_at(start, x + ox, width);
            let g = grad_output[at];
            if KERNEL_W > 4u {
                a0 += g * v0;
            }
            if KERNEL_W > 3u {
                a1 += g * v1;
            }
            if KERNEL_W > 2u {
                a2 += g * v2;
            }
            a3 += g * v3;
            a4 += g * v4;
            v0 = v1;
            v1 = v2;
            v2 = v3;
            v3 = v4;
            at += quads;
        }
        y += 1u;
        if y == top + params.out_height {
            y = top;
            image += params.height;
        }
    }
    if KERNEL_W > 4u {
        store(last - 4u * depth, row, a0);
    }
    if KERNEL_W > 3u {
        store(last - 3u * depth, row, a1);
    }
    if KERNEL_W > 2u {
        store(last - 2u * depth, row, a2);
    }
    store(last - depth, row, a3);
    store(last, row, a4);
}

// The input at place x of the line whose inputs start at `start`; zero from `width` on.
fn input_at(start: u32, x: u32, width: u32) -> f32 {
    let inside = x < width;
    return select(0.0, input[select(0u, start + x * params.in_channels, inside)], inside);
}

fn begin(at: u32, row: u32) -> vec4<f32> {
    return vec4(partials[at], partials[at + row], partials[at + 2u * row], partials[at + 3u * row]);
}

fn store(at: u32, row: u32, values: vec4<f32>) {
    partials[at] = values.x;
    partials[at + row] = values.y;
    partials[at + 2u * row] = values.z;
    partials[at + 3u * row] = values.w;
}
