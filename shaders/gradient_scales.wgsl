//#import dispatch
// dst[i] = s, or max(dst[i], s) where ACCUMULATE is 1, with s = src[i], or where POW2 is 1 the smallest normal power of two
// that is not below src[i]; 0 stays 0, and what lies above the largest power of two stays what it is.
// src, dst: len magnitudes as bits, which order as these do, infinity and then NaN last.
// One invocation writes one scale.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<u32>;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;

override WORKGROUP: u32;
override POW2: u32;
override ACCUMULATE: u32;

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
    var scale = src[index];
    if POW2 == 1u {
        scale = power_of_two_from(scale);
    }
    if ACCUMULATE == 1u {
        scale = max(scale, dst[index]);
    }
    dst[index] = scale;
}

fn power_of_two_from(bits: u32) -> u32 {
    let mantissa = bits & 0x007fffffu;
    let above = select(bits, bits - mantissa + 0x00800000u, mantissa != 0u);
    return select(above, bits, bits > 0x7f000000u);
}
