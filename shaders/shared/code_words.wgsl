// Up to 32 codes of at most 8 bits on their way to bit planes: one word per plane, planes 0-3 and 4-7.
struct CodeWords {
    low: vec4<u32>,
    high: vec4<u32>,
}

// Adds `code` as element `bit`.
fn put_code(words: ptr<function, CodeWords>, code: u32, bit: u32) {
    let planes = vec4(0u, 1u, 2u, 3u);
    let place = vec4(bit);
    (*words).low |= ((vec4(code) >> planes) & vec4(1u)) << place;
    (*words).high |= ((vec4(code >> 4u) >> planes) & vec4(1u)) << place;
}

fn plane_word(words: CodeWords, plane: u32) -> u32 {
    let four = select(words.high, words.low, plane < 4u);
    return four[plane & 3u];
}
