// A word holds 32 elements; element i of a row is bit i % 32 of word i / 32. Rows of more than two words are padded with
// zeros to pairs, of more than eight to fours, so that products load vectors.
fn words_for(elements: u32) -> u32 {
    let words = (elements + 31u) / 32u;
    if words <= 2u {
        return words;
    }
    let step = select(4u, 2u, words <= 8u);
    return (words + step - 1u) / step * step;
}

// Elements of a row that fall into the word that begins at element `first`.
fn elements_of_word(first: u32, elements: u32) -> u32 {
    return min(32u, elements - min(first, elements));
}

// Ones for the elements of word `word` that exist in a row of `elements`.
fn tail_mask(word: u32, elements: u32) -> u32 {
    let left = elements - min(word * 32u, elements);
    return select((1u << (left & 31u)) - 1u, 0xffffffffu, left >= 32u);
}
