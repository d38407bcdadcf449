//! Sums of tensors with weights that the device computed. Numerics: [`reference::bases::weighted_sum`]. Shader:
//! `shaders/weighted_sum.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bases::weighted_sum;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, float_at, special, to_f64},
    groups_for,
    tiling::vector,
};

/// `dst = [dst +] w[first] a + w[first + 1] b + ...` over `len` values, of the first `sources` of four tensors; bindings
/// weights, a, b, c, d, dst. A source beyond is not read, so that any buffer stands for it.
#[derive(Clone, Copy, Debug)]
pub struct WeightedSum {
    /// Values of a tensor.
    pub len: u32,
    /// Tensors that are added, 1 to [`WeightedSum::MOST_SOURCES`].
    pub sources: u32,
    /// Index of the first one's weight.
    pub first: u32,
    /// Whether the sum starts from what `dst` holds.
    pub accumulate: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "weighted_sum",
        source: Cow::Borrowed(include_str!("../../../shaders/weighted_sum.wgsl")),
        bindings: &[read("weights"), read("a"), read("b"), read("c"), read("d"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first weight", from: "weights[params.first] ", to: "weights[0] " },
        Mutation { rule: "weight of the second", from: "weights[params.first + 1u]", to: "weights[1u]" },
        Mutation { rule: "third source", from: "* c[index]", to: "* b[index]" },
        Mutation { rule: "fourth source", from: "SOURCES > 3u", to: "SOURCES > 4u" },
        Mutation { rule: "number of sources", from: "SOURCES > 1u", to: "true" },
        Mutation { rule: "accumulate ignored", from: "if ACCUMULATE", to: "if false" },
        Mutation { rule: "accumulate always", from: "if ACCUMULATE", to: "if true" },
        Mutation { rule: "tail value", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "write past the end", from: "index >= params.len", to: "index > params.len" },
    ],
};

impl WeightedSum {
    /// Tensors that one dispatch adds.
    pub const MOST_SOURCES: u32 = 4;
}

impl Kernel for WeightedSum {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len / vector(self.len)), Param::u32("first", self.first)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("SOURCES", self.sources),
            Constant::new("ACCUMULATE", u32::from(self.accumulate)),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len / vector(self.len)))
    }
    fn lens(&self) -> Vec<u64> {
        let unread = u64::from(vector(self.len));
        let source = |at: u32| if at < self.sources { u64::from(self.len) } else { unread };
        let weights = u64::from(self.first) + u64::from(self.sources);
        vec![weights, source(0), source(1), source(2), source(3), u64::from(self.len)]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        let tensors = u64::from(self.sources + 1 + u32::from(self.accumulate));
        let operations = 2 * u64::from(self.sources) * u64::from(self.len);
        Work { operations, bytes: 4 * tensors * u64::from(self.len) }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let count = self.sources as usize;
        let weights: Vec<f64> = (0..count).map(|at| float_at(buffers[0], self.first as usize + at)).collect();
        let sources: Vec<Vec<f64>> = (1..=count).map(|at| to_f64(buffers[at], self.len)).collect();
        let start = if self.accumulate { to_f64(buffers[5], self.len) } else { vec![0.0; self.len as usize] };
        let all = |sources: &[Vec<f64>], weights: &[f64], start: &[f64]| {
            let tensors: Vec<&[f64]> = sources.iter().map(Vec::as_slice).collect();
            let sum = weighted_sum(&tensors, weights);
            sum.iter().zip(start).map(|(sum, start)| sum + start).collect::<Vec<_>>()
        };
        let magnitudes = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let sizes: Vec<Vec<f64>> = sources.iter().map(|source| magnitudes(source)).collect();
        let sizes = all(&sizes, &magnitudes(&weights), &magnitudes(&start));
        // Every term is rounded as a product and in each sum behind it.
        let terms = f64::from(self.sources + 1);
        let bounds: Vec<f64> = sizes.iter().map(|size| terms * UNIT * size).collect();
        vec![Expected::within(&all(&sources, &weights, &start), &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(70);
    let mut cases = Vec::new();
    for (at, len) in [1, 7, 63, 64, 65, 127, 128, 256, 260, 1021, 1028].into_iter().enumerate() {
        for sources in 1..=WeightedSum::MOST_SOURCES {
            let kernel = WeightedSum { len, sources, first: at as u32 % 3, accumulate: at % 2 == 1 };
            let lens = kernel.lens();
            let mut inputs: Vec<Vec<u32>> = vec![random.floats(lens[0] as usize, -1.5, 2.0)];
            inputs.extend(lens[1..5].iter().map(|&len| random.floats(len as usize, -2.0, 3.0)));
            inputs.push(if kernel.accumulate { special(&mut random, len, -2.0, 2.0) } else { vec![] });
            let label = format!("{len} of {sources} from weight {} {}", kernel.first, kernel.accumulate);
            cases.push(Case::new(label, kernel, inputs));
        }
    }
    cases
}
