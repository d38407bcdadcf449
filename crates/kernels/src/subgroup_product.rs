//! Products of packed operands for adapters whose subgroups all have the same size. Numerics:
//! `reference::product::matmul` on centered codes. Shader: `shaders/subgroup_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::Kind;

use crate::{
    Case, Entry, Form, Mutation, Output, Product, Random,
    product::{Shape, expected, expected_at, sizes, table},
};

/// The [`Product`] of a [`Form`] by whole subgroups, one a workgroup, that spread the words of the right operand by
/// shuffles. Gives the bits of [`AndProduct`](crate::AndProduct) and [`XorProduct`](crate::XorProduct).
///
/// Bindings: lhs, rhs, lhs_scale, rhs_scale, dst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubgroupProduct {
    /// What the planes of the left operand stand for.
    pub form: Form,
    /// Sizes, planes, scales and output.
    pub product: Product,
    /// The register tile.
    pub tile: SubgroupTile,
}

/// The register tile of a [`SubgroupProduct`]: tuning values that change no bit of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubgroupTile {
    /// Lanes of every subgroup of the adapter.
    pub lanes: u32,
    /// Rows of dst that a lane owns.
    pub rows: u32,
    /// Columns of dst that a lane owns, a multiple of 4.
    pub columns: u32,
    /// Adds the words of a plane pair in carry-save form, which takes one population count for four words: faster
    /// where the count is not one instruction.
    pub carry_save: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "subgroup_product",
        source: Cow::Borrowed(include_str!("../../../shaders/subgroup_product.wgsl")),
        bindings: &[read("lhs"), read("rhs"), read("lhs_scale"), read("rhs_scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "skipped last word", from: "w < begin + steps", to: "w + 1u < begin + steps" },
        Mutation { rule: "plane weight", from: ") << {{ w }}u){{ \"\"", to: ") << 0u){{ \"\"" },
        Mutation { rule: "plane of rhs", from: "params.rhs_plane + {{ q }}u", to: "params.rhs_plane" },
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
        Mutation { rule: "mask dropped", from: "\" & m\" ~ i", to: "\" & m\" ~ 0" },
        Mutation { rule: "offset of sign planes", from: "* i32(offset{{ i }}", to: "* i32(offset0" },
        Mutation { rule: "mask of rhs dropped", from: "\" & \" ~ kept ~ part", to: "\"\" ~ \"\"" },
        Mutation { rule: "words that are skipped", from: "if any(kept !=", to: "if all(kept ==" },
        Mutation {
            rule: "mask of another column",
            from: "subgroupShuffle(mask_spread{{ j // LANES }}{{ x }}, {{ j % LANES }}u)",
            to: "mask_spread{{ j // LANES }}{{ x }}",
        },
        Mutation {
            rule: "offset of masked columns",
            from: "& kept{{ x }}) << {{ p }}u)",
            to: ") << {{ p }}u)",
        },
        Mutation {
            rule: "both masks",
            from: "countOneBits(kept{{ x }}{{ \" & m\" ~ i ~ x if MASKED else \"\" }})",
            to: "countOneBits(kept{{ x }})",
        },
        Mutation { rule: "carry lost", from: "2u * countOneBits(twos", to: "1u * countOneBits(twos" },
        Mutation {
            rule: "first word of a part",
            from: "params.segment_words + params.first_word",
            to: "params.segment_words",
        },
    ],
};

impl SubgroupProduct {
    /// The kernel computes every product of a form's kinds.
    pub fn supports(form: Form, product: &Product) -> bool {
        form == Form::And || product.rhs_kind == Kind::Sign
    }

    fn masked(&self) -> bool {
        self.form == Form::Xor && self.product.lhs.mask.is_some()
    }

    fn steps(&self) -> u32 {
        self.product.words().div_ceil(self.product.load())
    }
}

