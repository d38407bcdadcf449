//#import dispatch
// flags[slot] |= 1 where any of the values is infinite or not a number.
// values: len floats as bits, because comparisons of floats do not find NaN on every driver; flags: flags_len
// words.
// One invocation tests VALUES vectors, `stride` apart so that neighboring invocations read neighboring ones.
// The order of the atomics does not matter: all of them set the same bit.
struct Params {
    // Vectors of values.
    vectors: u32,
    slot: u32,
    stride: u32,
}

alias Words = {{ "vec4<u32>" if VECTOR == 4 else "u32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Words>;
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;

override WORKGROUP: u32;
override VALUES: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.stride {
        return;
    }
    var all = Words(0u);
    for (var value = 0u; value < VALUES; value++) {
        // Past the end, the last vector counts again.
        let at = min(index + value * params.stride, params.vectors - 1u);
        all = max(all, values[at] & Words(0x7fffffffu));
    }
{%- if VECTOR == 4 %}
    let largest = max(max(all.x, all.y), max(all.z, all.w));
{%- else %}
    let largest = all;
{%- endif %}
    if largest >= 0x7f800000u {
        atomicOr(&flags[params.slot], 1u);
    }
}
