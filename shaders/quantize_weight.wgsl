//#import dispatch
//#import bits
//#import code_words
//#import math
// planes[p, row, w] bit b = bit p of the code of element j = 32 w + b of a row, which is
// v = weight[row row_stride + (j / inner) outer_stride + (j % inner) inner_stride] (f32 bits).
// RULE 0: code 1 where v >= 0 (DoReFa-Net, equation 7). RULE 1: round(n (tanh(v) / (2 m) + 1/2)) (equation 9) with
// n = 2^BITS - 1 and m = scale[0] = max |tanh|; a tensor of zeros gives 1/2. RULE 2: floor(n (...) + 1/2) of the same.
// RULE 3: min(floor(2^BITS (...)), n), whose upper bits are the codes of fewer bits. RULES 4 and 5: as 1 and 3, of
// v / (2 m) + 1/2 with m = scale[0] = max |v|.
// planes: BITS x rows x words_for(k).
{% if ALONG == 4 -%}
// Rows are contiguous and in fours of elements: one invocation packs one word position of one row.
{%- elif ACROSS == 4 -%}
// Rows are neighbors and in fours: one invocation packs one word position of four rows.
{%- else -%}
// One invocation packs one word position of one row.
{%- endif %}
struct Params {
    rows: u32,
    k: u32,
    inner: u32,
    row_stride: u32,
    outer_stride: u32,
    inner_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<{{ "vec4<u32>" if ALONG == 4 or ACROSS == 4 else "u32" }}>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;
override RULE: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.k);
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows / {{ ACROSS }}u * words {
        return;
    }
{%- if ACROSS == 4 %}
    // Neighboring invocations take neighboring rows, whose elements lie side by side.
    let fours = params.rows / 4u;
    let word = index / fours;
    let row = (index - word * fours) * 4u;
{%- else %}
    let row = index / words;
    let word = index - row * words;
{%- endif %}
    let first = word * 32u;
    let count = elements_of_word(first, params.k);
{%- if ALONG == 4 %}
    var packed = CodeWords();
    for (var block = 0u; block < 8u; block++) {
        let at = min(first + 4u * block, params.k - 4u);
        let codes = codes_of(weight[(row * params.k + at) / 4u]);
        put_codes(&packed, select(vec4(0u), codes, 4u * block < count), block);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
{%- else %}
    let outer = first / params.inner;
    var inner = first - outer * params.inner;
    var at = row * params.row_stride + outer * params.outer_stride + inner * params.inner_stride;
    let turn = params.outer_stride - (params.inner - 1u) * params.inner_stride;
{%- if ACROSS == 4 %}
{%- for plane in range(BITS) %}
    var plane{{ plane }} = vec4(0u);
{%- endfor %}
{%- else %}
    var packed = CodeWords();
{%- endif %}
    for (var b = 0u; b < count; b++) {
{%- if ACROSS == 4 %}
        let codes = codes_of(weight[at / 4u]);
{%- for plane in range(BITS) %}
        plane{{ plane }} |= ((codes >> vec4({{ plane }}u)) & vec4(1u)) << vec4(b);
{%- endfor %}
{%- else %}
        put_code(&packed, code_of(weight[at]), b);
{%- endif %}
        inner += 1u;
        let wraps = inner == params.inner;
        at += select(params.inner_stride, turn, wraps);
        inner = select(inner, 0u, wraps);
    }
{%- if ACROSS == 4 %}
{%- for plane in range(BITS) %}{% for lane in range(4) %}
    planes[({{ plane }}u * params.rows + row + {{ lane }}u) * words + word] = plane{{ plane }}.{{ "xyzw"[lane] }};
{%- endfor %}{% endfor %}
{%- else %}
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
{%- endif %}
{%- endif %}
}

fn code_of(bits: u32) -> u32 {
    if RULE == 0u {
        return sign_code(bits);
    }
    var x = 0.5;
    if scale[0] > 0.0 {
        var t = bitcast<f32>(bits);
        if RULE < 4u {
            t = tanh_bounded(t);
        }
        x = clamp(t / (2.0 * scale[0]) + 0.5, 0.0, 1.0);
    }
    let is_nested = RULE == 3u || RULE == 5u;
    let last = select(1u, 0u, is_nested);
    let scaled = f32((1u << BITS) - last) * x;
    if is_nested {
        return min(u32(scaled), (1u << BITS) - 1u);
    }
    if RULE == 2u {
        return u32(floor(scaled + 0.5));
    }
    return u32(round(scaled));
}

fn codes_of(bits: vec4<u32>) -> vec4<u32> {
    return vec4(code_of(bits.x), code_of(bits.y), code_of(bits.z), code_of(bits.w));
}
