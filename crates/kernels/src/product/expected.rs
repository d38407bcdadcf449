//! What the reference gives for a product of packed operands.

use std::ops::Range;

use recording::{Bound, Expected};
use reference::{
    bits,
    product::{Kind, apply_mask, centered, matmul},
};

use super::{By, Output, PlaneGroup, Product, ScaleIndex};

const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64;

/// Contents of dst from `[lhs, rhs, lhs_scale, rhs_scale, dst]` and what the planes of each side stand for.
pub(crate) fn expected(product: &Product, kinds: [Kind; 2], buffers: [&[u32]; 5]) -> Expected {
    let [lhs, rhs, lhs_scale, rhs_scale, dst] = buffers;
    let values = |segment: u32| {
        let (m, n) = (product.m as usize, product.n as usize);
        let left = integers(product, product.lhs, kinds[0], lhs, (m, 0..m, segment));
        (left, integers(product, product.rhs, kinds[1], rhs, (n, 0..n, segment)))
    };
    expected_of(product, values, [lhs_scale, rhs_scale, dst])
}

/// Contents of dst from the integers of both operands in a segment, `[m][k]` and `[n][k]`, and
/// `[lhs_scale, rhs_scale, dst]`.
pub(crate) fn expected_of(
    product: &Product,
    values: impl Fn(u32) -> (Vec<i64>, Vec<i64>),
    [lhs_scale, rhs_scale, dst]: [&[u32]; 3],
) -> Expected {
    let (m, n) = (product.m as usize, product.n as usize);
    let mut before = dst[..product.lens()[4] as usize].to_vec();
    let segments = (product.first_segment..product.first_segment + product.segments).map(|segment| {
        let (left, right) = values(segment);
        (segment, matmul(&left, &right, m, n, product.k as usize))
    });
    let at = |index: usize| {
        index / n * product.dst_row_stride as usize + index % n * product.dst_col_stride as usize
    };
    if product.output == Output::I32 {
        let mut totals = vec![0; m * n];
        for (_, products) in segments {
            totals.iter_mut().zip(products).for_each(|(total, value)| *total += value);
        }
        for (index, total) in totals.into_iter().enumerate() {
            let old = if product.accumulate { i64::from(before[at(index)].cast_signed()) } else { 0 };
            before[at(index)] = ((old + total) as i32).cast_unsigned();
        }
        return Expected::exact(before);
    }
    let mut sums: Vec<f64> = before.iter().map(|&word| f64::from(f32::from_bits(word))).collect();
    let mut bounds = vec![0.0; sums.len()];
    for index in 0..m * n {
        if !product.accumulate {
            sums[at(index)] = 0.0;
        }
        bounds[at(index)] = sums[at(index)].abs();
    }
    for (segment, integers) in segments {
        for (index, value) in integers.into_iter().enumerate() {
            let scale = |scale: ScaleIndex, buffer: &[u32]| {
                let element = match scale.by {
                    By::One => 0,
                    By::Row => (index / n) as u32,
                    By::Column => (index % n) as u32,
                    By::Segment => segment,
                };
                f64::from(f32::from_bits(buffer[(element / scale.div) as usize]))
            };
            let factor = f64::from(product.factor);
            let scales = factor * scale(product.lhs_scale, lhs_scale) * scale(product.rhs_scale, rhs_scale);
            sums[at(index)] += value as f64 * scales;
            bounds[at(index)] += (value as f64 * scales).abs();
        }
    }
    // A term is rounded when its integer is converted, twice in its scale and once more as a product, then
    // added.
    let roundings = f64::from(product.segments) + 4.0;
    bounds.iter_mut().for_each(|bound| *bound *= roundings * UNIT_ROUNDOFF);
    Expected::within(&sums, &bounds)
}

