// Philox4x32-10 (Salmon et al. 2011). Every number is a pure function of seed, step, tensor, row and column, so results
// depend on no dispatch order and repeat after a resume.

// High words of the products of pairs of words.
fn multiply_high(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    let low = vec4(0xffffu);
    let high = vec4(16u);
    let a_low = a & low;
    let a_high = a >> high;
    let b_low = b & low;
    let b_high = b >> high;
    let middle = a_high * b_low + ((a_low * b_low) >> high);
    let carry = a_low * b_high + (middle & low);
    return a_high * b_high + (middle >> high) + (carry >> high);
}

// Two blocks of four numbers: word w of block b is words[w][b].
struct Pair {
    words: array<vec2<u32>, 4>,
}

// The blocks of two counters that differ in their second word; two keep the multipliers of a processor busy, whose
// results take long.
fn philox(first: u32, second: vec2<u32>, third: u32, fourth: u32, seed: vec2<u32>) -> Pair {
    let factors = vec4(0xd2511f53u, 0xd2511f53u, 0xcd9e8d57u, 0xcd9e8d57u);
    var even = vec4(first, first, third, third);
    var odd = vec4(second, fourth, fourth);
    var key = seed;
    for (var i = 0u; i < 10u; i++) {
        let high = multiply_high(factors, even);
        let low = factors * even;
        even = high.zwxy ^ odd ^ key.xxyy;
        odd = low.zwxy;
        key += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return Pair(array(even.xy, odd.xy, even.zw, odd.zw));
}

struct Uniforms {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Uniform numbers in [0, 1), multiples of 2^-24, of the columns 4 block .. 4 block + 7 of a row.
fn uniform_blocks(seed: vec2<u32>, step: u32, tensor: u32, row: u32, block: u32) -> Uniforms {
    let words = philox(row, vec2(block, block + 1u), tensor, step, seed).words;
    let first = vec4(words[0].x, words[1].x, words[2].x, words[3].x);
    let second = vec4(words[0].y, words[1].y, words[2].y, words[3].y);
    let unit = 1.0 / 16777216.0;
    return Uniforms(vec4<f32>(first >> vec4(8u)) * unit, vec4<f32>(second >> vec4(8u)) * unit);
}

// The same of the columns 4 block .. 4 block + 3.
fn uniform_block(seed: vec2<u32>, step: u32, tensor: u32, row: u32, block: u32) -> vec4<f32> {
    return uniform_blocks(seed, step, tensor, row, block).first;
}
