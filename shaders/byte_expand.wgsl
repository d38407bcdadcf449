//#import dispatch
//#import bits
// Integers of a group of planes as signed bytes, four a word: c for unit planes, 2c - n for sign planes, n = 2^PLANES - 1,
// c = sum over p of 2^p * bit of plane p; zero for elements that the mask leaves out and past the end of a segment.
// Integers v of 8 planes take two parts, v = 2 * first + second: v >> 1 and v & 1.
// planes: planes x rows x row_words; bytes: parts x rows x row_words x 2 vectors.
// One invocation expands one word, 32 elements.
struct Params {
    // Words of a plane, rows * row_words.
    words: u32,
    segment_words: u32,
    // True elements of a segment.
    k: u32,
    first_plane: u32,
    mask: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> bytes: array<vec4<u32>>;

override WORKGROUP: u32;
override PLANES: u32;
override SIGN: bool;
override MASKED: bool;

const NIBBLES = vec4<u32>(0u, 4u, 8u, 12u);
const HIGH = vec4<u32>(0x80808080u);
const ONES = vec4<u32>(0x01010101u);

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.words {
        return;
    }
    var kept = tail_mask(index % params.segment_words, params.k);
    if MASKED {
        kept &= planes[params.mask * params.words + index];
    }
    var low = vec4<u32>();
    var high = vec4<u32>();
    for (var p = 0u; p < PLANES; p++) {
        let word = planes[(params.first_plane + p) * params.words + index];
        low |= spread(word) << vec4(p);
        high |= spread(word >> 16u) << vec4(p);
    }
    store(index, 0u, low, 255u * spread(kept));
    store(index, 1u, high, 255u * spread(kept >> 16u));
}

// Writes the integers of one half of word `index` from their codes, a byte each.
fn store(index: u32, half: u32, codes: vec4<u32>, kept: vec4<u32>) {
    var first = codes;
    if PLANES == 8u {
        // 2c - 255 = 2 * (c - 128) + 1.
        first = select((codes >> vec4(1u)) & ~HIGH, codes ^ HIGH, SIGN);
        let second = select(codes & ONES, ONES, SIGN);
        bytes[2u * (params.words + index) + half] = second & kept;
    } else if SIGN {
        first = less_levels(2u * codes);
    }
    bytes[2u * index + half] = first & kept;
}

// Bit i of the low 16 as the lowest bit of byte i.
fn spread(bits: u32) -> vec4<u32> {
    let nibbles = (vec4(bits) >> NIBBLES) & vec4(15u);
    return (nibbles * 0x00204081u) & ONES;
}

// Every byte less n, without a borrow from byte to byte.
fn less_levels(values: vec4<u32>) -> vec4<u32> {
    let levels = vec4(((1u << PLANES) - 1u) * 0x01010101u);
    return ((values | HIGH) - levels) ^ ((values ^ ~levels) & HIGH);
}
