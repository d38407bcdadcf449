//! Sums and maxima of rows. Shader: `shaders/reduce.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{UNIT, to_f64};
use crate::rounding::TANH_ERROR;
use crate::tiling::vector;
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// What is done to an element before it is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceMap {
    /// The element itself.
    Identity,
    /// Its magnitude.
    Abs,
    /// The magnitude of its hyperbolic tangent.
    AbsTanh,
}

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Added in ascending order.
    Sum,
    /// The largest.
    Max,
}

/// Reduces each row of `src[rows][len]` to `dst[rows][chunks]`, times `factor`; repeated until one chunk is left.
///
/// Chunk `c` takes the elements `c`, `c + chunks`, `c + 2 chunks`, ..., or vectors of four elements where these fill a row;
/// the four sums of a chunk are added in pairs. A maximum of magnitudes is NaN where an element is.
#[derive(Clone, Copy, Debug)]
pub struct Reduce {
    /// Rows, each reduced on its own.
    pub rows: u32,
    /// Elements of a row, at least 1.
    pub len: u32,
    /// Applied to each element first.
    pub map: ReduceMap,
    /// Sum or maximum.
    pub op: ReduceOp,
    /// Applied to each result.
    pub factor: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "reduce",
        source: Cow::Borrowed(include_str!("../../../shaders/reduce.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first element", from: "i = chunk + params.chunks", to: "i = chunk" },
        Mutation { rule: "last element", from: "i < params.vectors;", to: "i + 1u < params.vectors;" },
        Mutation {
            rule: "row stride",
            from: "first = row * params.vectors",
            to: "first = row * params.chunks",
        },
        Mutation { rule: "magnitude", from: "& Words(0x7fffffffu)", to: "" },
        Mutation { rule: "factor", from: "params.factor * ", to: "" },
        Mutation { rule: "maximum", from: "return max(a, b)", to: "return min(a, b)" },
        Mutation {
            rule: "maximum of magnitudes",
            from: "max(bitcast<Words>(a)",
            to: "min(bitcast<Words>(a)",
        },
        Mutation { rule: "lane of a sum", from: "(result.z + result.w)", to: "(result.z + result.z)" },
        Mutation { rule: "lanes of a maximum", from: "result.zwxy", to: "result" },
        Mutation { rule: "range of tanh", from: "min(abs(x), 15.0)", to: "min(abs(x), 2.0)" },
        Mutation { rule: "series of tanh", from: "1.0 / 24.0", to: "1.0 / 24.1" },
    ],
};

impl Reduce {
    /// Most elements, or vectors of elements, of a chunk.
    pub const CHUNK: u32 = 256;

    fn vectors(&self) -> u32 {
        self.len / vector(self.len)
    }

    /// Results of a row.
    pub fn chunks(&self) -> u32 {
        self.vectors().div_ceil(Self::CHUNK)
    }

    /// One result and its error bound.
    fn chunk(&self, row: &[f64], chunk: usize) -> (f64, f64) {
        let vectors = row.chunks(vector(self.len) as usize);
        let terms = vectors.skip(chunk).step_by(self.chunks() as usize).flatten();
        let terms: Vec<f64> = terms
            .map(|x| match self.map {
                ReduceMap::Identity => *x,
                ReduceMap::Abs => x.abs(),
                ReduceMap::AbsTanh => x.tanh().abs(),
            })
            .collect();
        let factor = f64::from(self.factor);
        let map_error = if self.map == ReduceMap::AbsTanh { TANH_ERROR } else { 0.0 };
        let product_error = if factor == 1.0 { 0.0 } else { UNIT };
        let (result, error) = match self.op {
            ReduceOp::Sum => {
                let magnitude: f64 = terms.iter().map(|x| x.abs()).sum();
                (terms.iter().sum::<f64>(), ((terms.len() + 1) as f64 * UNIT + map_error) * magnitude)
            }
            ReduceOp::Max => {
                let larger =
                    |max: f64, x: &f64| if max.is_nan() || x.is_nan() { f64::NAN } else { max.max(*x) };
                let max = terms.iter().fold(f64::NEG_INFINITY, larger);
                (max, map_error * max.abs())
            }
        };
        (factor * result, factor.abs() * (error + product_error * result.abs()))
    }
}

