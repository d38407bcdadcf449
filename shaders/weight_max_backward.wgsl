//#import dispatch
//#import math
// grad_weight[i] += -sign(t) sums[0] / m^2 (1 - t^2) / sums[1] where |weight[i]| = largest[0], t = tanh(weight[i]),
// m = scale[0] = max |tanh w|: the gradient through the maximum of DoReFa-Net's equation 9, spread over its ties. m = 0
// adds nothing.
// weight, grad_weight: len; largest: the largest |weight|; sums: sum of grad * t, number of ties. Magnitudes are compared
// by their bits. One invocation adds to one element.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> largest: array<u32>;
@group(0) @binding(4) var<storage, read> sums: array<f32>;
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
    let bits = bitcast<u32>(weight[index]);
    if (bits & 0x7fffffffu) != largest[0] || scale[0] == 0.0 {
        return;
    }
    let t = tanh_bounded(weight[index]);
    let slope = sums[0] / scale[0] / scale[0] * (1.0 - t * t) / sums[1];
    grad_weight[index] += select(-slope, slope, weight[index] < 0.0);
}
