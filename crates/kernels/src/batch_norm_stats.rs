//! Partial sums of the batch statistics. Numerics: the sums of `reference::norm::batch_norm_stats`. Shader:
//! `shaders/batch_norm_stats.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
    quads::{unread, vec4},
};

/// Sums `x[rows][channels]`, or its squared distance from `mean[channels]`, over groups of rows into
/// `partials[ceil(rows / group)][channels]`; a [`ColumnSum`](crate::ColumnSum) with factor `1 / rows`
/// finishes mean or variance.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormStats {
    /// Rows: positions of all samples.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Rows of one partial sum; the loop trips of an invocation.
    pub group: u32,
    /// Whether to sum `(x - mean)^2`; otherwise `mean` is any buffer of 4 words and not read.
    pub centered: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "batch_norm_stats",
        source: Cow::Borrowed(include_str!("../../../shaders/batch_norm_stats.wgsl")),
        bindings: &[read("x"), read("mean"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "last row of a group", from: "row < end", to: "row + 1u < end" },
        Mutation {
            rule: "last group shorter",
            from: "min(first + params.group, params.rows)",
            to: "first + params.group",
        },
        Mutation { rule: "mean ignored", from: "center = mean[element]", to: "center = Element()" },
        Mutation { rule: "mean of the channel", from: "mean[element]", to: "mean[0]" },
        Mutation { rule: "square", from: "value * value", to: "abs(value)" },
        Mutation {
            rule: "square of the plain sum",
            from: "select(value, value * value, CENTERED)",
            to: "value * value",
        },
        Mutation { rule: "row stride", from: "at += row_elements", to: "at += 1u" },
    ],
};

impl BatchNormStats {
    /// Rows of the result, `ceil(rows / group)`.
    pub fn groups(&self) -> u32 {
        self.rows.div_ceil(self.group)
    }
}

impl Kernel for BatchNormStats {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::u32("group", self.group),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("CENTERED", u32::from(self.centered))]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VEC4", vec4(self.channels))]
    }
    fn workgroups(&self) -> u64 {
        let elements = if vec4(self.channels) == 1 { self.channels / 4 } else { self.channels };
        groups_for(u64::from(self.groups()) * u64::from(elements))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        vec![
            u64::from(self.rows) * channels,
            if self.centered { channels } else { unread(self.channels) },
            u64::from(self.groups()) * channels,
        ]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.group.min(self.rows))
    }
    fn work(&self) -> Work {
        Work {
            operations: 3 * u64::from(self.rows) * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn witnesses(&self) -> &'static [(usize, usize)] {
        &[(0, 2)]
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let x = to_f64(buffers[0], self.rows * self.channels);
        let channels = self.channels as usize;
        let mean = if self.centered { to_f64(buffers[1], self.channels) } else { vec![0.0; channels] };
        let mut sums = vec![0.0; self.groups() as usize * channels];
        let mut sizes = sums.clone();
        for (index, value) in x.iter().enumerate() {
            let at = index / channels / self.group as usize * channels + index % channels;
            let value = value - mean[index % channels];
            let term = if self.centered { value * value } else { value };
            sums[at] += term;
            sizes[at] += term.abs();
        }
        // The difference counts twice in a square, the product once more.
        let terms = f64::from(self.group.min(self.rows) + 5);
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(26);
    let mut case = |(rows, channels, group): (u32, u32, u32), offset: f32, centered: bool| {
        let kernel = BatchNormStats { rows, channels, group, centered };
        let x = random.floats((rows * channels) as usize, offset - 2.0, offset + 2.0);
        let mean = random.floats(if centered { channels as usize } else { 4 }, offset - 0.5, offset + 0.5);
        let label = format!("{rows}x{channels} by {group} offset {offset} centered {centered}");
        Case::new(label, kernel, vec![x, mean, vec![]])
    };
    let sizes =
        [(1, 1, 1), (7, 3, 7), (64, 65, 64), (65, 4, 64), (129, 31, 64), (127, 12, 5), (1021, 3, 1021)];
    let mut cases: Vec<Case> = sizes.iter().map(|&size| case(size, 0.0, false)).collect();
    cases.extend(sizes.iter().map(|&size| case(size, 0.0, true)));
    // A mean far above the deviation, where the mean of squares would cancel.
    cases.push(case((500, 3, 50), 1e4, true));
    cases.push(case((65_000, 1, 65_000), 1.0, false));
    cases
}
