//! Products of operands of signed bytes by workgroups that share their loads. Numerics: `reference::product::matmul`.
//! Shader: `shaders/tile_byte_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::Kind;

use crate::{
    Case, Entry, Form, Mutation, Product, Random, WorkgroupTile, byte_product,
    product::{Shape, table},
};

/// A [`Product`] whose operands [`ByteExpand`](crate::ByteExpand) wrote as bytes, by workgroups that bring both operands to
/// workgroup memory; needs no subgroups.
///
/// Bindings: lhs `[parts][m][row_words][32]` bytes, rhs `[parts][n][row_words][32]` bytes, lhs_scale, rhs_scale, dst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TileByteProduct {
    /// Sizes, scales and output.
    pub product: Product,
    /// The tile; the kernel knows no carry-save form.
    pub tile: WorkgroupTile,
    /// Multiplies in f32, exact while the sums of a segment stay below 2^24; otherwise by 8-bit dot products.
    pub float: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "tile_byte_product",
        source: Cow::Borrowed(include_str!("../../../shaders/tile_byte_product.wgsl")),
        bindings: &[read("lhs"), read("rhs"), read("lhs_scale"), read("rhs_scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "skipped last step", from: "first < steps;", to: "first + 1u < steps;" },
        Mutation {
            rule: "bytes past the segment",
            from: "let inside = first + depth < steps",
            to: "let inside = true",
        },
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
        Mutation { rule: "column of another thread", from: "}}u + thread_column]", to: "}}u + thread_row]" },
        Mutation { rule: "float element", from: "fma(a{{ i }}_0.{{ x }}", to: "fma(a{{ i }}_0.x" },
        Mutation {
            rule: "word of four",
            from: "Packed({{ left }}{{ p }}.{{ x }}",
            to: "Packed({{ left }}{{ p }}.x",
        },
        Mutation { rule: "sign of a byte", from: "dot4I8Packed(", to: "dot4I8Packed(0x7f7f7f7fu & " },
        Mutation { rule: "sign of a float", from: "unpack4xI8", to: "unpack4xU8" },
        Mutation { rule: "second part", from: "{{ p }}u * {{ side }}_part", to: "0u" },
        Mutation { rule: "weight of a part", from: "RHS_PARTS - 2 - p - q", to: "RHS_PARTS - 2 - p" },
        Mutation { rule: "float of two parts", from: "2i * ", to: "" },
        Mutation {
            rule: "first word of a part",
            from: "params.segment_words + params.first_word",
            to: "params.segment_words",
        },
    ],
};

impl TileByteProduct {
    fn steps(&self) -> u32 {
        self.product.k.div_ceil(if self.float { 4 } else { 16 })
    }

    /// The tile fits workgroup memory.
    pub fn supports(product: &Product, tile: WorkgroupTile) -> bool {
        tile.is_valid() && Self { product: *product, tile, float: false }.depth().is_some()
    }

    fn depth(&self) -> Option<u32> {
        // Floats are whole where bytes may take two parts.
        let loads = if self.float { [1, 1] } else { byte_product::parts(&self.product) };
        self.tile.depth(4, loads, 0, self.steps())
    }
}

impl Kernel for TileByteProduct {
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
        let depth = self.depth().unwrap_or(1);
        let mut values = vec![
            Constant::new("THREAD_ROWS", self.tile.thread_rows),
            Constant::new("THREAD_COLUMNS", self.tile.thread_columns),
            Constant::new("ROWS", self.tile.rows),
            Constant::new("COLUMNS", self.tile.columns),
            Constant::new("DEPTH", depth),
            Constant::new("PAD", WorkgroupTile::pad(depth)),
            Constant::new("STORE", 1),
        ];
        values.extend(byte_product::template(&self.product, self.float));
        values
    }
    fn workgroups(&self) -> u64 {
        let rows = self.product.m.div_ceil(self.tile.tile_rows());
        u64::from(rows) * u64::from(self.product.n.div_ceil(self.tile.tile_columns()))
    }
    fn lens(&self) -> Vec<u64> {
        byte_product::lens(&self.product)
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.product.segments) * (1 + u64::from(self.steps().div_ceil(self.depth().unwrap_or(1))))
    }
    fn work(&self) -> Work {
        byte_product::work(&self.product)
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![byte_product::expected(&self.product, buffers)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(44);
    let mut cases = Vec::new();
    let tile = |[thread_rows, thread_columns, rows, columns]: [u32; 4]| WorkgroupTile {
        thread_rows,
        thread_columns,
        rows,
        columns,
        carry_save: false,
    };
    for float in [false, true] {
        let mut case = |form, shape: Shape, sizes| {
            cases.push(case(form, &shape, (tile(sizes), float), &mut random));
        };
        let small = [8, 8, 2, 2];
        for shape in table().into_iter().filter(|shape| byte_product::few(&shape.product)) {
            case(Form::And, shape, small);
        }
        case(Form::Xor, Shape::new([9, 7, 130], 2, [8, 8]).masked(true, false), small);
        let masked = Shape::new([13, 11, 576], 2, [4, 1]);
        case(Form::Xor, masked.clone().masked(true, false), small);
        case(Form::Xor, masked.masked(true, true), small);
        case(Form::And, Shape::new([9, 7, 130], 1, [7, 7]), small);
        let unit = Shape::new([5, 9, 77], 2, [3, 2]).with("unit", |p| p.rhs_kind = Kind::Unit);
        case(Form::And, unit, small);
        for tile in [[16, 16, 4, 4], [8, 16, 8, 4]] {
            case(Form::Xor, Shape::new([130, 67, 1151], 2, [2, 1]), tile);
        }
    }
    cases
}

fn case(form: Form, shape: &Shape, (tile, float): (WorkgroupTile, bool), random: &mut Random) -> Case {
    let kernel = TileByteProduct { product: shape.product, tile, float };
    let WorkgroupTile { thread_rows, thread_columns, rows, columns, .. } = tile;
    let arithmetic = if float { "f32" } else { "dot4" };
    let label =
        format!("{arithmetic} {form} {} tile {thread_rows}x{thread_columns}x{rows}x{columns}", shape.label);
    Case::new(label, kernel, byte_product::inputs(form, shape, random))
}
