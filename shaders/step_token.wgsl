//#import dispatch
// token[0] = step[0] + increment: proof that the work submitted before it has run.
// step: 8 words; token: 1 word.
// One invocation writes the token.
struct Params {
    increment: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> token: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index != 0u {
        return;
    }
    token[0] = step[0] + params.increment;
}
