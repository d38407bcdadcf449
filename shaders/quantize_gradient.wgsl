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
@group(0) @binding(1) var<storage, read> grad: array<f32>;
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
    let count = elements_of_word(first, params.channels);
    let levels = f32((1u << BITS) - 1u);
    let max_abs = scale[row / params.rows_per_sample];
    // A sample of zeros divides by 1 instead, and its codes are cleared below.
    let divisor = select(1.0, max_abs, max_abs > 0.0);
    let seed = vec2(step[1], step[2]);
    var packed = CodeWords();
    for (var b = 0u; b < count; b += 4u) {
        let noise = uniform_block(seed, step[0], params.tensor, params.first_row + row, (first + b) / 4u);
        for (var lane = 0u; lane < min(4u, count - b); lane++) {
            let g = grad[row * params.channels + first + b + lane];
            // In units of one code: the noise enters as it is, and the clip keeps [0, n].
            let x = levels * (0.5 * (g / divisor) + 0.5) + (noise[lane] - 0.5);
            let code = u32(round(clamp(x, 0.0, levels)));
            put_code(&packed, select(0u, code, max_abs > 0.0), b + lane);
        }
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}
