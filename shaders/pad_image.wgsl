//#import dispatch
// dst[n, y, x, c] = src[n, y - top, x - left, c] where that pixel exists, else value.
// src: samples x height x width x channels floats; dst: samples x out_height x out_width x channels.
// One invocation copies or fills one element.
struct Params {
    samples: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    top: u32,
    left: u32,
    value: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.samples * params.out_height * params.out_width * params.channels {
        return;
    }
    let pixel = index / params.channels;
    let channel = index - pixel * params.channels;
    let line = pixel / params.out_width;
    // What lies above or left of the image wraps to a large number.
    let x = pixel - line * params.out_width - params.left;
    let sample = line / params.out_height;
    let y = line - sample * params.out_height - params.top;
    if y < params.height && x < params.width {
        dst[index] = src[((sample * params.height + y) * params.width + x) * params.channels + channel];
    } else {
        dst[index] = params.value;
    }
}
