//! Some channels of every row from one matrix to another. Numerics: a copy. Shader: `shaders/copy_channels.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Copies `count` channels of each row, of any type of 32 bits; the other channels of the target stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct CopyChannels {
    /// Rows of both.
    pub rows: u32,
    /// Channels that are copied.
    pub count: u32,
    /// Channels of a row of the source, and the first that is copied.
    pub source: (u32, u32),
    /// Channels of a row of the target, and the first that is written.
    pub target: (u32, u32),
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "copy_channels",
        source: Cow::Borrowed(include_str!("../../../shaders/copy_channels.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "row of the source", from: "row * params.src_channels", to: "row * params.count" },
        Mutation { rule: "row of the target", from: "row * params.dst_channels", to: "row * params.count" },
        Mutation { rule: "first channel of the source", from: " + params.src_first", to: "" },
        Mutation { rule: "first channel of the target", from: " + params.dst_first", to: "" },
        Mutation {
            rule: "tail value",
            from: "index >= params.rows * params.count",
            to: "index + 1u >= params.rows * params.count",
        },
    ],
};

impl Kernel for CopyChannels {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("count", self.count),
            Param::u32("src_channels", self.source.0),
            Param::u32("src_first", self.source.1),
            Param::u32("dst_channels", self.target.0),
            Param::u32("dst_first", self.target.1),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.rows) * u64::from(self.count))
    }
    fn lens(&self) -> Vec<u64> {
        [self.source.0, self.target.0].map(|channels| u64::from(self.rows) * u64::from(channels)).to_vec()
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 8 * u64::from(self.rows) * u64::from(self.count) }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let [count, channels, first] = [self.count, self.source.0, self.source.1].map(|size| size as usize);
        let mut target = buffers[1][..self.lens()[1] as usize].to_vec();
        let rows = buffers[0].chunks_exact(channels).zip(target.chunks_exact_mut(self.target.0 as usize));
        for (source, target) in rows {
            target[self.target.1 as usize..][..count].copy_from_slice(&source[first..][..count]);
        }
        vec![Expected::exact(target)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(52);
    let mut case = |rows: u32, count: u32, source: (u32, u32), target: (u32, u32)| {
        let kernel = CopyChannels { rows, count, source, target };
        let [from, to] = [source.0, target.0].map(|channels| random.words((rows * channels) as usize));
        Case::new(format!("{rows}x{count} of {source:?} to {target:?}"), kernel, vec![from, to])
    };
    vec![
        case(1, 1, (1, 0), (1, 0)),
        case(1, 1, (3, 2), (5, 4)),
        case(7, 3, (9, 6), (3, 0)),
        case(5, 13, (13, 0), (31, 18)),
        case(64, 16, (48, 16), (16, 0)),
        case(65, 31, (33, 1), (64, 33)),
        case(1021, 2, (5, 3), (7, 1)),
        case(3, 129, (130, 1), (258, 129)),
    ]
}
