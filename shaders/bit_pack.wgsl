//#import dispatch
//#import bits
// planes[p, row, w] bit b = bit p of codes[row, 32 w + b], zero past the end of the row.
// codes: rows x k unsigned codes below 2^BITS; planes: BITS x rows x words_for(k).
// One invocation packs one word position of one row in all planes.
struct Params {
    rows: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;

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
    for (var plane = 0u; plane < BITS; plane++) {
        var word = 0u;
        for (var b = 0u; b < count; b++) {
            word |= ((codes[row * params.k + first + b] >> plane) & 1u) << b;
        }
        planes[plane * params.rows * words + index] = word;
    }
}
