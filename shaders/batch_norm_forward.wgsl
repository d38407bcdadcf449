//#import dispatch
// y[r, c] = gamma[c] * (x[r, c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c].
// x, y: rows x channels floats; mean, variance, gamma, beta: channels.
// One invocation normalizes one value.
struct Params {
    rows: u32,
    channels: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read> beta: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.channels {
        return;
    }
    let channel = index % params.channels;
    // The order of operations is that of `normalize_quantize`, so that both give the same bits.
    let scale = inverseSqrt(variance[channel] + params.epsilon);
    let slope = gamma[channel] * scale;
    y[index] = (x[index] - mean[channel]) * slope + beta[channel];
}
