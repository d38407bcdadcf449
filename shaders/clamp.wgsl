//#import dispatch
// values[i] = min(max(values[i], low), high), NaN stays. values: len. One invocation changes one value.
struct Params {
    len: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;

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
    let bits = values[index];
    let clamped = bitcast<u32>(clamp(bitcast<f32>(bits), params.low, params.high));
    values[index] = select(clamped, bits, (bits & 0x7fffffffu) > 0x7f800000u);
}
