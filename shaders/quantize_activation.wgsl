//#import dispatch
//#import bits
//#import code_words
// planes[p, row, w] bit b = bit p of round(n a), n = FACTOR = 2^BITS - 1, with a = clip(inverse x[row, 32 w + b], 0, 1)
// (DoReFa-Net, equation 11), or min(1, |x|) where FORM is 1; where ROUNDING is 1, of floor(n a + 1/2). With ROUNDING 2
// bit p of min(floor(FACTOR a), 2^BITS - 1), FACTOR = 2^BITS. With a SHIFT, bit p + SHIFT of round(FACTOR a), a code of
// BITS + SHIFT bits.
// x: rows x channels; planes: BITS x rows x words_for(channels).
// One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    channels: u32,
    inverse: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<{{ "vec4<f32>" if VECTOR == 4 else "f32" }}>;
@group(0) @binding(2) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;
override FORM: u32;
override ROUNDING: u32;
override FACTOR: u32;
override SHIFT: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.channels);
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * words {
        return;
    }
    let row = index / words;
    let first = (index % words) * 32u;
    var packed = CodeWords();
    for (var block = 0u; block < 8u; block++) {
        let column = first + 4u * block;
        let value = limited(params.inverse * four_of(row, column));
        let inside = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(params.channels);
        put_codes(&packed, select(vec4(0u), code_of(value), inside), block);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}

fn limited(value: vec4<f32>) -> vec4<f32> {
    if FORM == 1u {
        return min(abs(value), vec4(1.0));
    }
    return clamp(value, vec4(0.0), vec4(1.0));
}

fn code_of(value: vec4<f32>) -> vec4<u32> {
    let scaled = f32(FACTOR) * value;
    if ROUNDING == 2u {
        return min(vec4<u32>(scaled), vec4((1u << BITS) - 1u));
    }
    return vec4<u32>(rounded(scaled)) >> vec4(SHIFT);
}

fn rounded(value: vec4<f32>) -> vec4<f32> {
    if ROUNDING == 1u {
        return floor(value + 0.5);
    }
    return round(value);
}

// Four neighboring elements of a row from column `column`, a multiple of 4, on; whatever follows the row's last.
fn four_of(row: u32, column: u32) -> vec4<f32> {
{%- if VECTOR == 4 %}
    let vectors = params.channels / 4u;
    return x[row * vectors + min(column / 4u, vectors - 1u)];
{%- else %}
    let at = row * params.channels + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.channels - 1u));
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
{%- endif %}
}
