//! Gradients of real-valued bit lengths, by groups of rows. Numerics: `reference::bit_length::Rule::length_gradient`.
//! Shader: `shaders/length_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::product::centered;

use crate::floats::{UNIT, float_at};
use crate::{Case, Entry, Kind, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Sums `grad * range * (slope_0 a + slope_1 b)` over groups of rows, column by column, with the integers `a` and `b` that
/// two runs of planes stand for. Further sums over groups and columns finish it.
#[derive(Clone, Copy, Debug)]
pub struct LengthSums {
    /// Rows.
    pub rows: u32,
    /// Elements of a row.
    pub k: u32,
    /// All planes that the buffer holds.
    pub planes: u32,
    /// What a run of planes stands for.
    pub kind: Kind,
    /// Rows of a group.
    pub group: u32,
    /// Entries of the table, each for a run of as many columns as every other.
    pub entries: u32,
}

/// Two runs of planes, and what the integers of each are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthSlopes {
    /// First plane and number of planes of both runs.
    pub runs: [[u32; 2]; 2],
    /// Factors.
    pub slopes: [f32; 2],
}

impl LengthSlopes {
    /// The words of the kernel's table.
    pub fn words(slopes: &[Self]) -> Vec<u32> {
        let entry = |entry: &Self| [entry.runs.as_flattened(), &entry.slopes.map(f32::to_bits)].concat();
        slopes.iter().flat_map(entry).collect()
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "length_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/length_sums.wgsl")),
        bindings: &[read("planes"), read("grad"), read("range"), read("table"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first run", from: "slopes.x * integer(first,", to: "slopes.x * integer(second," },
        Mutation { rule: "second run", from: "slopes.y * integer(second,", to: "slopes.y * integer(first," },
        Mutation { rule: "range", from: "range[0] * sum", to: "sum" },
        Mutation { rule: "first plane", from: "(run.x + plane)", to: "plane" },
        Mutation { rule: "last plane", from: "plane < run.y", to: "plane + 1u < run.y" },
        Mutation { rule: "center", from: "- i32((1u << run.y) - 1u)", to: "" },
        Mutation { rule: "unit planes", from: "SIGN == 1u", to: "true" },
        Mutation { rule: "entry of the column", from: "column / (params.k / params.entries)", to: "0u" },
        Mutation {
            rule: "last group shorter",
            from: "min((own + 1u) * params.group, params.rows)",
            to: "(own + 1u) * params.group",
        },
        Mutation { rule: "first row of a group", from: "var row = own * params.group;", to: "var row = 0u;" },
        Mutation { rule: "place in the word", from: "column % 32u", to: "column % 31u" },
        Mutation {
            rule: "last column",
            from: "index >= count * params.k",
            to: "index + 1u >= count * params.k",
        },
    ],
};

impl LengthSums {
    /// Groups of rows.
    pub fn groups(&self) -> u32 {
        self.rows.div_ceil(self.group)
    }

    /// The integers of one run of planes.
    fn integers(&self, planes: &[u32], [first, count]: [u32; 2]) -> Vec<i64> {
        let (rows, k) = (self.rows as usize, self.k as usize);
        let plane_words = rows * words_for(self.k) as usize;
        let run = &planes[first as usize * plane_words..][..count as usize * plane_words];
        if count == 0 {
            return vec![0; rows * k];
        }
        centered(&reference::bits::unpack(run, rows, k, count), count, self.kind)
    }
}

impl Kernel for LengthSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("k", self.k),
            Param::u32("group", self.group),
            Param::u32("entries", self.entries),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("SIGN", u32::from(self.kind == Kind::Sign))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()) * u64::from(self.k))
    }
    fn lens(&self) -> Vec<u64> {
        let (rows, k) = (u64::from(self.rows), u64::from(self.k));
        let planes = u64::from(self.planes) * rows * u64::from(words_for(self.k));
        vec![planes, rows * k, 1, 6 * u64::from(self.entries), u64::from(self.groups()) * k]
    }
    fn loop_trips(&self) -> u64 {
        // The two runs of planes of an entry have 9 bits at most each.
        u64::from(self.group.min(self.rows)) * u64::from(1 + self.planes.min(2 * 9))
    }
    fn work(&self) -> Work {
        let elements = u64::from(self.rows) * u64::from(self.k);
        Work { operations: 4 * elements, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let len = (self.groups() * self.k) as usize;
        let (mut sums, mut bounds) = (vec![0.0; len], vec![0.0; len]);
        let range = float_at(buffers[2], 0);
        let (rows, k) = (self.rows as usize, self.k as usize);
        let of_entry = k / self.entries as usize;
        for (at, entry) in buffers[3][..6 * self.entries as usize].chunks_exact(6).enumerate() {
            let [a, b] =
                [[entry[0], entry[1]], [entry[2], entry[3]]].map(|run| self.integers(buffers[0], run));
            let slopes = [float_at(entry, 4), float_at(entry, 5)];
            for row in 0..rows {
                for column in at * of_entry..(at + 1) * of_entry {
                    let at = row * k + column;
                    let grad = range * float_at(buffers[1], at);
                    let terms = [slopes[0] * a[at] as f64, slopes[1] * b[at] as f64];
                    let to = row / self.group as usize * k + column;
                    sums[to] += grad * (terms[0] + terms[1]);
                    // Every later sum may round what is there.
                    let size = grad.abs() * (terms[0].abs() + terms[1].abs());
                    bounds[to] += size * UNIT * f64::from(self.group.min(self.rows) + 5);
                }
            }
        }
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(92);
    let mut case = |(rows, k, group): (u32, u32, u32), planes: u32, kind: Kind, entries: u32| {
        let codes = random.codes((rows * k) as usize, planes);
        let packed = reference::bits::pack(&codes, rows as usize, k as usize, planes);
        let slopes: Vec<LengthSlopes> = (0..entries)
            .map(|at| {
                let first = at % planes;
                let runs = [[first, planes - first], [(planes - 1).saturating_sub(at % 3), 1]];
                LengthSlopes { runs, slopes: [0.25 + at as f32, -0.5] }
            })
            .collect();
        let kernel = LengthSums { rows, k, planes, kind, group, entries };
        let grad = random.floats((rows * k) as usize, -1.0, 1.0);
        let inputs = vec![packed, grad, vec![1.5f32.to_bits()], LengthSlopes::words(&slopes), vec![]];
        Case::new(format!("{rows}x{k} by {group} planes {planes} {kind:?} {entries} entries"), kernel, inputs)
    };
    let mut cases = Vec::new();
    for kind in [Kind::Unit, Kind::Sign] {
        for size in [(1, 1, 1), (3, 31, 2), (5, 33, 5), (7, 65, 3), (64, 4, 64), (131, 37, 32)] {
            cases.push(case(size, 4, kind, 1));
        }
        cases.extend((1..=8).map(|planes| case((5, 20, 2), planes, kind, 5)));
        cases.push(case((7, 66, 3), 6, kind, 2));
        cases.push(case((3, 96, 2), 4, kind, 32));
        cases.push(case((3, 20, 2), 15, kind, 1));
    }
    let none = LengthSlopes { runs: [[0, 0], [0, 1]], slopes: [3.0, 0.125] };
    let kernel = LengthSums { rows: 9, k: 40, planes: 2, kind: Kind::Sign, group: 9, entries: 1 };
    let (planes, grad) = (random.words(9 * 2 * 2), random.floats(360, -1.0, 1.0));
    let inputs = vec![planes, grad, vec![0.5f32.to_bits()], LengthSlopes::words(&[none]), vec![]];
    cases.push(Case::new("no planes in the first run", kernel, inputs));
    cases
}