/// The words `indices` of dst from `[lhs, rhs, lhs_scale, rhs_scale, dst]`: elements of the product, or words between its
/// rows or columns, which stay as they are.
pub(crate) fn expected_at(
    product: &Product,
    kinds: [Kind; 2],
    [lhs, rhs, lhs_scale, rhs_scale, dst]: [&[u32]; 5],
    indices: &[usize],
) -> Expected {
    let (m, n) = (product.m as usize, product.n as usize);
    let word = |&index: &usize| {
        let Some((row, column)) = place(product, index) else { return (dst[index], 0.0) };
        let values = |segment: u32| {
            let left = integers(product, product.lhs, kinds[0], lhs, (m, row..row + 1, segment));
            (left, integers(product, product.rhs, kinds[1], rhs, (n, column..column + 1, segment)))
        };
        // The element as a product of its own, with its own scales.
        let alone = |scale: ScaleIndex, buffer: &[u32]| match scale.by {
            By::Row => (ScaleIndex { by: By::One, div: 1 }, vec![buffer[row / scale.div as usize]]),
            By::Column => (ScaleIndex { by: By::One, div: 1 }, vec![buffer[column / scale.div as usize]]),
            By::One | By::Segment => (scale, buffer.to_vec()),
        };
        let (lhs_scale, left) = alone(product.lhs_scale, lhs_scale);
        let (rhs_scale, right) = alone(product.rhs_scale, rhs_scale);
        let (dst_row_stride, dst_col_stride) = (1, 1);
        let element =
            Product { m: 1, n: 1, lhs_scale, rhs_scale, dst_row_stride, dst_col_stride, ..*product };
        let expected = expected_of(&element, values, [&left, &right, &dst[index..=index]]);
        let bound = match expected.bound {
            Bound::Absolute(bounds) => bounds[0],
            _ => 0.0,
        };
        (expected.words[0], bound)
    };
    let (words, bounds): (Vec<u32>, Vec<f32>) = indices.iter().map(word).unzip();
    if product.output == Output::I32 {
        return Expected::exact(words);
    }
    Expected { words, bound: Bound::Absolute(bounds) }
}

/// Row and column of a word of dst, where it is an element of the product.
fn place(product: &Product, index: usize) -> Option<(usize, usize)> {
    let (rows, columns) = (product.dst_row_stride as usize, product.dst_col_stride as usize);
    let (outer, inner) = (rows.max(columns), rows.min(columns));
    let rest = index % outer;
    let (first, second) = (index / outer, rest / inner);
    let (row, column) = if rows >= columns { (first, second) } else { (second, first) };
    let inside = row < product.m as usize && column < product.n as usize;
    (inside && rest.is_multiple_of(inner)).then_some((row, column))
}

/// The integers that `k` elements of one segment stand for in some of the rows, `[row][k]`, zero where the mask leaves an
/// element out.
fn integers(
    product: &Product,
    group: PlaneGroup,
    kind: Kind,
    buffer: &[u32],
    (rows, taken, segment): (usize, Range<usize>, u32),
) -> Vec<i64> {
    let (words, row_words) = (product.words() as usize, product.row_words as usize);
    let first = (segment * product.segment_words + product.first_word) as usize;
    let unpack = |plane: u32, planes: u32| {
        let packed: Vec<u32> = (plane as usize..(plane + planes) as usize)
            .flat_map(|plane| taken.clone().map(move |row| plane * rows + row))
            .flat_map(|row| {
                let held = buffer[row * row_words + first..][..words].iter().copied();
                held.chain(std::iter::repeat(0)).take(bits::row_words(product.k as usize))
            })
            .collect();
        bits::unpack(&packed, taken.len(), product.k as usize, planes)
    };
    let values = centered(&unpack(group.first_plane, group.planes), group.planes, kind);
    match group.mask {
        Some(mask) => {
            let kept: Vec<bool> = unpack(mask, 1).into_iter().map(|bit| bit == 1).collect();
            apply_mask(&values, &kept)
        }
        None => values,
    }
}
