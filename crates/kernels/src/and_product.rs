//! Products of unit planes with unit or sign planes. Numerics: `reference::product::matmul` on centered
//! codes.
//! Shader: `shaders/and_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{bits, product::Kind};

use crate::{
    Case, Entry, Mutation, PlaneGroup, Product, Random,
    product::{Shape, expected, expected_at, sizes, table},
};

/// The [`Product`] of unit planes on the left (codes q) with planes of `rhs_kind` on the right (q, or 2q -
/// n).
///
/// Bindings: lhs, rhs, row_sums `i32 [m][total segments]`, lhs_scale, rhs_scale, dst. `row_sums` holds the
/// [`RowSums`](crate::RowSums) of the left group; it is read where the right planes are sign planes without a
/// mask and whole segments are multiplied, see [`AndProduct::uses_row_sums`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AndProduct(pub Product);

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "and_product",
        source: Cow::Borrowed(include_str!("../../../shaders/and_product.wgsl")),
        bindings: &[
            read("lhs"),
            read("rhs"),
            read("row_sums"),
            read("lhs_scale"),
            read("rhs_scale"),
            write("dst"),
        ],
    },
    cases,
    mutations: &[
        Mutation { rule: "skipped last word", from: "w < params.words", to: "w + 1u < params.words" },
        Mutation { rule: "plane weight", from: "p + q)", to: "p)" },
        Mutation { rule: "weight inside a step", from: "counts += 2u * pair", to: "counts += pair" },
        Mutation { rule: "second plane of a step", from: "lhs_words(at + stride)", to: "lhs_words(at)" },
        Mutation { rule: "fourth plane of a step", from: "at + 3u * stride", to: "at + 2u * stride" },
        Mutation { rule: "segment skipped", from: "s < params.segments", to: "s + 1u < params.segments" },
        Mutation { rule: "first segment", from: "params.first_segment + s", to: "s" },
        Mutation { rule: "accumulation ignored", from: "if ACCUMULATE {", to: "if false {" },
        Mutation {
            rule: "factor dropped",
            from: "return params.factor * left * right",
            to: "return left * right",
        },
        Mutation { rule: "divisor of a scale", from: "columns / params.lhs_div", to: "columns" },
        Mutation { rule: "column past the edge", from: "column + 1u < params.n", to: "column < params.n" },
        Mutation { rule: "row past the edge", from: "if row < params.m {", to: "if row <= params.m {" },
        Mutation {
            rule: "first word of a part",
            from: "params.segment_words + params.first_word",
            to: "params.segment_words",
        },
        Mutation { rule: "offset of sign planes", from: "2 * v.r1 - levels * offset.r1", to: "2 * v.r1" },
        Mutation { rule: "mask of the right side", from: " mask = rhs_words(mask_at + w);", to: "" },
        Mutation { rule: "mask in the offset", from: "kept = rhs_words(mask_at + w);", to: "" },
        Mutation {
            rule: "segment of a row sum",
            from: "rows * params.total_segments + segment",
            to: "rows * params.total_segments",
        },
    ],
};

impl AndProduct {
    /// True where the kernel reads its row sums; elsewhere any buffer of one word serves.
    pub fn uses_row_sums(&self) -> bool {
        self.0.rhs_kind == Kind::Sign && self.0.rhs.mask.is_none() && self.0.is_whole()
    }

    /// The product without the left mask, which unit planes do not need.
    fn unmasked(&self) -> Product {
        Product { lhs: PlaneGroup { mask: None, ..self.0.lhs }, ..self.0 }
    }
}

impl Kernel for AndProduct {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.0.params()
    }
    fn constants(&self) -> Vec<Constant> {
        let flag = |name, value| Constant::new(name, u32::from(value));
        let mut constants = self.0.constants();
        constants.push(flag("RHS_SIGN", self.0.rhs_kind == Kind::Sign));
        constants.push(flag("USE_ROW_SUMS", self.uses_row_sums()));
        constants
    }
    fn workgroups(&self) -> u64 {
        self.0.workgroups()
    }
    fn lens(&self) -> Vec<u64> {
        let [lhs, rhs, lhs_scale, rhs_scale, dst] = self.unmasked().lens();
        let sums = u64::from(self.0.m) * u64::from(self.0.total_segments());
        vec![lhs, rhs, if self.uses_row_sums() { sums } else { 1 }, lhs_scale, rhs_scale, dst]
    }
    fn loop_trips(&self) -> u64 {
        self.0.loop_trips()
    }
    fn work(&self) -> Work {
        self.0.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [lhs, rhs, _, lhs_scale, rhs_scale, dst] = buffers[..] else {
            unreachable!("one buffer per binding");
        };
        let kinds = [Kind::Unit, self.0.rhs_kind];
        vec![expected(&self.unmasked(), kinds, [lhs, rhs, lhs_scale, rhs_scale, dst])]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let [lhs, rhs, _, lhs_scale, rhs_scale, dst] = buffers[..] else {
            unreachable!("one buffer per binding");
        };
        let kinds = [Kind::Unit, self.0.rhs_kind];
        Some(expected_at(&self.unmasked(), kinds, [lhs, rhs, lhs_scale, rhs_scale, dst], indices))
    }
}

fn cases() -> Vec<Case> {
    let mut shapes = table();
    for size in sizes() {
        shapes.push(Shape::new(size, 1, [3, 2]).with("unit", |product| product.rhs_kind = Kind::Unit));
        shapes.push(Shape::new(size, 1, [2, 1]).masked(false, true));
    }
    let unit = Shape::new([5, 9, 77], 2, [2, 2]).masked(false, true);
    shapes.push(unit.with("unit", |product| product.rhs_kind = Kind::Unit));
    shapes.push(Shape::new([7, 6, 43], 3, [3, 4]).masked(false, true));
    let mut random = Random::new(14);
    shapes.into_iter().map(|shape| case(&shape, &mut random)).collect()
}

fn case(shape: &Shape, random: &mut Random) -> Case {
    let [lhs, rhs, lhs_scale, rhs_scale, dst] = shape.inputs(random);
    let kernel = AndProduct(shape.product);
    let sums = if kernel.uses_row_sums() { row_sums(&shape.product, &lhs) } else { vec![0] };
    Case::new(shape.label.clone(), kernel, vec![lhs, rhs, sums, lhs_scale, rhs_scale, dst])
}

/// The sums of the codes of every segment of the left group, `[m][total segments]`.
fn row_sums(product: &Product, lhs: &[u32]) -> Vec<u32> {
    let Product { m, row_words, segment_words, lhs: PlaneGroup { first_plane, planes, .. }, .. } = *product;
    let group = &lhs[(first_plane * m * row_words) as usize..][..(planes * m * row_words) as usize];
    let (rows, words) = ((m * product.total_segments()) as usize, segment_words as usize);
    let codes = bits::unpack(group, rows * words, 32, planes);
    let sums = reference::product::row_sums(&codes, rows, 32 * words);
    sums.into_iter().map(|sum| (sum as i32).cast_unsigned()).collect()
}
