// Up to 32 codes of at most 8 bits on their way to bit planes. Code j waits in word j % 4 from bit 4 (j / 4) on, its
// low four bits in `low` and its high four in `high`, so that a plane is one bit of every nibble.
struct CodeWords {
    low: vec4<u32>,
    high: vec4<u32>,
}

// Adds `codes` as the elements 4 block .. 4 block + 3.
fn put_codes(words: ptr<function, CodeWords>, codes: vec4<u32>, block: u32) {
    let place = vec4(4u * block);
    (*words).low |= (codes & vec4(15u)) << place;
    (*words).high |= (codes >> vec4(4u)) << place;
}

// Adds `code` as element `element`.
fn put_code(words: ptr<function, CodeWords>, code: u32, element: u32) {
    let lane = vec4(0u, 1u, 2u, 3u) == vec4(element % 4u);
    put_codes(words, select(vec4(0u), vec4(code), lane), element / 4u);
}

fn plane_word(words: CodeWords, plane: u32) -> u32 {
    let four = select(words.high, words.low, plane < 4u);
    let bits = ((four >> vec4(plane % 4u)) & vec4(0x11111111u)) << vec4(0u, 1u, 2u, 3u);
    return bits.x | bits.y | bits.z | bits.w;
}
