//! Products of packed operands by workgroups that share their loads. Numerics: `reference::product::matmul` on centered
//! codes. Shader: `shaders/tile_product.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::Kind;

use crate::{
    Case, Entry, Form, Mutation, Output, Product, Random, SubgroupProduct,
    product::{Shape, expected, expected_at, table},
};

/// Words of workgroup memory that every device has.
const WORKGROUP_WORDS: u32 = 4096;

/// Operations that the written-out body may hold before it becomes a loop over the planes of lhs.
const MAX_BODY: u32 = 3072;

/// The [`Product`] of a [`Form`] by workgroups that bring the words of both operands to workgroup memory, every word once a
/// tile: for devices with many threads, and in need of no subgroups. Gives the bits of [`AndProduct`](crate::AndProduct)
/// and [`XorProduct`](crate::XorProduct).
///
/// Bindings: lhs, rhs, lhs_scale, rhs_scale, dst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TileProduct {
    /// What the planes of the left operand stand for.
    pub form: Form,
    /// Sizes, planes, scales and output.
    pub product: Product,
    /// The tile.
    pub tile: WorkgroupTile,
}

/// The tile of a workgroup: tuning values that change no bit of the result. All are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkgroupTile {
    /// Invocations along the rows of dst.
    pub thread_rows: u32,
    /// Invocations along the columns of dst.
    pub thread_columns: u32,
    /// Rows of dst that an invocation owns.
    pub rows: u32,
    /// Columns of dst that an invocation owns.
    pub columns: u32,
    /// Adds the words of a plane pair in carry-save form, which takes one population count for two words: faster where
    /// counts are slower than logic.
    pub carry_save: bool,
}

impl WorkgroupTile {
    /// Rows of dst that a workgroup computes.
    pub fn tile_rows(&self) -> u32 {
        self.thread_rows * self.rows
    }

    /// Columns of dst that a workgroup computes.
    pub fn tile_columns(&self) -> u32 {
        self.thread_columns * self.columns
    }

    /// Invocations of a workgroup.
    pub fn threads(&self) -> u32 {
        self.thread_rows * self.thread_columns
    }

    /// A workgroup of this tile is one that every device runs.
    pub fn is_valid(&self) -> bool {
        let Self { thread_rows, thread_columns, rows, columns, .. } = *self;
        let powers = [thread_rows, thread_columns, rows, columns].iter().all(|x| x.is_power_of_two());
        let small = thread_rows <= 32 && thread_columns <= 32 && rows <= 8 && columns <= 8;
        powers && small && (32..=256).contains(&self.threads()) && rows * columns <= 64
    }

    /// Vectors by which the loads of one depth are set apart.
    pub(crate) fn pad(depth: u32) -> u32 {
        if depth == 1 { 0 } else { 8 / depth }
    }

