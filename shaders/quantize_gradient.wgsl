//#import dispatch
//#import bits
//#import code_words
//#import random
// planes[p, row, w] bit b = bit p of round(n clip(g / (2 s) + 1/2 + (u - 1/2) / n, 0, 1)), g = grad[row, 32 w + b],
// s = scale[row / rows_per_sample] = max |g| of the sample, n = 2^BITS - 1 (DoReFa-Net, equation 12 with its last
// term outside the rounding). u is the uniform number of (seed, step, tensor, first_row + row, column). s = 0
// gives codes 0.
// grad: rows x channels; scale: one a sample; step: step, seed low, seed high; planes: BITS x rows x
// words_for(channels).
// One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    channels: u32,
    rows_per_sample: u32,
    first_row: u32,
    tensor: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<{{ "vec4<f32>" if VECTOR == 4 else "f32" }}>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;

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
    let max_abs = scale[row / params.rows_per_sample];
    let seed = vec2(step[1], step[2]);
    var packed = CodeWords();
    for (var block = 0u; block < 8u; block += 2u) {
        let column = first + 4u * block;
        let noise = uniform_blocks(seed, step[0], params.tensor, params.first_row + row, column / 4u);
        put_codes(&packed, codes_of(row, column, noise.first, max_abs), block);
        put_codes(&packed, codes_of(row, column + 4u, noise.second, max_abs), block + 1u);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}

// Four neighboring elements of a row from column `column`, a multiple of 4, on; whatever follows the row's last.
fn four_of(row: u32, column: u32) -> vec4<f32> {
{%- if VECTOR == 4 %}
    let vectors = params.channels / 4u;
    return grad[row * vectors + min(column / 4u, vectors - 1u)];
{%- else %}
    let at = row * params.channels + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(params.channels - 1u));
    return vec4(grad[at.x], grad[at.y], grad[at.z], grad[at.w]);
{%- endif %}
}

// Codes of four neighboring elements, 0 where the row or a sample of zeros has none.
fn codes_of(row: u32, column: u32, noise: vec4<f32>, max_abs: f32) -> vec4<u32> {
    let levels = f32((1u << BITS) - 1u);
    let divisor = select(1.0, max_abs, max_abs > 0.0);
    // In units of one code: the noise enters as it is, and the clip keeps [0, n].
    let x = levels * (0.5 * (four_of(row, column) / divisor) + 0.5) + (noise - 0.5);
    let codes = vec4<u32>(round(clamp(x, vec4(0.0), vec4(levels))));
    let inside = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(params.channels);
    return select(vec4(0u), codes, inside & vec4(max_abs > 0.0));
}
