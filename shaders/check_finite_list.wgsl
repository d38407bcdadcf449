//#import dispatch
// flags[slot] |= 1 for each of LISTS lists of values, where any of them is infinite or not a number.
// values0, values1 and so on: len0, len1 and so on floats as bits, because comparisons of floats do not find NaN on every
// driver; flags: flags_len words.
// One workgroup tests one list. The order of the atomics does not matter: all of them set the same bit.
struct Params {
{%- for list in range(LISTS) %}
    len{{ list }}: u32,
    slot{{ list }}: u32,
{%- endfor %}
}

@group(0) @binding(0) var<uniform> params: Params;
{%- for list in range(LISTS) %}
@group(0) @binding({{ list + 1 }}) var<storage, read> values{{ list }}: array<u32>;
{%- endfor %}
@group(0) @binding({{ LISTS + 1 }}) var<storage, read_write> flags: array<atomic<u32>>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    var largest = 0u;
    var slot = 0u;
    switch linear_group(group, groups) {
{%- for list in range(LISTS) %}
        case {{ list }}u: {
            slot = params.slot{{ list }};
            for (var at = local; at < params.len{{ list }}; at += WORKGROUP) {
                largest = max(largest, values{{ list }}[at] & 0x7fffffffu);
            }
        }
{%- endfor %}
        default: {
        }
    }
    if largest >= 0x7f800000u {
        atomicOr(&flags[slot], 1u);
    }
}