impl Kernel for SubgroupProduct {
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
        let Product { lhs, rhs, rhs_kind, lhs_scale, rhs_scale, output, .. } = self.product;
        let offset = match (self.form, rhs_kind) {
            (Form::And, Kind::Sign) => 1,
            (Form::Xor, _) if self.masked() || rhs.mask.is_some() => 2,
            _ => 0,
        };
        vec![
            Constant::new("LANES", self.tile.lanes),
            Constant::new("ROWS", self.tile.rows),
            Constant::new("COLUMNS", self.tile.columns),
            Constant::new("CARRY_SAVE", u32::from(self.tile.carry_save && self.product.load() == 4)),
            Constant::new("LOAD", self.product.load()),
            Constant::new("STORE", self.product.store()),
            Constant::new("SINGLE", u32::from(self.steps() == 1)),
            Constant::new("LHS_PLANES", lhs.planes),
            Constant::new("RHS_PLANES", rhs.planes),
            Constant::new("SIGN", u32::from(self.form == Form::Xor)),
            Constant::new("MASKED", u32::from(self.masked())),
            Constant::new("RHS_MASKED", u32::from(rhs.mask.is_some())),
            Constant::new("OFFSET", offset),
            Constant::new("LHS_BY", lhs_scale.by as u32),
            Constant::new("RHS_BY", rhs_scale.by as u32),
            Constant::new("INTEGER", u32::from(output == Output::I32)),
        ]
    }
    fn subgroup(&self) -> Option<u32> {
        Some(self.tile.lanes)
    }
    fn workgroups(&self) -> u64 {
        let rows = self.product.m.div_ceil(self.tile.rows * self.tile.lanes);
        u64::from(rows) * u64::from(self.product.n.div_ceil(self.tile.columns))
    }
    fn lens(&self) -> Vec<u64> {
        self.product.needed(self.form).lens().to_vec()
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.product.segments) * (1 + u64::from(self.steps()))
    }
    fn work(&self) -> Work {
        self.product.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let buffers = buffers.try_into().expect("one buffer per binding");
        vec![expected(&self.product.needed(self.form), self.form.kinds(self.product.rhs_kind), buffers)]
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        let buffers = buffers.try_into().expect("one buffer per binding");
        let kinds = self.form.kinds(self.product.rhs_kind);
        Some(expected_at(&self.product.needed(self.form), kinds, buffers, indices))
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(40);
    let mut cases = Vec::new();
    for lanes in [8, 16, 32] {
        let tile = |rows, columns, carry_save| SubgroupTile { lanes, rows, columns, carry_save };
        let plain = tile(2, 4, false);
        for form in [Form::And, Form::Xor] {
            let shapes = table().into_iter().filter(|s| few(&s.product));
            cases.extend(shapes.map(|shape| case(form, &shape, plain, &mut random)));
            for size in sizes() {
                let shapes = match form {
                    Form::And => {
                        let unit = Shape::new(size, 1, [3, 2]);
                        vec![unit.with("unit", |product| product.rhs_kind = Kind::Unit)]
                    }
                    Form::Xor => vec![Shape::new(size, 1, [2, 1]).masked(true, false)],
                };
                cases.extend(shapes.iter().map(|shape| case(form, shape, plain, &mut random)));
            }
            let tiles = [tile(4, 16, false), tile(4, 32, false), tile(1, 4, true), tile(4, 16, true)];
            for (tile, planes) in tiles.into_iter().flat_map(|t| [(t, [1, 1]), (t, [2, 4])]) {
                for size in [[65, 40, 1151], [33, 18, 290]] {
                    let shape = Shape::new(size, 2, planes);
                    let strided = shape.clone().with("transposed", |p| {
                        (p.dst_row_stride, p.dst_col_stride) = (1, p.m);
                    });
                    cases.extend([shape, strided].iter().map(|s| case(form, s, tile, &mut random)));
                }
            }
        }
        for (form, lhs) in [(Form::And, false), (Form::Xor, false), (Form::Xor, true)] {
            let tiles = [plain, tile(4, 16, true), tile(1, 32, false)];
            for (tile, planes) in tiles.into_iter().zip([[2, 1], [1, 1], [3, 2]]) {
                for size in [[37, 20, 300], [9, 35, 31]] {
                    let shape = Shape::new(size, 2, planes).masked(lhs, true).sparse();
                    cases.push(case(form, &shape, tile, &mut random));
                }
            }
        }
        let unit = Shape::new([9, 7, 150], 1, [1, 2]).masked(false, true).with("unit", |product| {
            product.rhs_kind = Kind::Unit;
        });
        cases.push(case(Form::And, &unit, plain, &mut random));
        let masked = Shape::new([37, 20, 300], 2, [4, 1]).masked(true, false);
        cases.push(case(Form::Xor, &masked, tile(4, 16, false), &mut random));
        cases.push(case(Form::Xor, &masked, tile(2, 8, true), &mut random));
    }
    cases
}

/// Every pair of widths is a shader of its own here, so the table of all 64 pairs is thinned to where they differ most.
fn few(product: &Product) -> bool {
    let widths = (product.lhs.planes, product.rhs.planes);
    product.m != 5 || matches!(widths, (1, 1..=2) | (2, 1 | 4) | (3, 5) | (8, 1 | 8) | (1, 8))
}

fn case(form: Form, shape: &Shape, tile: SubgroupTile, random: &mut Random) -> Case {
    let kernel = SubgroupProduct { form, product: shape.product, tile };
    let SubgroupTile { lanes, rows, columns, carry_save } = tile;
    let save = if carry_save { " carry-save" } else { "" };
    let label = format!("{form} {} tile {lanes}x{rows}x{columns}{save}", shape.label);
    Case::new(label, kernel, shape.inputs(random).to_vec())
}
