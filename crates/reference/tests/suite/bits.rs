use crate::data::codes;
use proptest::prelude::*;
use reference::bits::{pack, row_words, unpack};

#[test]
fn layout_is_plane_row_word_with_zero_padding() {
    let mut codes = vec![0; 2 * 33];
    codes[0] = 0b01;
    codes[32] = 0b11;
    codes[33 + 31] = 0b10;
    let expected = [
        [1, 1, 0, 0],       // Plane 0: elements 0 and 32 of row 0.
        [0, 1, 1 << 31, 0], // Plane 1: element 32 of row 0, element 31 of row 1.
    ];
    assert_eq!(pack(&codes, 2, 33, 2), expected.concat());
}

#[test]
fn unpacking_ignores_the_padding() {
    let original = codes(1, 3 * 37, 4);
    let mut words = pack(&original, 3, 37, 4);
    for word in words.iter_mut().skip(1).step_by(2) {
        assert_eq!(*word >> 5, 0, "padding bits must be packed as zero");
        *word |= !0 << 5;
    }
    assert_eq!(unpack(&words, 3, 37, 4), original);
}

#[test]
#[should_panic(expected = "does not fit in 2 bits")]
fn a_code_beyond_the_width_is_refused() {
    pack(&[4], 1, 1, 2);
}

proptest! {
    #[test]
    fn unpacking_inverts_packing(stream: u32, rows in 0usize..5, k in 1usize..100, bits in 1u32..=31) {
        let original = codes(stream, rows * k, bits);
        let words = pack(&original, rows, k, bits);
        prop_assert_eq!(words.len(), bits as usize * rows * row_words(k));
        prop_assert_eq!(unpack(&words, rows, k, bits), original);
    }
}
