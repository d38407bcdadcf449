//#import dispatch
//#import reader
// grad_input[n, iy, ix, ci] = sum over (ky, kx, co) of grad_output[n, oy, ox, co] * weight[co, ky, kx, ci],
// where oy = (iy + pad_top - ky) / stride and likewise ox, over the taps where both divide and lie inside the
// output.
// grad_output: samples x out_height x out_width x out_channels floats; weight: out_channels x taps x
// in_channels;
// grad_input: samples x height x width x in_channels.
// The input channels are a multiple of 4 and weight and grad_input are accessed four channels at a time.
// One invocation computes eight consecutive pixels of eight channels, each sum in the order of k; taps that
// no pixel uses are skipped.
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
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<vec4<f32>>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let pixels = params.samples * params.height * params.width;
    let depth = params.in_channels / 4u;
    let tiles = (depth + 1u) / 2u;
    let first = index % tiles * 2u;
    let pixel = index / tiles * 8u;
    if pixel >= pixels {
        return;
    }
    // With an odd number of quads the last invocation computes its quad twice and stores it once.
    let second = min(first + 1u, depth - 1u);
    let r0 = reader_of(pixel);
    let r1 = reader_of(min(pixel + 1u, pixels - 1u));
    let r2 = reader_of(min(pixel + 2u, pixels - 1u));
    let r3 = reader_of(min(pixel + 3u, pixels - 1u));
    let r4 = reader_of(min(pixel + 4u, pixels - 1u));
    let r5 = reader_of(min(pixel + 5u, pixels - 1u));
    let r6 = reader_of(min(pixel + 6u, pixels - 1u));
    let r7 = reader_of(min(pixel + 7u, pixels - 1u));
    let row = params.kernel_h * params.kernel_w * depth;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var a4 = vec4(0.0);
    var a5 = vec4(0.0);
    var a6 = vec4(0.0);
    var a7 = vec4(0.0);
    var b0 = vec4(0.0);
    var b1 = vec4(0.0);
    var b2 = vec4(0.0);
    var b3 = vec4(0.0);
    var b4 = vec4(0.0);
    var b5 = vec4(0.0);
    var b6 = vec4(0.0);
    var b7 = vec4(0.0);
    var tap = 0u;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let down = vec2(ky, kx) / params.stride;
            let phase = vec2(ky, kx) % params.stride;
            let s0 = source(r0, down, phase);
            let s1 = source(r1, down, phase);
            let s2 = source(r2, down, phase);
            let s3 = source(r3, down, phase);
            let s4 = source(r4, down, phase);
            let s5 = source(r5, down, phase);
            let s6 = source(r6, down, phase);
            let s7 = source(r7, down, phase);
            var at = tap;
            tap += depth;
            let early = s0.inside || s1.inside || s2.inside || s3.inside;
            let late = s4.inside || s5.inside || s6.inside || s7.inside;
            if !(early || late) {
                continue;
            }
            for (var c = 0u; c < params.out_channels; c++) {
                let g0 = select(0.0, grad_output[s0.first + c], s0.inside);
                let g1 = select(0.0, grad_output[s1.first + c], s1.inside);
                let g2 = select(0.0, grad_output[s2.first + c], s2.inside);
                let g3 = select(0.0, grad_output[s3.first + c], s3.inside);
                let g4 = select(0.0, grad_output[s4.first + c], s4.inside);
                let g5 = select(0.0, grad_output[s5.first + c], s5.inside);
                let g6 = select(0.0, grad_output[s6.first + c], s6.inside);
                let g7 = select(0.0, grad_output[s7.first + c], s7.inside);
                let v = weight[at + first];
                let w = weight[at + second];
                a0 += g0 * v;
                a1 += g1 * v;
                a2 += g2 * v;
                a3 += g3 * v;
                a4 += g4 * v;
                a5 += g5 * v;
                a6 += g6 * v;
                a7 += g7 * v;
                b0 += g0 * w;
                b1 += g1 * w;
                b2 += g2 * w;
                b3 += g3 * w;
                b4 += g4 * w;
                b5 += g5 * w;
                b6 += g6 * w;
                b7 += g7 * w;
                at += row;
            }
        }
    }
    store(pixel, first, a0, b0);
    store(pixel + 1u, first, a1, b1);
    store(pixel + 2u, first, a2, b2);
    store(pixel + 3u, first, a3, b3);
    store(pixel + 4u, first, a4, b4);
    store(pixel + 5u, first, a5, b5);
    store(pixel + 6u, first, a6, b6);
    store(pixel + 7u, first, a7, b7);
}

fn store(pixel: u32, first: u32, a: vec4<f32>, b: vec4<f32>) {
    let depth = params.in_channels / 4u;
    if pixel < params.samples * params.height * params.width {
        grad_input[pixel * depth + first] = a;
        if first + 1u < depth {
            grad_input[pixel * depth + first + 1u] = b;
        }
    }
}
