//! What products of operands of signed bytes share on the host.

use recording::{Constant, Expected, Work};

use crate::{
    ByteExpand, Form, Output, Product, Random,
    product::{Shape, expected_of},
};

/// Words of the operands and scales and of dst; a part of an operand has 8 words of bytes for every word of a plane.
pub(crate) fn lens(product: &Product) -> Vec<u64> {
    let [_, _, lhs_scale, rhs_scale, dst] = product.lens();
    let [lhs, rhs] = parts(product);
    let operand = |parts, rows| 8 * u64::from(parts) * u64::from(rows) * u64::from(product.row_words);
    vec![operand(lhs, product.m), operand(rhs, product.n), lhs_scale, rhs_scale, dst]
}

/// Bytes of an integer on each side.
pub(crate) fn parts(product: &Product) -> [u32; 2] {
    [product.lhs, product.rhs].map(|group| ByteExpand::parts(group.planes))
}

/// Template values of both kernels.
pub(crate) fn template(product: &Product, float: bool) -> Vec<Constant> {
    let [lhs_parts, rhs_parts] = parts(product);
    vec![
        Constant::new("FLOAT", u32::from(float)),
        Constant::new("LHS_PARTS", lhs_parts),
        Constant::new("RHS_PARTS", rhs_parts),
        Constant::new("LHS_BY", product.lhs_scale.by as u32),
        Constant::new("RHS_BY", product.rhs_scale.by as u32),
        Constant::new("INTEGER", u32::from(product.output == Output::I32)),
    ]
}

/// Contents of dst from `[lhs, rhs, lhs_scale, rhs_scale, dst]`.
pub(crate) fn expected(product: &Product, buffers: &[&[u32]]) -> Expected {
    let [lhs, rhs, lhs_scale, rhs_scale, dst] = buffers[..] else {
        unreachable!("one buffer per binding");
    };
    let part = |bytes: &[u32], rows: u32, segment: u32| -> Vec<i64> {
        let first = 8 * (segment * product.segment_words + product.first_word) as usize;
        let row_words = 8 * product.row_words as usize;
        let row = |row: usize| {
            let values = bytes[row * row_words + first..(row + 1) * row_words].iter();
            let values = values.flat_map(|word| word.to_le_bytes()).map(|byte| i64::from(byte.cast_signed()));
            values.take(product.k as usize)
        };
        (0..rows as usize).flat_map(row).collect()
    };
    let integers = |bytes: &[u32], parts: u32, rows: u32, segment: u32| {
        let first = part(bytes, rows, segment);
        if parts == 1 {
            return first;
        }
        let second = part(&bytes[8 * rows as usize * product.row_words as usize..], rows, segment);
        first.iter().zip(second).map(|(first, second)| 2 * first + second).collect()
    };
    let [lhs_parts, rhs_parts] = parts(product);
    let values = |segment: u32| {
        (integers(lhs, lhs_parts, product.m, segment), integers(rhs, rhs_parts, product.n, segment))
    };
    expected_of(product, values, [lhs_scale, rhs_scale, dst])
}

/// Random contents of the five bindings of a byte product: the planes of `shape`, expanded.
pub(crate) fn inputs(form: Form, shape: &Shape, random: &mut Random) -> Vec<Vec<u32>> {
    let [lhs, rhs, lhs_scale, rhs_scale, dst] = shape.inputs(random);
    let [left, right] = expansions(form, &shape.product, shape.held);
    vec![left.run(&lhs), right.run(&rhs), lhs_scale, rhs_scale, dst]
}

/// The kernels that expand the operands of `product`, whose segments hold `held` elements.
pub(crate) fn expansions(form: Form, product: &Product, held: u32) -> [ByteExpand; 2] {
    let Product { m, n, row_words, segment_words, lhs, rhs, rhs_kind, .. } = product.needed(form);
    let [lhs_kind, rhs_kind] = form.kinds(rhs_kind);
    let expand = |rows, group, kind| ByteExpand { rows, row_words, segment_words, k: held, group, kind };
    [expand(m, lhs, lhs_kind), expand(n, rhs, rhs_kind)]
}

/// One multiplication and one addition an element, whatever the widths.
pub(crate) fn work(product: &Product) -> Work {
    let elements = u64::from(product.k) * u64::from(product.segments);
    Work {
        operations: 2 * u64::from(product.m) * u64::from(product.n) * elements,
        bytes: 4 * lens(product).iter().sum::<u64>(),
    }
}

/// Widths change the text at 8 planes alone.
pub(crate) fn few(product: &Product) -> bool {
    product.m != 5
        || product.n != 6
        || [[3, 5], [8, 3], [3, 8], [8, 8]].contains(&[product.lhs.planes, product.rhs.planes])
}
