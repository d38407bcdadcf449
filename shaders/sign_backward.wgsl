//#import dispatch
// grad_input[i] = grad[i] where |x[i]| <= 1, else 0; times 2 - 2 |x[i]|, the slope of a polynomial that comes close to the
// sign, where POLYNOMIAL is 1.
// x, grad, grad_input: len floats.
// One invocation passes or stops one gradient.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;
override POLYNOMIAL: u32;

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
    let size = abs(x[index]);
    let slope = select(1.0, 2.0 - 2.0 * size, POLYNOMIAL == 1u);
    grad_input[index] = select(0.0, slope * grad[index], size <= 1.0);
}
