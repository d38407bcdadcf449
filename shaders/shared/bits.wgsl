// A word holds 32 elements; element i of a row is bit i % 32 of word i / 32.
fn words_for(elements: u32) -> u32 {
    return (elements + 31u) / 32u;
}

// Ones for the elements of word `word` that exist in a row of `elements`.
fn tail_mask(word: u32, elements: u32) -> u32 {
    let left = elements - min(word * 32u, elements);
    return select((1u << (left & 31u)) - 1u, 0xffffffffu, left >= 32u);
}
