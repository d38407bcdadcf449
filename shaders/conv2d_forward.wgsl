//#import dispatch
//#import field
// output[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of input[n, iy, ix, ci] * weight[co, ky, kx, ci],
// where iy = oy * stride + ky - pad_top and likewise ix; outside the image input is 0, and bias is 0 unless
// BIAS.
// input: samples x height x width x in_channels floats; weight: out_channels x taps x in_channels; bias:
// out_channels;
// output: samples x out_height x out_width x out_channels.
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
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
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
    let depth = params.in_channels;
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
    // The taps of one line are a run of consecutive inputs, of which those inside the image's line count.
    let run = params.kernel_w * depth;
    let line = params.width * depth;
    var at = rows;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        let r0 = run_of(f0, ky);
        let r1 = run_of(f1, ky);
        let r2 = run_of(f2, ky);
        let r3 = run_of(f3, ky);
        let r4 = run_of(f4, ky);
        let r5 = run_of(f5, ky);
        let r6 = run_of(f6, ky);
        let r7 = run_of(f7, ky);
        for (var c = 0u; c < run; c++) {
            let w = vec4(weight[at.x + c], weight[at.y + c], weight[at.z + c], weight[at.w + c]);
            a0 += input_of(r0, c, line) * w;
            a1 += input_of(r1, c, line) * w;
            a2 += input_of(r2, c, line) * w;
            a3 += input_of(r3, c, line) * w;
            a4 += input_of(r4, c, line) * w;
            a5 += input_of(r5, c, line) * w;
            a6 += input_of(r6, c, line) * w;
            a7 += input_of(r7, c, line) * w;
        }
        at += run;
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

// The inputs under one line of taps: index of the image's line, and the first input's place in it.
struct Run {
    line: u32,
    first: u32,
}

fn run_of(field: Field, ky: u32) -> Run {
    let y = field.y + ky;
    // Outside the image's lines every place is beyond the end; above or left of it places wrap.
    let inside = y < params.height;
    let line = select(0u, (field.line + y) * params.width * params.in_channels, inside);
    return Run(line, select(0x80000000u, field.x * params.in_channels, inside));
}

fn input_of(run: Run, c: u32, line: u32) -> f32 {
    let place = run.first + c;
    let inside = place < line;
    return select(0.0, input[run.line + select(0u, place, inside)], inside);
}
