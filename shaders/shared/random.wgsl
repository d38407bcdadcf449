// Philox4x32-10 (Salmon et al. 2011). Every number is a pure function of seed, step, tensor, row and column, so results
// depend on no dispatch order and repeat after a resume.

// High word of the product of two words.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let carry = a_low * b_high + (middle & 0xffffu);
    return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var key = seed;
    for (var i = 0u; i < 10u; i++) {
        let high = vec2(multiply_high(0xd2511f53u, c.x), multiply_high(0xcd9e8d57u, c.z));
        let low = vec2(0xd2511f53u, 0xcd9e8d57u) * c.xz;
        c = vec4(high.y ^ c.y ^ key.x, low.y, high.x ^ c.w ^ key.y, low.x);
        key += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// Uniform numbers in [0, 1), multiples of 2^-24, of the columns 4 block .. 4 block + 3 of a row.
fn uniform_block(seed: vec2<u32>, step: u32, tensor: u32, row: u32, block: u32) -> vec4<f32> {
    let words = philox(vec4(row, block, tensor, step), seed);
    return vec4<f32>(words >> vec4(8u)) * (1.0 / 16777216.0);
}
