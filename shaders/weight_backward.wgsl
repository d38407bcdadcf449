//#import dispatch
//#import math
// grad_weight[i] = factor[0] grad[i] (1 - tanh(weight[i])^2) / m, m = scale[0] = max |tanh w|: the gradient of DoReFa-Net's
// equation 9, times a factor, with the rounding passed straight through and m and the factor held constant. m = 0 gives 0.
// weight, grad, grad_weight: len. One invocation writes one element.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> factor: array<f32>;
@group(0) @binding(4) var<storage, read> grad: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_weight: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.len {
        return;
    }
    let t = tanh_bounded(weight[index]);
    var result = 0.0;
    if scale[0] > 0.0 {
        result = factor[0] * (grad[index] * (1.0 - t * t) / scale[0]);
    }
    grad_weight[index] = result;
}
