//#import dispatch
//#import random
// scales[2 SPREAD i + SPREAD g] = range[0] (at_g + slope_g f) for the plane groups g = 0, 1 of bit length i, 0 in between,
// with the fraction f = clip(length[i] - base, 0, 1), or where DRAW is 1 a random 1 with probability f, else 0: of the
// uniform number of (seed, step, tensor, i, 0).
// length: len; range: 1; step: step, seed low, seed high; table: len x 5 as float bits, base, at_0, slope_0, at_1, slope_1;
// scales: len x 2 x SPREAD.
// One invocation writes one word.
struct Params {
    len: u32,
    tensor: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> length: array<f32>;
@group(0) @binding(2) var<storage, read> range: array<f32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;

override WORKGROUP: u32;
override SPREAD: u32;
override DRAW: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.len * 2u * SPREAD {
        return;
    }
    let at = index / SPREAD;
    if index != at * SPREAD {
        scales[index] = 0.0;
        return;
    }
    let i = at / 2u;
    let entry = 5u * i;
    var f = clamp(length[i] - bitcast<f32>(table[entry]), 0.0, 1.0);
    if DRAW == 1u {
        let drawn = uniform_block(vec2(step[1], step[2]), step[0], params.tensor, i, 0u).x;
        f = select(0.0, 1.0, drawn < f);
    }
    let own = entry + 1u + 2u * (at & 1u);
    scales[index] = range[0] * (bitcast<f32>(table[own]) + bitcast<f32>(table[own + 1u]) * f);
}
