//#import dispatch
//#import bits
//#import random
// dst code = src code where u >= rate, else 0; u is the uniform number of (seed, step, tensor, first_row + row,
// column).
// The factor 1 / (1 - rate) of what is kept belongs to the scale of the codes.
// Where MASK is 1, one plane more of dst has ones for the elements that are kept.
// src, dst: BITS x rows x words_for(channels); step: step, seed low, seed high.
// One invocation masks one word position of one row in all planes.
struct Params {
    rows: u32,
    channels: u32,
    tensor: u32,
    first_row: u32,
    rate: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<u32>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<u32>;

override WORKGROUP: u32;
override BITS: u32;
override MASK: u32;

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
    let word = index % words;
    let seed = vec2(step[1], step[2]);
    var kept = 0u;
    for (var block = 0u; block < 8u; block++) {
        let drawn = uniform_block(seed, step[0], params.tensor, params.first_row + row, word * 8u + block);
        let bits = select(vec4(0u), vec4(1u, 2u, 4u, 8u), drawn >= vec4(params.rate));
        kept |= (bits.x | bits.y | bits.z | bits.w) << (4u * block);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        let at = plane * params.rows * words + index;
        dst[at] = src[at] & kept;
    }
    if MASK == 1u {
        dst[BITS * params.rows * words + index] = kept & tail_mask(word, params.channels);
    }
}
