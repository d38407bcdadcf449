//! Products of sign planes with sign planes. Numerics: `reference::product::matmul` on centered codes.
//! Shader: `shaders/xor_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::Kind;

use crate::{
    By, Case, Entry, Mutation, Product, Random, ScaleIndex,
    product::{Shape, expected, expected_at, sizes, table},
};

/// The [`Product`] of sign planes (centered codes 2q - n) on both sides, each with a mask or without;
/// `rhs_kind` is not looked at.
///
/// Bindings: lhs, rhs, lhs_scale, rhs_scale, dst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct XorProduct(pub Product);

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "xor_product",
        source: Cow::Borrowed(include_str!("../../../shaders/xor_product.wgsl")),
        bindings: &[read("lhs"), read("rhs"), read("lhs_scale"), read("rhs_scale"), write("dst")],
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
        Mutation { rule: "padded k", from: "i32(params.k)", to: "i32(params.words * 32u)" },
        Mutation { rule: "mask of the left side", from: "words.lhs = lhs_words(lhs_at);", to: "" },
        Mutation { rule: "mask of the right side", from: "words.rhs = rhs_words(rhs_at);", to: "" },
        Mutation { rule: "valid elements counted", from: "valid.r2", to: "i32(params.k)" },
    ],
};

impl Kernel for XorProduct {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.0.params()
    }
    fn constants(&self) -> Vec<Constant> {
        let mut constants = self.0.constants();
        constants.push(Constant::new("LHS_MASKED", u32::from(self.0.lhs.mask.is_some())));
        constants
    }
    fn workgroups(&self) -> u64 {
        self.0.workgroups()
    }
    fn lens(&self) -> Vec<u64> {
        self.0.lens().to_vec()
    }
    fn loop_trips(&self) -> u64 {
        self.0.loop_trips()
    }
    fn work(&self) -> Work {
        self.0.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [lhs, rhs, lhs_scale, rhs_scale, dst] = buffers[..] else {
            unreachable!("one buffer per binding");
        };
        vec![expected(&self.0, [Kind::Sign; 2], [lhs, rhs, lhs_scale, rhs_scale, dst])]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let buffers = buffers.try_into().expect("one buffer per binding");
        Some(expected_at(&self.0, [Kind::Sign; 2], buffers, indices))
    }
}

fn cases() -> Vec<Case> {
    let mut shapes = table();
    for (lhs, rhs) in [(true, false), (false, true), (true, true)] {
        shapes.extend(sizes().into_iter().map(|size| Shape::new(size, 1, [4, 1]).masked(lhs, rhs)));
        shapes.push(Shape::new([7, 6, 43], 3, [2, 3]).masked(lhs, rhs));
        let scaled = Shape::new([9, 10, 90], 2, [1, 2]).masked(lhs, rhs);
        shapes
            .push(scaled.scaled(ScaleIndex { by: By::Row, div: 3 }, ScaleIndex { by: By::Segment, div: 1 }));
    }
    let mut random = Random::new(15);
    let case = |shape: Shape| {
        Case::new(shape.label.clone(), XorProduct(shape.product), shape.inputs(&mut random).to_vec())
    };
    shapes.into_iter().map(case).collect()
}
