//#import dispatch
//#import bits
//#import code_words
//#import math
// planes[p, row, w] bit b = bit p of the code of element j = 32 w + b of a row, which is
// v = weight[row row_stride + (j / inner) outer_stride + (j % inner) inner_stride] (f32 bits).
// RULE 0: code 1 where v >= 0 (DoReFa-Net, equation 7). RULE 1: round(n (tanh(v) / (2 m) + 1/2)) (equation 9) with
// n = 2^BITS - 1 and m = scale[0] = max |tanh|; a tensor of zeros gives 1/2.
// planes: BITS x rows x words_for(k). One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    k: u32,
    inner: u32,
    row_stride: u32,
    outer_stride: u32,
    inner_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
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
    if index >= params.rows * words {
        return;
    }
    let row = index / words;
    let first = (index % words) * 32u;
    let count = elements_of_word(first, params.k);
    var packed = CodeWords();
    for (var b = 0u; b < count; b++) {
        let outer = (first + b) / params.inner;
        let inner = (first + b) % params.inner;
        let at = row * params.row_stride + outer * params.outer_stride + inner * params.inner_stride;
        put_code(&packed, code_of(weight[at]), b);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}

fn code_of(bits: u32) -> u32 {
    if RULE == 0u {
        return sign_code(bits);
    }
    var x = 0.5;
    if scale[0] > 0.0 {
        x = clamp(tanh_bounded(bitcast<f32>(bits)) / (2.0 * scale[0]) + 0.5, 0.0, 1.0);
    }
    return u32(round(f32((1u << BITS) - 1u) * x));
}
