//#import dispatch
//#import field
// output[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of input[n, iy, ix, ci] * weight[co, ky, kx, ci],
// where iy = oy * stride + ky - pad_top and likewise ix; outside the image input is 0, and bias is 0 unless
// BIAS.
// input: samples x height x width x in_channels floats; weight: out_channels x taps x in_channels; bias:
// out_channels;
// output: samples x out_height x out_width x out_channels.
// The input channels are a multiple of 4 and input and weight are read four channels at a time.
// One invocation computes eight consecutive pixels of four channels, each sum in the order of k.
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
    let tiles = (pixels + 7u) / 8u;
    let pixel = index % tiles * 8u;
    let channel = index / tiles * 4u;
    if channel >= params.out_channels {
        return;
    }
    let f0 = field_of(pixel);
    let f1 = next_field(f0);
    let f2 = next_field(f1);
    let f3 = next_field(f2);
    let f4 = next_field(f3);
    let f5 = next_field(f4);
    let f6 = next_field(f5);
    let f7 = next_field(f6);
    let depth = params.in_channels / 4u;
    let row = params.kernel_h * params.kernel_w * depth;
    let rows = min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.out_channels - 1u)) * row;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var a4 = vec4(0.0);
    var a5 = vec4(0.0);
    var a6 = vec4(0.0);
    var a7 = vec4(0.0);
    var at = rows;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let s0 = source(f0, ky, kx);
            let s1 = source(f1, ky, kx);
            let s2 = source(f2, ky, kx);
            let s3 = source(f3, ky, kx);
            let s4 = source(f4, ky, kx);
            let s5 = source(f5, ky, kx);
            let s6 = source(f6, ky, kx);
            let s7 = source(f7, ky, kx);
            let p0 = s0.pixel * depth;
            let p1 = s1.pixel * depth;
            let p2 = s2.pixel * depth;
            let p3 = s3.pixel * depth;
            let p4 = s4.pixel * depth;
            let p5 = s5.pixel * depth;
            let p6 = s6.pixel * depth;
            let p7 = s7.pixel * depth;
            for (var c = 0u; c < depth; c++) {
                let w = transpose(mat4x4(weight[at.x + c], weight[at.y + c], weight[at.z + c], weight[at.w + c]));
                a0 = add(a0, select(vec4(0.0), input[p0 + c], s0.inside), w);
                a1 = add(a1, select(vec4(0.0), input[p1 + c], s1.inside), w);
                a2 = add(a2, select(vec4(0.0), input[p2 + c], s2.inside), w);
                a3 = add(a3, select(vec4(0.0), input[p3 + c], s3.inside), w);
                a4 = add(a4, select(vec4(0.0), input[p4 + c], s4.inside), w);
                a5 = add(a5, select(vec4(0.0), input[p5 + c], s5.inside), w);
                a6 = add(a6, select(vec4(0.0), input[p6 + c], s6.inside), w);
                a7 = add(a7, select(vec4(0.0), input[p7 + c], s7.inside), w);
            }
            at += depth;
        }
    }
    store(pixel, channel, a0);
    store(pixel + 1u, channel, a1);
    store(pixel + 2u, channel, a2);
    store(pixel + 3u, channel, a3);
    store(pixel + 4u, channel, a4);
    store(pixel + 5u, channel, a5);
    store(pixel + 6u, channel, a6);
    store(pixel + 7u, channel, a7);
}

// The sums plus four terms each, one after another: their order is that of every other kernel for this product.
fn add(sums: vec4<f32>, v: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return sums + v.x * w[0] + v.y * w[1] + v.z * w[2] + v.w * w[3];
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

struct Source {
    pixel: u32,
    inside: bool,
}

// The input pixel under one tap of a field, or pixel 0 outside the image.
fn source(field: Field, ky: u32, kx: u32) -> Source {
    let y = field.y + ky;
    let x = field.x + kx;
    let inside = y < params.height && x < params.width;
    return Source(select(0u, (field.line + y) * params.width + x, inside), inside);
}
