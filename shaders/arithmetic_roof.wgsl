//#import dispatch
// The fastest that an adapter can go: one operation on registers, again and again, with hardly a load or a store.
// dst[i] = sum over j of (2j + 1) * acc_j, acc_j = sum over trips t and words w of op(a_w + t * step, b_j), wrapping;
// a fused multiply-add takes (t mod 2) * step, and its sums are integers that f32 holds.
// seeds: ROWS x (WORDS + ACCUMULATORS) words, the a and the b of a row; dst: invocations words.
// Invocation i takes row i mod ROWS. The a change from trip to trip, so that no compiler may take the work out of the loop.
struct Params {
    invocations: u32,
    trips: u32,
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> seeds: array<u32>;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;
{% set popcount, carry_save, dot4, fma = 0, 1, 2, 3 %}

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.invocations {
        return;
    }
    let row = index % {{ ROWS }}u * {{ WORDS + ACCUMULATORS }}u;
{% for w in range(WORDS) %}
    let a{{ w }} = {{ "bitcast<f32>(" if OPERATION == fma else "(" }}seeds[row + {{ w }}u]);
{% endfor %}
{% for j in range(ACCUMULATORS) %}
    let b{{ j }} = {{ "bitcast<f32>(" if OPERATION == fma else "(" }}seeds[row + {{ WORDS + j }}u]);
    var acc{{ j }} = {{ {0: "0u", 1: "0u", 2: "0i", 3: "0f"}[OPERATION] }};
{% if OPERATION == carry_save %}
    var ones{{ j }} = 0u;
    var twos{{ j }} = 0u;
{% endif %}
{% endfor %}
    for (var t = 0u; t < params.trips; t++) {
{% if OPERATION == fma %}
        let shift = f32((t & 1u) * params.step);
{% else %}
        let shift = t * params.step;
{% endif %}
{% for w in range(WORDS) %}
        let x{{ w }} = a{{ w }} + shift;
{% endfor %}
{% if OPERATION == carry_save %}
{% for w in range(0, WORDS, 4) %}{% for j in range(ACCUMULATORS) %}
        {
            let v0 = x{{ w }} & b{{ j }};
            let v1 = x{{ w + 1 }} & b{{ j }};
            let v2 = x{{ w + 2 }} & b{{ j }};
            let v3 = x{{ w + 3 }} & b{{ j }};
            let u = ones{{ j }} ^ v0;
            let t1 = (ones{{ j }} & v0) | (u & v1);
            let m = u ^ v1;
            let r = m ^ v2;
            let t2 = (m & v2) | (r & v3);
            ones{{ j }} = r ^ v3;
            let s = twos{{ j }} ^ t1;
            acc{{ j }} += 4u * countOneBits((twos{{ j }} & t1) | (s & t2));
            twos{{ j }} = s ^ t2;
        }
{% endfor %}{% endfor %}
{% else %}
{% for w in range(WORDS) %}{% for j in range(ACCUMULATORS) %}
{% if OPERATION == popcount %}
        acc{{ j }} += countOneBits(x{{ w }} & b{{ j }});
{% elif OPERATION == dot4 %}
        acc{{ j }} += dot4I8Packed(x{{ w }}, b{{ j }});
{% else %}
        acc{{ j }} = fma(x{{ w }}, b{{ j }}, acc{{ j }});
{% endif %}
{% endfor %}{% endfor %}
{% endif %}
    }
    var sum = 0u;
{% for j in range(ACCUMULATORS) %}
{% if OPERATION == carry_save %}
    acc{{ j }} += 2u * countOneBits(twos{{ j }}) + countOneBits(ones{{ j }});
{% endif %}
    sum += {{ 2 * j + 1 }}u * {{ {0: "", 1: "", 2: "bitcast<u32>", 3: "bitcast<u32>"}[OPERATION] }}({{ "i32" if OPERATION == fma else "" }}(acc{{ j }}));
{% endfor %}
    dst[index] = sum;
}