    /// The deepest step of at most 4 loads of `load` words whose `left` loads a row, `right` a column and `extra` words a
    /// row fit workgroup memory, at most `steps`; none where even one load does not fit.
    pub(crate) fn depth(&self, load: u32, [left, right]: [u32; 2], extra: u32, steps: u32) -> Option<u32> {
        let words = |depth: u32| {
            let pad = Self::pad(depth);
            let loads = left * (self.tile_rows() + pad) + right * (self.tile_columns() + pad);
            load * depth * loads + extra * self.tile_rows()
        };
        let fits = |depth: &u32| words(*depth) <= WORKGROUP_WORDS && (*depth == 1 || *depth < 2 * steps);
        [4, 2, 1].into_iter().find(fits)
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "tile_product",
        source: Cow::Borrowed(include_str!("../../../shaders/tile_product.wgsl")),
        bindings: &[read("lhs"), read("rhs"), read("lhs_scale"), read("rhs_scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "skipped last step", from: "first < steps;", to: "first + 1u < steps;" },
        Mutation {
            rule: "words past the segment",
            from: "let inside = first + depth < steps",
            to: "let inside = true",
        },
        Mutation { rule: "plane weight", from: ") << ({{ p }} + {{ q }}u))", to: ") << ({{ p }}))" },
        Mutation { rule: "plane of rhs", from: "params.rhs_plane * right_plane", to: "0u" },
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
        Mutation {
            rule: "column of another thread",
            from: "d) * {{ right_stride }}u + thread_column",
            to: "d) * {{ right_stride }}u + thread_row",
        },
        Mutation { rule: "mask dropped", from: "\" & m\" ~ i", to: "\" & m\" ~ 0" },
        Mutation {
            rule: "offset of an earlier segment",
            from: "total{{ i }} - seen{{ i }}",
            to: "total{{ i }}",
        },
        Mutation { rule: "offset weight", from: "{% endfor %}) << {{ p }}u;", to: "{% endfor %});" },
        Mutation { rule: "carry lost", from: "(2u * count", to: "(1u * count" },
        Mutation {
            rule: "first word of a part",
            from: "params.segment_words + params.first_word",
            to: "params.segment_words",
        },
    ],
};

impl TileProduct {
    /// The kernel computes what [`SubgroupProduct`] does, where one load of the planes fits workgroup memory.
    pub fn supports(form: Form, product: &Product, tile: WorkgroupTile) -> bool {
        let kernel = Self { form, product: *product, tile };
        let plain = SubgroupProduct::supports(form, product) && product.rhs.mask.is_none();
        plain && tile.is_valid() && kernel.depth().is_some()
    }

    fn masked(&self) -> bool {
        self.form == Form::Xor && self.product.lhs.mask.is_some()
    }

    /// What is summed a row beside the counts: nothing, codes of sign products or elements that the mask keeps.
    fn offset(&self) -> u32 {
        match (self.form, self.product.rhs_kind) {
            (Form::And, Kind::Sign) => 1,
            (Form::Xor, _) if self.masked() => 2,
            _ => 0,
        }
    }

    fn steps(&self) -> u32 {
        self.product.words().div_ceil(self.product.load())
    }

    fn depth(&self) -> Option<u32> {
        let Product { lhs, rhs, .. } = self.product;
        let loads = [lhs.planes + u32::from(self.masked()), rhs.planes];
        self.tile.depth(self.product.load(), loads, u32::from(self.offset() > 0), self.steps())
    }

    fn rolled(&self) -> bool {
        let pairs = self.product.lhs.planes * self.product.rhs.planes;
        3 * self.tile.rows * self.tile.columns * self.product.load() * pairs > MAX_BODY
    }

    fn carry_save(&self) -> bool {
        self.tile.carry_save && self.product.load() > 1 && !self.rolled()
    }
}

impl Kernel for TileProduct {
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
        let Product { lhs, rhs, lhs_scale, rhs_scale, output, .. } = self.product;
        let depth = self.depth().unwrap_or(1);
        vec![
            Constant::new("THREAD_ROWS", self.tile.thread_rows),
            Constant::new("THREAD_COLUMNS", self.tile.thread_columns),
            Constant::new("ROWS", self.tile.rows),
            Constant::new("COLUMNS", self.tile.columns),
            Constant::new("CARRY_SAVE", u32::from(self.carry_save())),
            Constant::new("LOAD", self.product.load()),
            Constant::new("DEPTH", depth),
            Constant::new("PAD", WorkgroupTile::pad(depth)),
            Constant::new("ROLLED", u32::from(self.rolled())),
            Constant::new("STORE", 1),
            Constant::new("LHS_PLANES", lhs.planes),
            Constant::new("RHS_PLANES", rhs.planes),
            Constant::new("SIGN", u32::from(self.form == Form::Xor)),
            Constant::new("MASKED", u32::from(self.masked())),
            Constant::new("OFFSET", self.offset()),
            Constant::new("LHS_BY", lhs_scale.by as u32),
            Constant::new("RHS_BY", rhs_scale.by as u32),
            Constant::new("INTEGER", u32::from(output == Output::I32)),
        ]
    }
    fn workgroups(&self) -> u64 {
        let rows = self.product.m.div_ceil(self.tile.tile_rows());
        u64::from(rows) * u64::from(self.product.n.div_ceil(self.tile.tile_columns()))
    }
    fn lens(&self) -> Vec<u64> {
        self.product.needed(self.form).lens().to_vec()
    }
    fn loop_trips(&self) -> u64 {
        let depth = self.depth().unwrap_or(1);
        let planes = if self.rolled() { self.product.lhs.planes } else { 0 };
        let step = 1 + u64::from(depth) * (1 + u64::from(planes));
        u64::from(self.product.segments) * (1 + u64::from(self.steps().div_ceil(depth)) * step)
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
    let mut random = Random::new(41);
    let mut cases = Vec::new();
    let tile = |thread_rows, thread_columns, rows, columns, carry_save| WorkgroupTile {
        thread_rows,
        thread_columns,
        rows,
        columns,
        carry_save,
    };
    let small = tile(8, 8, 2, 2, false);
    for form in [Form::And, Form::Xor] {
        let shapes = table().into_iter().filter(|s| few(&s.product));
        cases.extend(shapes.map(|shape| case(form, &shape, small, &mut random)));
        for size in [[3, 5, 31], [13, 11, 576]] {
            let shape = match form {
                Form::And => Shape::new(size, 1, [3, 2]).with("unit", |p| p.rhs_kind = Kind::Unit),
                Form::Xor => Shape::new(size, 1, [2, 1]).masked(true, false),
            };
            cases.push(case(form, &shape, small, &mut random));
        }
        for (tile, planes) in [
            (tile(16, 16, 4, 4, false), [2, 1]),
            (tile(8, 16, 8, 4, false), [1, 4]),
            (tile(16, 16, 4, 4, true), [2, 1]),
            (tile(8, 8, 8, 8, false), [1, 1]),
            (tile(16, 16, 2, 2, false), [8, 8]),
        ] {
            let shape = Shape::new([130, 67, 1151], 3, planes);
            cases.push(case(form, &shape, tile, &mut random));
        }
    }
    let masked = Shape::new([37, 20, 300], 3, [4, 1]).masked(true, false);
    cases.push(case(Form::Xor, &masked, tile(8, 8, 4, 4, false), &mut random));
    cases.push(case(Form::Xor, &masked, tile(8, 8, 4, 4, true), &mut random));
    cases
}

/// Every pair of widths is a shader of its own here, so the table is thinned to where they differ most.
fn few(product: &Product) -> bool {
    let widths = (product.lhs.planes, product.rhs.planes);
    product.m != 5 || matches!(widths, (1, 1) | (3, 5))
}

fn case(form: Form, shape: &Shape, tile: WorkgroupTile, random: &mut Random) -> Case {
    let kernel = TileProduct { form, product: shape.product, tile };
    let WorkgroupTile { thread_rows, thread_columns, rows, columns, carry_save } = tile;
    let save = if carry_save { " carry-save" } else { "" };
    let label = format!("{form} {} tile {thread_rows}x{thread_columns}x{rows}x{columns}{save}", shape.label);
    Case::new(label, kernel, shape.inputs(random).to_vec())
}
