//! Sizes that every one-dimensional kernel shares.

/// Invocations of a one-dimensional workgroup.
pub const WORKGROUP: u32 = 64;

/// Workgroups that cover `invocations`.
pub fn groups_for(invocations: u64) -> u64 {
    invocations.div_ceil(u64::from(WORKGROUP))
}

/// Elements of the vectors in which a row of `elements` is read and written: 4 where they fill it, else 1.
pub(crate) fn vector(elements: u32) -> u32 {
    if elements.is_multiple_of(4) { 4 } else { 1 }
}

/// Words of the widest vectors that fill `words`.
pub(crate) fn widest(words: u32) -> u32 {
    [4, 2].into_iter().find(|vector| words.is_multiple_of(*vector)).unwrap_or(1)
}

/// 32-bit words of a packed row of `elements` bits: as many as hold them, padded with zeros to pairs beyond two words
/// and to fours beyond eight, so that products load vectors.
pub fn words_for(elements: u32) -> u32 {
    match elements.div_ceil(32) {
        words @ ..=2 => words,
        words @ 3..=8 => words.next_multiple_of(2),
        words => words.next_multiple_of(4),
    }
}
