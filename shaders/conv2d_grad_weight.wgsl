//#import dispatch
// partials[s, co, ky, kx, ci] = sum over (n, oy, ox) of grad_output[n, oy, ox, co] * input[n, iy, ix, ci],
// where iy = oy * stride + ky - pad_top and likewise ix, over the samples_per_partial samples of part s;
// outside the image input is 0. With ACCUMULATE a sum begins with what partials holds.
// grad_output: samples x out_height x out_width x out_channels floats; input: samples x height x width x
// in_channels;
// partials: ceil(samples / samples_per_partial) x out_channels x taps x in_channels.
// One invocation computes eight output channels of four consecutive (ky, kx, ci) of one part, each sum in the
// order of positions.
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
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;
override ACCUMULATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let depth = params.in_channels;
    let row = params.kernel_h * params.kernel_w * depth;
    let row_tiles = (row + 3u) / 4u;
    let channel_tiles = (params.out_channels + 7u) / 8u;
    let first = index % row_tiles * 4u;
    let channel = index / row_tiles % channel_tiles * 8u;
    let part = index / row_tiles / channel_tiles;
    let sample = part * params.samples_per_partial;
    if sample >= params.samples {
        return;
    }
    let k = min(first + vec4(0u, 1u, 2u, 3u), vec4(row - 1u));
    let tap = k / depth;
    let ky = tap / params.kernel_w;
    let kx = tap % params.kernel_w;
    let ci = k % depth;
    let last = vec4(params.out_channels - 1u);
    let channels = min(channel + vec4(0u, 1u, 2u, 3u), last);
    let more = min(channel + vec4(4u, 5u, 6u, 7u), last);
    let samples = min(params.samples_per_partial, params.samples - sample);
    let positions = samples * params.out_height * params.out_width;
    // What stays of an input index when the position moves; coordinates in the padding wrap to huge ones.
    let dy = ky - params.pad_top;
    let dx = kx - params.pad_left;
    let offset = (dy * params.width + dx) * depth + ci;
    var line = sample * params.height;
    var y = 0u;
    var x = 0u;
    var at = sample * params.out_height * params.out_width * params.out_channels;
    var a0 = begin(part, channel, k);
    var a1 = begin(part, channel + 1u, k);
    var a2 = begin(part, channel + 2u, k);
    var a3 = begin(part, channel + 3u, k);
    var a4 = begin(part, channel + 4u, k);
    var a5 = begin(part, channel + 5u, k);
    var a6 = begin(part, channel + 6u, k);
    var a7 = begin(part, channel + 7u, k);
    for (var position = 0u; position < positions; position++) {
        let base = ((line + y) * params.width + x) * depth;
        let inside = (y + dy < vec4(params.height)) & (x + dx < vec4(params.width));
        let sites = select(vec4(0u), base + offset, inside);
        let g = gradients(at + channels);
        let h = gradients(at + more);
        let read = vec4(input[sites.x], input[sites.y], input[sites.z], input[sites.w]);
        let v = select(vec4(0.0), read, inside);
        a0 += g.x * v;
        a1 += g.y * v;
        a2 += g.z * v;
        a3 += g.w * v;
        a4 += h.x * v;
        a5 += h.y * v;
        a6 += h.z * v;
        a7 += h.w * v;
        at += params.out_channels;
        x += params.stride;
        if x == params.out_width * params.stride {
            x = 0u;
            y += params.stride;
            if y == params.out_height * params.stride {
                y = 0u;
                line += params.height;
            }
        }
    }
    store(part, channel, first, a0);
    store(part, channel + 1u, first, a1);
    store(part, channel + 2u, first, a2);
    store(part, channel + 3u, first, a3);
    store(part, channel + 4u, first, a4);
    store(part, channel + 5u, first, a5);
    store(part, channel + 6u, first, a6);
    store(part, channel + 7u, first, a7);
}

// What the sums of four consecutive (ky, kx, ci) begin with.
fn begin(part: u32, channel: u32, k: vec4<u32>) -> vec4<f32> {
    if ACCUMULATE {
        let row = params.kernel_h * params.kernel_w * params.in_channels;
        let at = (part * params.out_channels + min(channel, params.out_channels - 1u)) * row + k;
        return vec4(partials[at.x], partials[at.y], partials[at.z], partials[at.w]);
    }
    return vec4(0.0);
}

fn store(part: u32, channel: u32, first: u32, values: vec4<f32>) {
    let row = params.kernel_h * params.kernel_w * params.in_channels;
    if channel < params.out_channels {
        let at = (part * params.out_channels + channel) * row + first;
        let count = row - first;
        partials[at] = values.x;
        if count > 1u {
            partials[at + 1u] = values.y;
        }
        if count > 2u {
            partials[at + 2u] = values.z;
        }
        if count > 3u {
            partials[at + 3u] = values.w;
        }
    }
}

fn gradients(at: vec4<u32>) -> vec4<f32> {
    return vec4(grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
}