impl Kernel for Reduce {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("vectors", self.vectors()),
            Param::u32("chunks", self.chunks()),
            Param::f32("factor", self.factor),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("MAP", self.map as u32),
            Constant::new("OP", self.op as u32),
        ]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.rows) * u64::from(self.chunks()))
    }
    fn lens(&self) -> Vec<u64> {
        [self.len, self.chunks()].map(|columns| u64::from(self.rows) * u64::from(columns)).to_vec()
    }
    fn loop_trips(&self) -> u64 {
        u64::from(Self::CHUNK)
    }
    fn work(&self) -> Work {
        Work { operations: self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn witnesses(&self) -> &'static [(usize, usize)] {
        match (self.op, self.map) {
            (ReduceOp::Sum, ReduceMap::Identity | ReduceMap::Abs) | (ReduceOp::Max, ReduceMap::Abs) => {
                &[(0, 1)]
            }
            // Elsewhere a comparison or the bounds of tanh may hide them.
            _ => &[],
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let src = to_f64(buffers[0], self.rows * self.len);
        let chunks = self.chunks() as usize;
        let results = src.chunks(self.len as usize).flat_map(|row| (0..chunks).map(|c| self.chunk(row, c)));
        let (results, bounds): (Vec<f64>, Vec<f64>) = results.unzip();
        vec![Expected::within(&results, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    use {ReduceMap::*, ReduceOp::*};
    let mut random = Random::new(2);
    let mut cases = Vec::new();
    let pairs = [(Identity, Sum), (Abs, Sum), (AbsTanh, Sum), (Identity, Max), (Abs, Max), (AbsTanh, Max)];
    let sizes = [
        (1, 1),
        (3, 255),
        (2, 256),
        (5, 257),
        (65, 2),
        (127, 1),
        (3, 1021),
        (1, 4099),
        (3, 1020),
        (2, 1024),
        (5, 1028),
        (67, 4),
    ];
    for (index, (rows, len)) in sizes.into_iter().enumerate() {
        for (map, op) in pairs {
            let factor = [1.0, 0.25, -1.0 / 3.0][index % 3];
            let kernel = Reduce { rows, len, map, op, factor };
            let src = random.floats((rows * len) as usize, -2.5, 2.0);
            cases.push(Case::new(format!("{rows}x{len} {map:?} {op:?} times {factor}"), kernel, vec![src]));
        }
    }
    let deep = Reduce { rows: 1, len: 65_537, map: Abs, op: Sum, factor: 1.0 / 65_537.0 };
    cases.push(Case::new("deep mean", deep, vec![random.floats(65_537, -1.0, 1.0)]));
    let special = [0.0, -0.0, 1e-30, -1e-6, 0.1734, -0.18, 0.5, -1.0, 1.3e-4, 9.0, -14.9, 15.1, -88.0, 3e38];
    let special = special.map(|x: f32| x.to_bits()).to_vec();
    for map in [Identity, Abs, AbsTanh] {
        let kernel = Reduce { rows: 14, len: 1, map, op: Max, factor: 1.0 };
        cases.push(Case::new(format!("special values {map:?}"), kernel, vec![special.clone()]));
    }
    let zeros = Reduce { rows: 2, len: 300, map: AbsTanh, op: Max, factor: 1.0 };
    cases.push(Case::new("zeros", zeros, vec![vec![0; 600]]));
    // Every second element lies far below the others, so that losing a term shows in a sum.
    let steep = (0..777).map(|i| if i % 2 == 0 { 1000.0 } else { 1e-2 * random.unit() });
    let steep: Vec<u32> = steep.map(f32::to_bits).collect();
    cases.push(Case::new(
        "steep",
        Reduce { rows: 1, len: 777, map: Identity, op: Sum, factor: 1.0 },
        vec![steep],
    ));
    for case in &mut cases {
        case.inputs.push(Vec::new());
    }
    cases
}
