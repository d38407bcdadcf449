//#import dispatch
// partials[s, co, ky, kx, ci] = sum over (n, oy, ox) of grad_output[n, oy, ox, co] * input[n, iy, ix, ci],
// where iy = oy * stride + ky - pad_top and likewise ix, over the samples_per_partial samples of part s;
// outside the image input is 0. With ACCUMULATE a sum begins with what partials holds.
// grad_output: samples x out_height x out_width x out_channels floats; input: samples x height x width x
// in_channels;
// partials: ceil(samples / samples_per_partial) x out_channels x taps x in_channels.
// The input channels are a multiple of 4 and input and partials are accessed four channels at a time.
// One invocation computes eight output channels of eight consecutive (ky, kx, ci) of one part, each sum in
// the order of positions.
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
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

override WORKGROUP: u32;
override ACCUMULATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let depth = params.in_channels / 4u;
    let row = params.kernel_h * params.kernel_w * depth;
    let row_tiles = (row + 1u) / 2u;
    let channel_tiles = (params.out_channels + 7u) / 8u;
    let first = index % row_tiles * 2u;
    let channel = index / row_tiles % channel_tiles * 8u;
    let part = index / row_tiles / channel_tiles;
    let sample = part * params.samples_per_partial;
    if sample >= params.samples {
        return;
    }
    // With an odd number of quads the last invocation computes its quad twice and stores it once.
    let k = vec2(first, min(first + 1u, row - 1u));
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
    var a0 = begin(part, channel, k.x);
    var a1 = begin(part, channel + 1u, k.x);
    var a2 = begin(part, channel + 2u, k.x);
    var a3 = begin(part, channel + 3u, k.x);
    var a4 = begin(part, channel + 4u, k.x);
    var a5 = begin(part, channel + 5u, k.x);
    var a6 = begin(part, channel + 6u, k.x);
    var a7 = begin(part, channel + 7u, k.x);
    var b0 = begin(part, channel, k.y);
    var b1 = begin(part, channel + 1u, k.y);
    var b2 = begin(part, channel + 2u, k.y);
    var b3 = begin(part, channel + 3u, k.y);
    var b4 = begin(part, channel + 4u, k.y);
    var b5 = begin(part, channel + 5u, k.y);
    var b6 = begin(part, channel + 6u, k.y);
    var b7 = begin(part, channel + 7u, k.y);
    for (var position = 0u; position < positions; position++) {
        let base = ((line + y) * params.width + x) * depth;
        let inside = (y + dy < vec2(params.height)) & (x + dx < vec2(params.width));
        let sites = select(vec2(0u), base + offset, inside);
        let g = gradients(at + channels);
        let h = gradients(at + more);
        let v = select(vec4(0.0), input[sites.x], inside.x);
        let w = select(vec4(0.0), input[sites.y], inside.y);
        a0 += g.x * v;
        a1 += g.y * v;
        a2 += g.z * v;
        a3 += g.w * v;
        a4 += h.x * v;
        a5 += h.y * v;
        a6 += h.z * v;
        a7 += h.w * v;
        b0 += g.x * w;
        b1 += g.y * w;
        b2 += g.z * w;
        b3 += g.w * w;
        b4 += h.x * w;
        b5 += h.y * w;
        b6 += h.z * w;
        b7 += h.w * w;
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
    store(part, channel, first, a0, b0);
    store(part, channel + 1u, first, a1, b1);
    store(part, channel + 2u, first, a2, b2);
    store(part, channel + 3u, first, a3, b3);
    store(part, channel + 4u, first, a4, b4);
    store(part, channel + 5u, first, a5, b5);
    store(part, channel + 6u, first, a6, b6);
    store(part, channel + 7u, first, a7, b7);
}

// What the sums of a quad begin with.
fn begin(part: u32, channel: u32, quad: u32) -> vec4<f32> {
    if ACCUMULATE {
        let row = params.kernel_h * params.kernel_w * (params.in_channels / 4u);
        return partials[(part * params.out_channels + min(channel, params.out_channels - 1u)) * row + quad];
    }
    return vec4(0.0);
}

fn store(part: u32, channel: u32, first: u32, a: vec4<f32>, b: vec4<f32>) {
    let row = params.kernel_h * params.kernel_w * (params.in_channels / 4u);
    if channel < params.out_channels {
        let at = (part * params.out_channels + channel) * row + first;
        partials[at] = a;
        if first + 1u < row {
            partials[at + 1u] = b;
        }
    }
}

fn gradients(at: vec4<u32>) -> vec4<f32> {
    return vec4(grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
}
