//#import dispatch
//#import bits
//#import code_words
// planes[p, row, w] bit b = bit p of round(n_c a) n / n_c, with a = clip(x[row, c], 0, 1), c = 32 w + b, n = 2^BITS - 1 and
// n_c = 2^widths[c] - 1, a divisor of n: the code of few bits in the steps of many.
// x: rows x channels; widths: channels; planes: BITS x rows x words_for(channels).
// One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> widths: array<u32>;
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

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
    var packed = CodeWords();
    for (var block = 0u; block < 8u; block++) {
        let columns = vec4(first + 4u * block) + vec4(0u, 1u, 2u, 3u);
        let inside = columns < vec4(params.channels);
        let at = min(columns, vec4(params.channels - 1u));
        let values = clamp(four_of(row * params.channels + at), vec4(0.0), vec4(1.0));
        let levels = (vec4(1u) << vec4(widths[at.x], widths[at.y], widths[at.z], widths[at.w])) - vec4(1u);
        let codes = vec4<u32>(round(vec4<f32>(levels) * values)) * (vec4((1u << BITS) - 1u) / levels);
        put_codes(&packed, select(vec4(0u), codes, inside), block);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * params.rows * words + index] = plane_word(packed, plane);
    }
}

fn four_of(at: vec4<u32>) -> vec4<f32> {
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}
