//#import dispatch
// What a normalization needs per channel, in four rows of `channels`: mean, scale = 1 / sqrt(variance + epsilon),
// gamma * scale, beta.
// mean, variance, gamma, beta: channels; coefficients: 4 x channels.
// One invocation writes the four numbers of one channel.
struct Params {
    channels: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let channel = linear_group(group, groups) * WORKGROUP + local;
    if channel >= params.channels {
        return;
    }
    let scale = inverseSqrt(variance[channel] + params.epsilon);
    coefficients[channel] = mean[channel];
    coefficients[params.channels + channel] = scale;
    coefficients[2u * params.channels + channel] = gamma[channel] * scale;
    coefficients[3u * params.channels + channel] = beta[channel];
}
