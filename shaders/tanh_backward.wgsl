//#import dispatch
// grad_input[i] = grad[i] (1 - y[i]^2), the gradient of y = tanh(x).
// y, grad, grad_input: len floats.
// One invocation computes one gradient.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

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
    // As a product, exact where y is near 1.
    let value = y[index];
    grad_input[index] = grad[index] * ((1.0 - value) * (1.0 + value));
}
