//! Matrix products over the integers that codes stand for, and over floats.
//!
//! All of them are `dst[m, n] = sum over k of lhs[m, k] * rhs[n, k]`.

use std::ops::{Add, Mul};

use crate::quantize::levels;

/// What a code stands for before its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The code itself, `q`; its planes weigh 0 or `2^p`.
    Unit,
    /// The centered code `2q - n`; its planes weigh `-2^p` or `2^p`.
    Sign,
}

/// What the sums of products need of a number: `f64` for floats, `i64` for codes.
pub trait Number: Copy + Default + Add<Output = Self> + Mul<Output = Self> {}

impl<T: Copy + Default + Add<Output = T> + Mul<Output = T>> Number for T {}

/// The integer of each code: `q` for [`Kind::Unit`], `2q - (2^bits - 1)` for [`Kind::Sign`].
pub fn centered(codes: &[u32], bits: u32, kind: Kind) -> Vec<i64> {
    let n = i64::from(levels(bits));
    let integer = |&code: &u32| match kind {
        Kind::Unit => i64::from(code),
        Kind::Sign => 2 * i64::from(code) - n,
    };
    codes.iter().map(integer).collect()
}

/// The values with zeros where `mask` is false; a masked product is the product of such values.
pub fn apply_mask(values: &[i64], mask: &[bool]) -> Vec<i64> {
    assert_eq!(values.len(), mask.len(), "each value needs a mask bit");
    values.iter().zip(mask).map(|(&value, &kept)| if kept { value } else { 0 }).collect()
}

/// `dst[m, n] = sum over k of lhs[m, k] * rhs[n, k]` over integers.
pub fn matmul(lhs: &[i64], rhs: &[i64], m: usize, n: usize, k: usize) -> Vec<i64> {
    sums(lhs, rhs, [m, n, k], |a, b| a * b)
}

/// `dst[m, n] = sum over k of lhs[m, k] * rhs[n, k]` over floats, k ascending.
pub fn matmul_f64(lhs: &[f64], rhs: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    sums(lhs, rhs, [m, n, k], |a, b| a * b)
}

/// `dst[m, n] = sum over k of |lhs[m, k] * rhs[n, k]|`, the factor of the rounding bound of a float product.
pub fn matmul_abs(lhs: &[f64], rhs: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    sums(lhs, rhs, [m, n, k], |a, b| (a * b).abs())
}

/// The sum of the codes of each of `rows` rows of `k` codes.
pub fn row_sums(codes: &[u32], rows: usize, k: usize) -> Vec<i64> {
    assert_eq!(codes.len(), rows * k, "codes must be rows * k");
    (0..rows).map(|row| codes[row * k..(row + 1) * k].iter().map(|&code| i64::from(code)).sum()).collect()
}

/// `values[rows][columns]` as `[columns][rows]`.
pub fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    assert_eq!(values.len(), rows * columns, "values must be rows * columns");
    (0..rows * columns).map(|index| values[index % rows * columns + index / rows]).collect()
}

fn sums<T: Number>(lhs: &[T], rhs: &[T], [m, n, k]: [usize; 3], term: impl Fn(T, T) -> T) -> Vec<T> {
    assert_eq!(lhs.len(), m * k, "lhs must be m * k");
    assert_eq!(rhs.len(), n * k, "rhs must be n * k");
    let mut dst = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            let (lhs, rhs) = (&lhs[row * k..(row + 1) * k], &rhs[column * k..(column + 1) * k]);
            dst.push(lhs.iter().zip(rhs).fold(T::default(), |sum, (&a, &b)| sum + term(a, b)));
        }
    }
    dst
}
