//#import dispatch
// dst[line, ox, kx * channels + c] = src[line, ox + kx - pad_left, c], and zero outside the line and from
// kernel_w * channels on.
// src: lines x width x channels floats; dst: lines x out_width x quads vectors.
// One invocation fills one (line, ox); its values are a run of consecutive ones in src.
struct Params {
    lines: u32,
    width: u32,
    channels: u32,
    kernel_w: u32,
    pad_left: u32,
    out_width: u32,
    quads: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let line = index / params.out_width;
    if line >= params.lines {
        return;
    }
    // Left of the line places wrap to huge ones.
    let first = (index % params.out_width - params.pad_left) * params.channels;
    for (var quad = 0u; quad < params.quads; quad++) {
        let at = 4u * quad;
        dst[index * params.quads + quad] = vec4(
            value(line, first, at),
            value(line, first, at + 1u),
            value(line, first, at + 2u),
            value(line, first, at + 3u),
        );
    }
}

fn value(line: u32, first: u32, at: u32) -> f32 {
    let length = params.width * params.channels;
    let inside = first + at < length && at < params.kernel_w * params.channels;
    return select(0.0, src[select(0u, line * length + first + at, inside)], inside);
}
