//#import dispatch
//#import reader
// grad_input[n, iy, ix, ci] = sum over (ky, kx, co) of grad_output[n, oy, ox, co] * weight[co, ky, kx, ci],
// where oy = (iy + pad_top - ky) / stride and likewise ox, over the taps where both divide and lie inside the
// output.
// grad_output: samples x out_height x out_width x out_channels floats; weight: out_channels x taps x
// in_channels;
// grad_input: samples x height x width x in_channels.
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
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let pixels = params.samples * params.height * params.width;
    let depth = params.in_channels;
    let tiles = (pixels + 3u) / 4u;
    let pixel = index % tiles * 4u;
    let channel = index / tiles * 4u;
    if channel >= depth {
        return;
    }
    let channels = min(channel + vec4(0u, 1u, 2u, 3u), vec4(depth - 1u));
    let r0 = reader_of(pixel);
    let r1 = reader_of(min(pixel + 1u, pixels - 1u));
    let r2 = reader_of(min(pixel + 2u, pixels - 1u));
    let r3 = reader_of(min(pixel + 3u, pixels - 1u));
    let row = params.kernel_h * params.kernel_w * depth;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var tap = 0u;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let down = vec2(ky, kx) / params.stride;
            let phase = vec2(ky, kx) % params.stride;
            let s0 = source(r0, down, phase);
            let s1 = source(r1, down, phase);
            let s2 = source(r2, down, phase);
            let s3 = source(r3, down, phase);
            var at = tap;
            for (var c = 0u; c < params.out_channels; c++) {
                let g0 = select(0.0, grad_output[s0.first + c], s0.inside);
                let g1 = select(0.0, grad_output[s1.first + c], s1.inside);
                let g2 = select(0.0, grad_output[s2.first + c], s2.inside);
                let g3 = select(0.0, grad_output[s3.first + c], s3.inside);
                let k = at + channels;
                let w = vec4(weight[k.x], weight[k.y], weight[k.z], weight[k.w]);
                a0 += g0 * w;
                a1 += g1 * w;
                a2 += g2 * w;
                a3 += g3 * w;
                at += row;
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
    if pixel < params.samples * params.height * params.width {
        store_one(pixel, channel, values.x);
        store_one(pixel, channel + 1u, values.y);
        store_one(pixel, channel + 2u, values.z);
        store_one(pixel, channel + 3u, values.w);
    }
}

fn store_one(pixel: u32, channel: u32, value: f32) {
    if channel < params.in_channels {
        grad_input[pixel * params.in_channels + channel] = value;
    }
}
