//#import dispatch
//#import bits
//#import code_words
// planes[p, row, w] bit b = bit p of round(n clip(x[row, 32 w + b], 0, 1)), n = 2^BITS - 1 (DoReFa-Net, equation 11).
// x: rows x channels; planes: BITS x rows x words_for(channels).
// One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> planes: array<u32>;

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
    var packed = CodeWords();
    for (var b = 0u; b < count; b++) {
        let value = clamp(x[row * params.channels + first + b], 0.0, 1.0);
        put_code(&packed, u32(round(levels * value)), b);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}
