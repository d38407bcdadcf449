//#import dispatch
// y[i] = min(max(x[i], 0), limit), or min(limit, |x[i]|) where FORM is 1.
// x, y: len floats.
// One invocation clips one value.
struct Params {
    len: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    if FORM == 1u {
        y[index] = min(abs(x[index]), params.limit);
    } else {
        y[index] = clamp(x[index], 0.0, params.limit);
    }
}
