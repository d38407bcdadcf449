//! How fast an adapter's memory is. Numerics: the words themselves. Shader: `shaders/memory_roof.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Copies `len` vectors of four words.
///
/// Bindings: src, dst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRoof {
    /// Vectors of four words.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "memory_roof",
        source: Cow::Borrowed(include_str!("../../../shaders/memory_roof.wgsl")),
        bindings: &[read("src"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "vector of another invocation", from: "src[index];", to: "src[0];" },
        Mutation { rule: "last vector", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "place of another vector", from: "dst[index] =", to: "dst[index + 1u] =" },
    ],
};

impl Kernel for MemoryRoof {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len))
    }
    fn lens(&self) -> Vec<u64> {
        vec![4 * u64::from(self.len); 2]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        vec![Expected::exact(buffers[0][..4 * self.len as usize].to_vec())]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(56);
    let mut case = |len: u32| {
        Case::new(format!("{len}"), MemoryRoof { len }, vec![random.words(4 * len as usize), vec![]])
    };
    [1, 7, 63, 64, 65, 1021].into_iter().map(&mut case).collect()
}
