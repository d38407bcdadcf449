//#import dispatch
//#import bits
// dst[row, i] = factor * scale[row / rows_per_scale] * value(q), added to what is there where ACCUMULATE is 1; q = the code
// of element i in BITS planes from first_plane on, value = q, or 2 q - n with n = 2^BITS - 1 where SIGN is 1, and 0 where
// MASKED is 1 and the bit of mask_plane is 0.
// planes: planes x rows x words_for(k); scale: one for rows_per_scale rows; dst: rows x k.
// One invocation writes VECTOR neighboring elements.
struct Params {
    rows: u32,
    k: u32,
    rows_per_scale: u32,
    first_plane: u32,
    mask_plane: u32,
    factor: f32,
}

{% set integers = "vec4<i32>" if VECTOR == 4 else "i32" -%}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<{{ "vec4<f32>" if VECTOR == 4 else "f32" }}>;

override WORKGROUP: u32;
override BITS: u32;
override SIGN: u32;
override MASKED: u32;
override ACCUMULATE: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let vectors = params.k / {{ VECTOR }}u;
    if index >= params.rows * vectors {
        return;
    }
    let words = words_for(params.k);
    let row = index / vectors;
    let column = (index - row * vectors) * {{ VECTOR }}u;
    var code = {{ "vec4(0u)" if VECTOR == 4 else "0u" }};
    let places = {{ "vec4(0u, 1u, 2u, 3u)" if VECTOR == 4 else "0u" }} + column % 32u;
    for (var plane = 0u; plane < BITS; plane++) {
        let word = planes[((params.first_plane + plane) * params.rows + row) * words + column / 32u];
        code |= (({{ "vec4(word) >> places) & vec4(1u)) << vec4(plane)" if VECTOR == 4 else "word >> places) & 1u) << plane" }};
    }
    var value = {{ integers }}(code);
    if SIGN == 1u {
        value = 2 * value - i32((1u << BITS) - 1u);
    }
    if MASKED == 1u {
        let word = planes[(params.mask_plane * params.rows + row) * words + column / 32u];
        value *= {{ integers }}({{ "(vec4(word) >> places) & vec4(1u)" if VECTOR == 4 else "(word >> places) & 1u" }});
    }
    let result = params.factor * scale[row / params.rows_per_scale] * {{ "vec4<f32>" if VECTOR == 4 else "f32" }}(value);
    if ACCUMULATE == 1u {
        dst[index] = dst[index] + result;
    } else {
        dst[index] = result;
    }
}
