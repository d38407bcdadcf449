//#import dispatch
// means[i] = sums[2 i] / sums[2 i + 1], 0 where nothing was summed.
// sums: len pairs of a sum and how many values it has; means: len.
// One invocation divides one pair.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> means: array<f32>;

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
    var mean = 0.0;
    if sums[2u * index + 1u] > 0.0 {
        mean = sums[2u * index] / sums[2u * index + 1u];
    }
    means[index] = mean;
}
