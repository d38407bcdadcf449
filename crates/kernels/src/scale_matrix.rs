//! Rows or columns of a matrix times a factor each. Numerics: the product itself. Shader: `shaders/scale_matrix.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{relative, special, to_f64},
    groups_for,
};

/// Writes `dst[rows][columns] = scale * x[rows][columns]` with one scale per row, or one per column.
#[derive(Clone, Copy, Debug)]
pub struct ScaleMatrix {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// A scale per column, not per row.
    pub by_column: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "scale_matrix",
        source: Cow::Borrowed(include_str!("../../../shaders/scale_matrix.wgsl")),
        bindings: &[read("x"), read("scale"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "scale", from: "scale[at] * x[index]", to: "x[index]" },
        Mutation { rule: "row of the scale", from: "select(row,", to: "select(0u," },
        Mutation { rule: "column of the scale", from: "BY_COLUMN == 1u", to: "false" },
        Mutation {
            rule: "last element",
            from: "index >= params.rows * params.columns",
            to: "index + 1u >= params.rows * params.columns",
        },
    ],
};

impl ScaleMatrix {
    fn elements(&self) -> u32 {
        self.rows * self.columns
    }

    fn scales(&self) -> u32 {
        if self.by_column { self.columns } else { self.rows }
    }
}

impl Kernel for ScaleMatrix {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("rows", self.rows), Param::u32("columns", self.columns)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BY_COLUMN", u32::from(self.by_column))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.elements()))
    }
    fn lens(&self) -> Vec<u64> {
        [self.elements(), self.scales(), self.elements()].map(u64::from).to_vec()
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.elements()), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (x, scale) = (to_f64(buffers[0], self.elements()), to_f64(buffers[1], self.scales()));
        let columns = self.columns as usize;
        let at = |index: usize| if self.by_column { index % columns } else { index / columns };
        let dst: Vec<f64> = x.iter().enumerate().map(|(index, x)| scale[at(index)] * x).collect();
        vec![relative(&dst, 1.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(64);
    let mut case = |(rows, columns): (u32, u32), by_column: bool| {
        let kernel = ScaleMatrix { rows, columns, by_column };
        let x = special(&mut random, rows * columns, -2.0, 2.0);
        let scale = random.floats(kernel.scales() as usize, 0.1, 3.0);
        Case::new(format!("{rows}x{columns} by column: {by_column}"), kernel, vec![x, scale, vec![]])
    };
    let sizes = [(1, 1), (1, 37), (65, 1), (7, 64), (33, 31), (5, 300)];
    [false, true]
        .into_iter()
        .flat_map(|by| sizes.map(|size| (size, by)))
        .map(|(size, by)| case(size, by))
        .collect()
}
