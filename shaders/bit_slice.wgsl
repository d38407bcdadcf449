//#import dispatch
//#import bits
// slice[p, row, c] = planes[p, row, first + c] for c below count, zero past the end of a row.
// planes: plane_rows rows of words_for(channels) words; slice: as many rows of words_for(count) words.
// One invocation gathers one word from the two that its elements lie in.
struct Params {
    plane_rows: u32,
    channels: u32,
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> slice: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.count);
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.plane_rows * words {
        return;
    }
    let row = index / words;
    let word = index - row * words;
    let element = params.first + word * 32u;
    let source_words = words_for(params.channels);
    let shift = element % 32u;
    let at = element / 32u;
    // Words past the end of the row hold none of the elements asked for.
    let low = planes[row * source_words + min(at, source_words - 1u)] >> shift;
    let next = planes[row * source_words + min(at + 1u, source_words - 1u)];
    let high = select(0u, next << (32u - shift), shift > 0u);
    slice[index] = (low | high) & tail_mask(word, params.count);
}
