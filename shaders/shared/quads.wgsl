// Four neighboring channels of a row, a quad; the importing shader's Params hold `channels`, and VEC4 is 1 where these
// are a multiple of 4. A quad past the last channel repeats that one.
fn quads_of_row() -> u32 {
    return (params.channels + 3u) / 4u;
}

fn quad_channels(quad: u32) -> vec4<u32> {
    return quad * 4u + vec4(0u, 1u, 2u, 3u);
}

// Indices of the elements of a quad.
fn quad_elements(row: u32, quad: u32) -> vec4<u32> {
    return row * params.channels + min(quad_channels(quad), vec4(params.channels - 1u));
}

// The four bits of `word` from bit `shift` on.
fn four_bits(word: u32, shift: u32) -> vec4<u32> {
    return (vec4(word >> shift) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u);
}

// Four bits as a word, the inverse of four_bits at 0.
fn pack_bits(bits: vec4<u32>) -> u32 {
    return bits.x | (bits.y << 1u) | (bits.z << 2u) | (bits.w << 3u);
}
