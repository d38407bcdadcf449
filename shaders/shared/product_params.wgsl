// Sizes of a product of packed operands, in the order of the host file `product.rs`.
struct Params {
    m: u32,
    n: u32,
    // True elements of a segment, and the words they take.
    k: u32,
    words: u32,
    row_words: u32,
    segments: u32,
    segment_words: u32,
    first_segment: u32,
    // Word of every segment at which the product begins.
    first_word: u32,
    total_segments: u32,
    // First plane of each operand and the plane that masks it, counted in planes of its buffer.
    lhs_plane: u32,
    lhs_mask: u32,
    rhs_plane: u32,
    rhs_mask: u32,
    lhs_div: u32,
    rhs_div: u32,
    factor: f32,
    dst_row_stride: u32,
    dst_col_stride: u32,
}
