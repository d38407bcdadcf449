//! The packed layout: codes to bit planes and back. No product of this crate uses it.
//!
//! A packed matrix is `[plane][row][words]` with `words = row_words(k)`. Element `i` of a row is bit `i % 32`
//! of word `i / 32`, plane `p` weighs `2^p`, and the bits behind element `k - 1` are zero in every plane.

/// Words that one row of `k` elements takes in one plane: `ceil(k / 32)`, even beyond 2 and a multiple of 4 beyond 8.
pub fn row_words(k: usize) -> usize {
    let words = k.div_ceil(32);
    if words <= 2 {
        words
    } else if words <= 8 {
        2 * words.div_ceil(2)
    } else {
        4 * words.div_ceil(4)
    }
}

/// Packs `codes[rows][k]` to `[bits][rows][row_words(k)]`.
///
/// # Panics
///
/// When the length is not `rows * k` or a code needs more than `bits` bits.
pub fn pack(codes: &[u32], rows: usize, k: usize, bits: u32) -> Vec<u32> {
    assert_eq!(codes.len(), rows * k, "codes must be rows * k");
    let words = row_words(k);
    let mut planes = vec![0; bits as usize * rows * words];
    for (index, &code) in codes.iter().enumerate() {
        assert!(u64::from(code) < 1u64 << bits, "code {code} at {index} does not fit in {bits} bits");
        let (row, element) = (index / k, index % k);
        for plane in 0..bits as usize {
            let bit = code >> plane & 1;
            planes[(plane * rows + row) * words + element / 32] |= bit << (element % 32);
        }
    }
    planes
}

/// Applies `each` to the words of `planes` planes and their number, so many at a time as codes of one word hold, and puts the
/// results one behind the other: what moves elements treats all planes alike, however many there are.
pub fn by_planes(words: &[u32], planes: u32, each: impl Fn(&[u32], u32) -> Vec<u32>) -> Vec<u32> {
    const MOST: u32 = 16;
    let plane = words.len() / planes.max(1) as usize;
    let runs = (0..planes).step_by(MOST as usize).map(|first| (first as usize, MOST.min(planes - first)));
    runs.flat_map(|(first, count)| each(&words[first * plane..][..count as usize * plane], count)).collect()
}

/// Unpacks `[bits][rows][row_words(k)]` to `codes[rows][k]`; the bits behind element `k - 1` are not read.
///
/// # Panics
///
/// When the length is not `bits * rows * row_words(k)`.
pub fn unpack(words: &[u32], rows: usize, k: usize, bits: u32) -> Vec<u32> {
    let per_row = row_words(k);
    assert_eq!(words.len(), bits as usize * rows * per_row, "words must be bits * rows * row_words(k)");
    let bit = |plane: usize, row: usize, element: usize| {
        words[(plane * rows + row) * per_row + element / 32] >> (element % 32) & 1
    };
    let code = |index: usize| {
        (0..bits as usize)
            .map(|plane| bit(plane, index / k, index % k) << plane)
            .fold(0, |all, bit| all | bit)
    };
    (0..rows * k).map(code).collect()
}
