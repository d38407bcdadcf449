//! Products of operands of signed bytes for adapters whose subgroups all have the same size. Numerics:
//! `reference::product::matmul`. Shader: `shaders/subgroup_byte_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::Kind;

use crate::{
    Case, Entry, Form, Mutation, Product, Random, SubgroupTile, byte_product,
    product::{Shape, table},
};

/// A [`Product`] whose operands [`ByteExpand`](crate::ByteExpand) wrote as bytes, by whole subgroups, one a workgroup.
///
/// Bindings: lhs `[parts][m][row_words][32]` bytes, rhs `[parts][n][row_words][32]` bytes, lhs_scale, rhs_scale, dst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubgroupByteProduct {
    /// Sizes, scales and output.
    pub product: Product,
    /// The register tile; the kernel knows no carry-save form.
    pub tile: SubgroupTile,
    /// Multiplies in f32, exact while the sums of a segment stay below 2^24; otherwise by 8-bit dot products.
    pub float: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "subgroup_byte_product",
        source: Cow::Borrowed(include_str!("../../../shaders/subgroup_byte_product.wgsl")),
        bindings: &[read("lhs"), read("rhs"), read("lhs_scale"), read("rhs_scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "skipped last vector", from: "w < begin + steps", to: "w + 1u < begin + steps" },
        Mutation {
            rule: "segment skipped",
            from: "params.first_segment + params.segments",
            to: "params.first_segment + params.segments - 1u",
        },
        Mutation { rule: "accumulation ignored", from: "if ACCUMULATE {", to: "if false {" },
        Mutation { rule: "factor dropped", from: "let left = params.factor *", to: "let left =" },
        Mutation { rule: "divisor of a scale", from: "s / params.rhs_div", to: "s" },
        Mutation {
            rule: "row past the edge",
            from: "    if row{{ i }} < params.m {",
            to: "    if row{{ i }} <= params.m {",
        },
        Mutation { rule: "column of another lane", from: "{{ j % LANES }}u)", to: "{{ (j + 1) % LANES }}u)" },
        Mutation { rule: "float element", from: "f{{ i }}.{{ e }}", to: "f{{ i }}.x" },
        Mutation {
            rule: "word of four",
            from: "Packed({{ left }}{{ p }}.{{ x }}",
            to: "Packed({{ left }}{{ p }}.x",
        },
        Mutation { rule: "sign of a byte", from: "dot4I8Packed(", to: "dot4I8Packed(0x7f7f7f7fu & " },
        Mutation { rule: "sign of a float", from: "unpack4xI8", to: "unpack4xU8" },
        Mutation { rule: "second part of lhs", from: "{{ p }}u * left_part", to: "0u" },
        Mutation { rule: "second part of rhs", from: "{{ q }}u * right_part", to: "0u" },
        Mutation { rule: "weight of a part", from: "RHS_PARTS - 2 - p - q", to: "RHS_PARTS - 2 - p" },
        Mutation { rule: "float of two parts", from: "2i * ", to: "" },
        Mutation {
            rule: "first word of a part",
            from: "params.segment_words + params.first_word",
            to: "params.segment_words",
        },
    ],
};

impl SubgroupByteProduct {
    fn steps(&self) -> u64 {
        u64::from(self.product.k.div_ceil(16))
    }
}

impl Kernel for SubgroupByteProduct {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.product.params()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("ACCUMULATE", u32::from(self.product.accumulate))]
    }
    fn template(&self) -> Vec<Constant> {
        let mut values = vec![
            Constant::new("LANES", self.tile.lanes),
            Constant::new("ROWS", self.tile.rows),
            Constant::new("COLUMNS", self.tile.columns),
            Constant::new("STORE", self.product.store()),
        ];
        values.extend(byte_product::template(&self.product, self.float));
        values
    }
    fn subgroup(&self) -> Option<u32> {
        Some(self.tile.lanes)
    }
    fn workgroups(&self) -> u64 {
        let rows = self.product.m.div_ceil(self.tile.rows * self.tile.lanes);
        u64::from(rows) * u64::from(self.product.n.div_ceil(self.tile.columns))
    }
    fn lens(&self) -> Vec<u64> {
        byte_product::lens(&self.product)
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.product.segments) * (1 + self.steps())
    }
    fn work(&self) -> Work {
        byte_product::work(&self.product)
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![byte_product::expected(&self.product, buffers)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(43);
    let mut cases = Vec::new();
    for lanes in [8, 16, 32] {
        let tile = |rows, columns| SubgroupTile { lanes, rows, columns, carry_save: false };
        for float in [false, true] {
            let mut case = |form, shape: Shape, tile| {
                cases.push(case(form, &shape, (tile, float), &mut random));
            };
            for shape in table().into_iter().filter(|shape| byte_product::few(&shape.product)) {
                case(Form::And, shape, tile(2, 4));
            }
            case(Form::Xor, Shape::new([9, 7, 130], 2, [8, 8]).masked(true, false), tile(2, 4));
            let masked = Shape::new([13, 11, 576], 2, [4, 1]);
            case(Form::Xor, masked.clone().masked(true, false), tile(2, 4));
            case(Form::Xor, masked.masked(true, true), tile(2, 4));
            case(Form::And, Shape::new([9, 7, 130], 1, [7, 7]), tile(2, 4));
            let unit = Shape::new([5, 9, 77], 2, [3, 2]).with("unit", |p| p.rhs_kind = Kind::Unit);
            case(Form::And, unit, tile(2, 4));
            for size in [[65, 40, 1151], [33, 18, 290]] {
                case(Form::Xor, Shape::new(size, 2, [2, 3]), tile(4, 16));
            }
            case(Form::And, Shape::new([65, 40, 190], 1, [2, 3]), tile(4, 8));
        }
    }
    cases
}

fn case(form: Form, shape: &Shape, (tile, float): (SubgroupTile, bool), random: &mut Random) -> Case {
    let kernel = SubgroupByteProduct { product: shape.product, tile, float };
    let SubgroupTile { lanes, rows, columns, .. } = tile;
    let arithmetic = if float { "f32" } else { "dot4" };
    let label = format!("{arithmetic} {form} {} tile {lanes}x{rows}x{columns}", shape.label);
    Case::new(label, kernel, byte_product::inputs(form, shape, random))
}
