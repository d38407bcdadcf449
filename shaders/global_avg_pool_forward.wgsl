//#import dispatch
// y[n, c] = factor * sum over p of x[n, p, c], with factor = 1 / pixels.
// x: samples x pixels x channels floats; y: samples x channels.
// One invocation averages one channel of one sample in pixel order.
struct Params {
    samples: u32,
    pixels: u32,
    channels: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.samples * params.channels {
        return;
    }
    let first = index / params.channels * params.pixels * params.channels + index % params.channels;
    var sum = 0.0;
    for (var pixel = 0u; pixel < params.pixels; pixel++) {
        sum += x[first + pixel * params.channels];
    }
    y[index] = params.factor * sum;
}
