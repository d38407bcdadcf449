//#import dispatch
//#import math
// partials[g] = (sum of grad[i] tanh(weight[i]), number of i with |weight[i]| = largest[0]) over i = g, g + groups, ...
// weight, grad: len; largest: the largest |weight|; partials: groups x 2. Magnitudes are compared by their bits.
// One invocation sums one group, in ascending order.
struct Params {
    len: u32,
    groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> largest: array<u32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.groups {
        return;
    }
    var sum = 0.0;
    var count = 0u;
    for (var i = index; i < params.len; i += params.groups) {
        sum += grad[i] * tanh_bounded(weight[i]);
        count += select(0u, 1u, (bitcast<u32>(weight[i]) & 0x7fffffffu) == largest[0]);
    }
    partials[2u * index] = sum;
    partials[2u * index + 1u] = f32(count);
}
