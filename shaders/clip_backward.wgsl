//#import dispatch
// grad_input[i] = grad[i] where 0 <= x[i] <= limit, both ends included, else 0. Where FORM is 1, the gradient of
// min(limit, |x|): grad[i] times the sign of x[i] where 0 < |x[i]| < limit, else 0.
// x, grad, grad_input: len floats.
// One invocation passes or stops one gradient.
struct Params {
    len: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;
override FORM: u32;

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
    let value = x[index];
    if FORM == 1u {
        let sloped = value != 0.0 && abs(value) < params.limit;
        grad_input[index] = select(0.0, select(grad[index], -grad[index], value < 0.0), sloped);
        return;
    }
    let inside = value >= 0.0 && value <= params.limit;
    grad_input[index] = select(0.0, grad[index], inside);
}
