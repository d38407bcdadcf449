//! The identities between products of codes and counts of plane bits, the planes being made here.

use crate::data::{assert_close, codes, mask, normals};
use reference::product::{Kind, apply_mask, centered, matmul, matmul_abs, matmul_f64, row_sums, transpose};
use reference::quantize::levels;

const LENGTHS: [usize; 6] = [1, 31, 32, 33, 64, 77];

#[test]
fn hand_values() {
    assert_eq!(centered(&[0, 1, 2, 3], 2, Kind::Unit), [0, 1, 2, 3]);
    assert_eq!(centered(&[0, 1, 2, 3], 2, Kind::Sign), [-3, -1, 1, 3]);
    assert_eq!(matmul(&[1, 2, 3, 4], &[5, 6, 7, 8, 9, 10], 2, 3, 2), [17, 23, 29, 39, 53, 67]);
    assert_eq!(matmul_f64(&[1.0, -2.0], &[3.0, 4.0], 1, 1, 2), [-5.0]);
    assert_eq!(matmul_abs(&[1.0, -2.0], &[3.0, 4.0], 1, 1, 2), [11.0]);
    assert_eq!(apply_mask(&[1, -2, 3], &[true, false, true]), [1, 0, 3]);
    assert_eq!(row_sums(&[1, 2, 3, 4, 5, 6], 2, 3), [6, 15]);
    assert_eq!(transpose(&[1, 2, 3, 4, 5, 6], 2, 3), [1, 4, 2, 5, 3, 6]);
}

#[test]
fn integer_and_float_products_agree() {
    let (a, b) = (codes(1, 5 * 9, 6), codes(2, 4 * 9, 6));
    let (a, b) = (centered(&a, 6, Kind::Sign), centered(&b, 6, Kind::Sign));
    let float = |values: &[i64]| values.iter().map(|&value| value as f64).collect::<Vec<_>>();
    let product = float(&matmul(&a, &b, 5, 4, 9));
    assert_close(&matmul_f64(&float(&a), &float(&b), 5, 4, 9), &product, 0.0);
    let x = normals(3, 12);
    assert_close(&transpose(&transpose(&x, 3, 4), 4, 3), &x, 0.0);
}

#[test]
fn unsigned_and_centered_products_are_plane_counts() {
    for_all_widths(|a_bits, w_bits, len, stream| {
        let (a, w) = (codes(stream, len, a_bits), codes(stream + 1, len, w_bits));
        let (n_a, n_w) = (i64::from(levels(a_bits)), i64::from(levels(w_bits)));
        let product = |a: &[i64], b: &[i64]| matmul(a, b, 1, 1, len)[0];
        let unit = |codes: &[u32], bits| centered(codes, bits, Kind::Unit);
        let sign = |codes: &[u32], bits| centered(codes, bits, Kind::Sign);
        let (sum_a, sum_w) = (row_sums(&a, 1, len)[0], row_sums(&w, 1, len)[0]);

        let and = over_planes(&a, a_bits, &w, w_bits, |a, w| count(&and(a, w)));
        assert_eq!(product(&unit(&a, a_bits), &unit(&w, w_bits)), and, "I1");

        let centered_rhs = product(&unit(&a, a_bits), &sign(&w, w_bits));
        assert_eq!(centered_rhs, 2 * and - n_w * sum_a, "I2");
        let by_plane = |a: &[u32], w: &[u32]| 2 * count(&self::and(a, w)) - count(a);
        assert_eq!(centered_rhs, over_planes(&a, a_bits, &w, w_bits, by_plane), "I2 by plane");

        let both = product(&sign(&a, a_bits), &sign(&w, w_bits));
        let len = len as i64;
        assert_eq!(both, 4 * and - 2 * n_w * sum_a - 2 * n_a * sum_w + n_a * n_w * len, "I3");
        let xor = |a: &[u32], w: &[u32]| len - 2 * count(&xor(a, w));
        assert_eq!(both, over_planes(&a, a_bits, &w, w_bits, xor), "I4");
    });
}

#[test]
fn masked_products_are_masked_plane_counts() {
    for_all_widths(|s_bits, t_bits, len, stream| {
        let (s, t) = (codes(stream, len, s_bits), codes(stream + 1, len, t_bits));
        let (mask_s, mask_t) = (mask(stream + 2, len), mask(stream + 3, len));
        let sign_s = apply_mask(&centered(&s, s_bits, Kind::Sign), &mask_s);
        let sign_t = apply_mask(&centered(&t, t_bits, Kind::Sign), &mask_t);
        let (word_s, word_t) = (words(&mask_s), words(&mask_t));
        let both = and(&word_s, &word_t);

        let xor = |s: &[u32], t: &[u32]| count(&both) - 2 * count(&and(&xor(s, t), &both));
        let product = matmul(&sign_s, &sign_t, 1, 1, len)[0];
        assert_eq!(product, over_planes(&s, s_bits, &t, t_bits, xor), "I5");

        let unit = centered(&s, s_bits, Kind::Unit);
        let and = |a: &[u32], t: &[u32]| 2 * count(&and(&and(a, t), &word_t)) - count(&and(a, &word_t));
        let product = matmul(&unit, &sign_t, 1, 1, len)[0];
        assert_eq!(product, over_planes(&s, s_bits, &t, t_bits, and), "I6");
    });
}

fn for_all_widths(check: impl Fn(u32, u32, usize, u32)) {
    for lhs_bits in 1..=8 {
        for rhs_bits in 1..=8 {
            for (index, &len) in LENGTHS.iter().enumerate() {
                check(lhs_bits, rhs_bits, len, 1000 * index as u32 + 100 * lhs_bits + 10 * rhs_bits);
            }
        }
    }
}

/// `sum over planes p, q of 2^(p + q) term(lhs_p, rhs_q)`.
fn over_planes(
    lhs: &[u32],
    lhs_bits: u32,
    rhs: &[u32],
    rhs_bits: u32,
    term: impl Fn(&[u32], &[u32]) -> i64,
) -> i64 {
    let plane = |codes: &[u32], p| words(&codes.iter().map(|code| code >> p & 1 == 1).collect::<Vec<_>>());
    let pairs = (0..lhs_bits).flat_map(|p| (0..rhs_bits).map(move |q| (p, q)));
    pairs.map(|(p, q)| term(&plane(lhs, p), &plane(rhs, q)) << (p + q)).sum()
}

fn words(bits: &[bool]) -> Vec<u32> {
    let word = |bits: &[bool]| bits.iter().rev().fold(0, |word, &bit| word << 1 | u32::from(bit));
    bits.chunks(32).map(word).collect()
}

fn and(a: &[u32], b: &[u32]) -> Vec<u32> {
    a.iter().zip(b).map(|(a, b)| a & b).collect()
}

fn xor(a: &[u32], b: &[u32]) -> Vec<u32> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn count(words: &[u32]) -> i64 {
    words.iter().map(|word| i64::from(word.count_ones())).sum()
}
