//! Sums of columns, by groups of rows. Numerics: the sum itself. Shader: `shaders/column_sum.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
    tiling::vector,
};

/// Sums `columns` columns of `rows` rows over groups of `group` rows, in row order:
/// `dst[ceil(rows / group)][columns] = factor * ([dst +] sum)`. The sum starts from `dst`, so rows summed in parts give the
/// same bits as rows summed together.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSum {
    /// Rows of the source.
    pub rows: u32,
    /// Columns summed.
    pub columns: u32,
    /// Words of a source row.
    pub stride: u32,
    /// First column summed.
    pub first: u32,
    /// Rows of one group; the loop trips of an invocation.
    pub group: u32,
    /// Multiplies the total.
    pub factor: f32,
    /// Whether the sum starts from what `dst` holds.
    pub accumulate: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "column_sum",
        source: Cow::Borrowed(include_str!("../../../shaders/column_sum.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last row of a group", from: "row < end", to: "row + 1u < end" },
        Mutation { rule: "first row of a group", from: "row = start;", to: "row = start + 1u;" },
        Mutation { rule: "first column", from: "+ params.first", to: "" },
        Mutation {
            rule: "last group shorter",
            from: "min(start + params.group, params.rows)",
            to: "start + params.group",
        },
        Mutation { rule: "factor", from: "params.factor * sum", to: "sum" },
        Mutation { rule: "accumulate ignored", from: "if ACCUMULATE", to: "if false" },
        Mutation { rule: "accumulate always", from: "if ACCUMULATE", to: "if true" },
        Mutation { rule: "row stride", from: "row * params.stride", to: "row * params.columns" },
    ],
};

impl ColumnSum {
    /// Sums all columns of `rows` x `columns` by groups of `group` rows.
    pub fn new(rows: u32, columns: u32, group: u32) -> Self {
        Self { rows, columns, stride: columns, first: 0, group, factor: 1.0, accumulate: false }
    }

    fn vector(&self) -> u32 {
        [self.columns, self.stride, self.first].map(vector).into_iter().min().unwrap_or(1)
    }

    /// Rows of the result, `ceil(rows / group)`.
    pub fn groups(&self) -> u32 {
        self.rows.div_ceil(self.group)
    }
}

impl Kernel for ColumnSum {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let vector = self.vector();
        vec![
            Param::u32("rows", self.rows),
            Param::u32("columns", self.columns / vector),
            Param::u32("stride", self.stride / vector),
            Param::u32("first", self.first / vector),
            Param::u32("group", self.group),
            Param::f32("factor", self.factor),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("ACCUMULATE", u32::from(self.accumulate))]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", self.vector())]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()) * u64::from(self.columns / self.vector()))
    }
    fn lens(&self) -> Vec<u64> {
        vec![
            u64::from(self.rows) * u64::from(self.stride),
            u64::from(self.groups()) * u64::from(self.columns),
        ]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.group.min(self.rows))
    }
    fn work(&self) -> Work {
        Work {
            operations: u64::from(self.rows) * u64::from(self.columns),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn witnesses(&self) -> &'static [(usize, usize)] {
        if self.columns == self.stride { &[(0, 1)] } else { &[] }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let src = to_f64(buffers[0], self.rows * self.stride);
        let columns = self.columns as usize;
        let len = self.groups() * self.columns;
        let mut sums = if self.accumulate { to_f64(buffers[1], len) } else { vec![0.0; len as usize] };
        let mut sizes: Vec<f64> = sums.iter().map(|start| start.abs()).collect();
        for (row, values) in src.chunks_exact(self.stride as usize).enumerate() {
            for (column, value) in values[self.first as usize..][..columns].iter().enumerate() {
                let at = row / self.group as usize * columns + column;
                sums[at] += value;
                sizes[at] += value.abs();
            }
        }
        let factor = f64::from(self.factor);
        sums.iter_mut().for_each(|sum| *sum *= factor);
        sizes.iter_mut().for_each(|size| *size *= factor.abs());
        let terms = f64::from(self.group.min(self.rows) + 3);
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(25);
    let mut case = |(rows, columns, group): (u32, u32, u32), factor: f32, accumulate: bool| {
        let kernel = ColumnSum { factor, accumulate, ..ColumnSum::new(rows, columns, group) };
        let dst =
            if accumulate { random.floats((kernel.groups() * columns) as usize, -4.0, 4.0) } else { vec![] };
        let inputs = vec![random.floats((rows * columns) as usize, -1.0, 2.0), dst];
        Case::new(
            format!("{rows}x{columns} by {group} factor {factor} accumulate {accumulate}"),
            kernel,
            inputs,
        )
    };
    let sizes = [
        (1, 1, 1),
        (7, 3, 7),
        (7, 3, 100),
        (64, 65, 64),
        (65, 5, 64),
        (129, 31, 64),
        (127, 2, 5),
        (1021, 3, 1021),
        (3, 1000, 2),
        (131, 48, 13),
        (1, 4, 1),
    ];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 1.0, false)).collect();
    cases.push(case((37, 11, 10), 0.125, true));
    cases.push(case((37, 11, 37), 1.0 / 37.0, false));
    cases.push(case((40, 3, 8), -2.5, true));
    cases.push(case((65_000, 2, 65_000), 1.0, false));
    let part = ColumnSum { stride: 11, first: 5, ..ColumnSum::new(9, 6, 4) };
    let mut random = Random::new(26);
    cases.push(Case::new("columns 5 to 10 of 11", part, vec![random.floats(99, -1.0, 2.0), vec![]]));
    let part = ColumnSum { stride: 16, first: 4, ..ColumnSum::new(9, 8, 4) };
    cases.push(Case::new("columns 4 to 11 of 16", part, vec![random.floats(144, -1.0, 2.0), vec![]]));
    let part = ColumnSum { stride: 18, first: 8, ..ColumnSum::new(9, 8, 4) };
    cases.push(Case::new("columns 8 to 15 of 18", part, vec![random.floats(162, -1.0, 2.0), vec![]]));
    let part = ColumnSum { accumulate: true, ..ColumnSum::new(21, 12, 5) };
    let inputs = vec![random.floats(252, -1.0, 2.0), random.floats(60, -1.0, 2.0)];
    cases.push(Case::new("21x12 by 5 accumulate", part, inputs));
    cases
}
