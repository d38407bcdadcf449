//#import dispatch
// flags[slot] |= 1 where any of the values is infinite or not a number.
// values: len floats as bits, because comparisons of floats do not find NaN on every driver; flags: flags_len
// words.
// One invocation tests one value. The order of the atomics does not matter: all of them set the same bit.
struct Params {
    len: u32,
    slot: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;

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
    if (values[index] & 0x7fffffffu) >= 0x7f800000u {
        atomicOr(&flags[params.slot], 1u);
    }
}
