//#import dispatch
// grad_input = gamma / sqrt(variance + epsilon) * (grad - (sums[c] + xhat * sums[channels + c]) *
// factor), where xhat = (x - mean) / sqrt(variance + epsilon); the part with the sums is left out if
// FROZEN.
// x, grad, grad_input: rows x channels floats; mean, variance, gamma: channels; sums: 2 channels, of grad and
// of grad * xhat over 1 / factor rows.
// One invocation computes one gradient.
struct Params {
    rows: u32,
    channels: u32,
    epsilon: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read> gamma: array<f32>;
@group(0) @binding(6) var<storage, read> sums: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;
override FROZEN: bool;

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
    let scale = inverseSqrt(variance[channel] + params.epsilon);
    var through = grad[index];
    if !FROZEN {
        let normalized = (x[index] - mean[channel]) * scale;
        let statistics = sums[channel] + normalized * sums[params.channels + channel];
        through -= statistics * params.factor;
    }
    grad_input[index] = gamma[channel] * scale * through;
}
