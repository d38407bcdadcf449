//#import dispatch
// running[i] = momentum * running[i] + weight * batch[i].
// batch, running: len floats.
// One invocation updates one value.
struct Params {
    len: u32,
    momentum: f32,
    weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> batch: array<f32>;
@group(0) @binding(2) var<storage, read_write> running: array<f32>;

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
    running[index] = params.momentum * running[index] + params.weight * batch[index];
}
