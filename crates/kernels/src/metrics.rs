//! Totals of a batch. Numerics: f32 sums in sample order, as on the device. Shader: `shaders/metrics.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, floats::to_words};

/// Adds the losses and hits of `samples` samples to `metrics`: loss sum (f32 bits), label first, label among
/// five, samples.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    /// Samples; the loop trips of the one invocation.
    pub samples: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "metrics",
        source: Cow::Borrowed(include_str!("../../../shaders/metrics.wgsl")),
        bindings: &[read("losses"), read("hits"), write("metrics")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first and five swapped", from: "hit & 1u", to: "(hit >> 1u) & 1u" },
        Mutation { rule: "old loss", from: "var loss = bitcast<f32>(metrics[0])", to: "var loss = 0.0" },
        Mutation { rule: "old count", from: "metrics[1] += first", to: "metrics[1] = first" },
        Mutation { rule: "old count of five", from: "metrics[2] += five", to: "metrics[2] = five" },
        Mutation {
            rule: "old samples",
            from: "metrics[3] += params.samples",
            to: "metrics[3] = params.samples",
        },
        Mutation { rule: "last sample", from: "sample < params.samples", to: "sample + 1u < params.samples" },
    ],
};

impl Kernel for Metrics {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("samples", self.samples)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        1
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.samples), u64::from(self.samples), 4]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.samples)
    }
    fn work(&self) -> Work {
        Work { operations: 4 * u64::from(self.samples), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let samples = self.samples as usize;
        let mut metrics = buffers[2][..4].to_vec();
        let before = f32::from_bits(metrics[0]);
        let loss = buffers[0][..samples].iter().fold(before, |sum, &loss| sum + f32::from_bits(loss));
        metrics[0] = loss.to_bits();
        for hit in &buffers[1][..samples] {
            metrics[1] += hit & 1;
            metrics[2] += hit >> 1 & 1;
        }
        metrics[3] += self.samples;
        vec![Expected::exact(metrics)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(32);
    let mut case = |samples: u32| {
        // Losses are multiples of 1/64, whose sum is exact in any order.
        let losses: Vec<f64> = (0..samples).map(|_| f64::from(random.word() >> 24) / 64.0).collect();
        let inputs =
            vec![to_words(&losses), random.codes(samples as usize, 2), vec![2.5f32.to_bits(), 7, 9, 11]];
        Case::new(format!("{samples}"), Metrics { samples }, inputs)
    };
    [1, 7, 63, 64, 65, 128, 1021, 5000].into_iter().map(&mut case).collect()
}
