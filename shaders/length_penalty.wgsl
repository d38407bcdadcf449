//#import dispatch
// gradient[o_i] = g_i = gradient[o_i] + c_i + sum over j of k_ij lengths[o_j] for the bit lengths i at the words o_i; where TIED
// is 1 every one gets the sum of all g_i, in ascending order.
// table: count x 4 first, o_i, c_i as float bits, and where its entries begin and end; then pairs of o_j and k_ij as float
// bits. lengths, gradient: words. One invocation computes one g_i, or one all of them where TIED is 1.
struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lengths: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

override WORKGROUP: u32;
override TIED: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if TIED == 1u {
        if index == 0u {
            tie();
        }
        return;
    }
    if index < params.count {
        gradient[table[4u * index]] = penalized(index);
    }
}

fn tie() {
    var sum = 0.0;
    for (var i = 0u; i < params.count; i++) {
        sum += penalized(i);
    }
    for (var i = 0u; i < params.count; i++) {
        gradient[table[4u * i]] = sum;
    }
}

fn penalized(i: u32) -> f32 {
    var sum = gradient[table[4u * i]] + bitcast<f32>(table[4u * i + 1u]);
    for (var at = table[4u * i + 2u]; at < table[4u * i + 3u]; at++) {
        let entry = 4u * params.count + 2u * at;
        sum += bitcast<f32>(table[entry + 1u]) * lengths[table[entry]];
    }
    return sum;
}
