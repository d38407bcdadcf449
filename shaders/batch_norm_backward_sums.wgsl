//#import dispatch
// partials[g, c] = sum over the rows r of group g of grad[r, c], and partials[g, channels + c] = sum of
// grad[r, c] * (x[r, c] - mean[c]) / sqrt(variance[c] + epsilon).
// x, grad: rows x channels floats; mean, variance: channels; partials: ceil(rows / group) x 2 channels.
// One invocation sums one channel of one group in row order.
struct Params {
    rows: u32,
    channels: u32,
    group: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let channel = index % params.channels;
    let part = index / params.channels;
    let first = part * params.group;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.group, params.rows);
    let center = mean[channel];
    let scale = inverseSqrt(variance[channel] + params.epsilon);
    var beta_sum = 0.0;
    var gamma_sum = 0.0;
    for (var row = first; row < end; row++) {
        let at = row * params.channels + channel;
        let value = grad[at];
        beta_sum += value;
        gamma_sum += value * ((x[at] - center) * scale);
    }
    let out = part * 2u * params.channels + channel;
    partials[out] = beta_sum;
    partials[out + params.channels] = gamma_sum;
}
