//#import dispatch
//#import bits
//#import code_words
// Codes of groups of channels, each in planes of its own: for set s of `bits` planes behind those of the sets before it,
// planes[first + p, row, w] bit b = bit p of round(n a), n = 2^bits - 1, a = clip(x[row, 32 w + b], 0, 1), where the channel
// is a member of the set, else 0. With ROUNDING 2, of min(floor(2^bits a), n).
// x: rows x channels; table: sets x (1 + words_for(channels)), the bits and a word of members for each word of a row, 0 behind
// the last channel; planes: bits of all sets x rows x words_for(channels).
// One invocation quantizes and packs one word position of one row.
struct Params {
    rows: u32,
    channels: u32,
    sets: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override ROUNDING: u32;

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
    let word = index - row * words;
    var first_plane = 0u;
    for (var at_set = 0u; at_set < params.sets; at_set++) {
        let entry = at_set * (1u + words);
        let bits = table[entry];
        let members = table[entry + 1u + word];
        var packed = CodeWords();
        if members != 0u {
            for (var block = 0u; block < 8u; block++) {
                let columns = vec4(32u * word + 4u * block) + vec4(0u, 1u, 2u, 3u);
                let at = row * params.channels + min(columns, vec4(params.channels - 1u));
                put_codes(&packed, code_of(clamp(four_of(at), vec4(0.0), vec4(1.0)), bits), block);
            }
        }
        for (var plane = 0u; plane < bits; plane++) {
            planes[(first_plane + plane) * params.rows * words + index] = plane_word(packed, plane) & members;
        }
        first_plane += bits;
    }
}

fn code_of(value: vec4<f32>, bits: u32) -> vec4<u32> {
    let most = (1u << bits) - 1u;
    if ROUNDING == 2u {
        return min(vec4<u32>(f32(1u << bits) * value), vec4(most));
    }
    return vec4<u32>(round(f32(most) * value));
}

fn four_of(at: vec4<u32>) -> vec4<f32> {
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}
