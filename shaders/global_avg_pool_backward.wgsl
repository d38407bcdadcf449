//#import dispatch
// grad_input[n, p, c] = factor * grad[n, c], with factor = 1 / pixels.
// grad: samples x channels floats; grad_input: samples x pixels x channels.
// One invocation writes one gradient.
struct Params {
    samples: u32,
    pixels: u32,
    channels: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let sample = index / (params.pixels * params.channels);
    if sample >= params.samples {
        return;
    }
    grad_input[index] = params.factor * grad[sample * params.channels + index % params.channels];
}
