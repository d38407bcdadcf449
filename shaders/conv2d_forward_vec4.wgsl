//#import dispatch
//#import field
// output[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of input[n, iy, ix, ci] * weight[co, ky, kx, ci],
// where iy = oy * stride + ky - pad_top and likewise ix; outside the image input is 0, and bias is 0 unless
// BIAS.
// input: samples x height x width x in_channels floats; weight: out_channels x taps x in_channels; bias:
// out_channels;
// output: samples x out_height x out_width x out_channels.
// The input channels are a multiple of 4 and input and weight are read four channels at a time.
// One invocation computes four consecutive pixels of four channels, each sum in the order of k.
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

override WORKGROUP: u32;
override BIAS: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let pixels = params.samples * params.out_height * params.out_width;
    let tiles = (pixels + 3u) / 4u;
    let pixel = index % tiles * 4u;
    let channel = index / tiles * 4u;
    if channel >= params.out_channels {
        return;
    }
    let f0 = field_of(pixel);
    let f1 = field_of(min(pixel + 1u, pixels - 1u));
    let f2 = field_of(min(pixel + 2u, pixels - 1u));
    let f3 = field_of(min(pixel + 3u, pixels - 1u));
    let depth = params.in_channels / 4u;
    let row = params.kernel_h * params.kernel_w * depth;
    let last = params.out_channels - 1u;
    let rows = min(channel + vec4(0u, 1u, 2u, 3u), vec4(last)) * row;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var tap = vec4(0u);
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let s0 = source(f0, ky, kx);
            let s1 = source(f1, ky, kx);
            let s2 = source(f2, ky, kx);
            let s3 = source(f3, ky, kx);
            let at = rows + tap;
            for (var c = 0u; c < depth; c++) {
                let w = mat4x4(weight[at.x + c], weight[at.y + c], weight[at.z + c], weight[at.w + c]);
                a0 += select(vec4(0.0), input[s0.pixel * depth + c], s0.inside) * w;
                a1 += select(vec4(0.0), input[s1.pixel * depth + c], s1.inside) * w;
                a2 += select(vec4(0.0), input[s2.pixel * depth + c], s2.inside) * w;
                a3 += select(vec4(0.0), input[s3.pixel * depth + c], s3.inside) * w;
            }
            tap += depth;
        }
    }
    store(pixel, channel, a0);
    store(pixel + 1u, channel, a1);
    store(pixel + 2u, channel, a2);
    store(pixel + 3u, channel, a3);
}

fn store(pixel: u32, channel: u32, values: vec4<f32>) {
    if pixel < params.samples * params.out_height * params.out_width {
        store_one(pixel, channel, values.x);
        store_one(pixel, channel + 1u, values.y);
        store_one(pixel, channel + 2u, values.z);
        store_one(pixel, channel + 3u, values.w);
    }
}

fn store_one(pixel: u32, channel: u32, value: f32) {
    if channel < params.out_channels {
        var result = value;
        if BIAS {
            result += bias[channel];
        }
        output[pixel * params.out_channels + channel] = result;
    }
}
