//! Sums for the gradient through the maximum of the weight quantizer. Numerics: the sums of
//! `reference::quantize::weights_tanh_backward`. Shader: `shaders/weight_max_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{UNIT, to_f64};
use crate::rounding::TANH_ERROR;
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Elements of one partial sum; the loop trips of an invocation.
const GROUP: u32 = 2048;

/// Writes `partials[groups][2]` of `len` weights: sums of `grad * tanh(weight)`, and how many magnitudes equal
/// `largest`. A [`ColumnSum`](crate::ColumnSum) finishes them.
#[derive(Clone, Copy, Debug)]
pub struct WeightMaxSums {
    /// Weights of the tensor.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "weight_max_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/weight_max_sums.wgsl")),
        bindings: &[read("weight"), read("grad"), read("largest"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "gradient", from: "grad[i] * ", to: "" },
        Mutation { rule: "tangent", from: "tanh_bounded(weight[i])", to: "weight[i]" },
        Mutation { rule: "magnitude", from: " & 0x7fffffffu", to: "" },
        Mutation { rule: "last element", from: "i < params.len", to: "i + 1u < params.len" },
        Mutation { rule: "elements of a group", from: "i += params.groups", to: "i += params.groups + 1u" },
        Mutation { rule: "last group", from: "index >= params.groups", to: "index + 1u >= params.groups" },
        Mutation { rule: "layout of the two sums", from: "2u * index + 1u", to: "2u * index" },
    ],
};

impl WeightMaxSums {
    /// Partial sums.
    pub fn groups(&self) -> u32 {
        self.len.div_ceil(GROUP)
    }
}

impl Kernel for WeightMaxSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("len", self.len), Param::u32("groups", self.groups())]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()))
    }
    fn lens(&self) -> Vec<u64> {
        let len = u64::from(self.len);
        vec![len, len, 1, 2 * u64::from(self.groups())]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(GROUP)
    }
    fn work(&self) -> Work {
        Work { operations: 32 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (weight, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        let groups = self.groups() as usize;
        let (mut sums, mut bounds) = (vec![0.0; 2 * groups], vec![0.0; 2 * groups]);
        for (index, (w, g)) in weight.iter().zip(&grad).enumerate() {
            let at = 2 * (index % groups);
            sums[at] += g * w.tanh();
            // Every later sum may round what is there, besides the tangent and the product.
            bounds[at] += (g * w.tanh()).abs() * (TANH_ERROR + UNIT * f64::from(GROUP.min(self.len) + 1));
            sums[at + 1] += f64::from(u8::from(buffers[0][index] & 0x7fff_ffff == buffers[2][0]));
        }
        vec![Expected::within(&sums, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(71);
    let mut case = |len: u32, ties: usize| {
        let mut weight = random.floats(len as usize, -1.5, 1.5);
        for (index, w) in weight.iter_mut().step_by(3).take(ties).enumerate() {
            *w = (if index % 2 == 0 { -1.75f32 } else { 1.75 }).to_bits();
        }
        let largest = weight.iter().map(|w| w & 0x7fff_ffff).max().unwrap_or(0);
        let inputs = vec![weight, random.floats(len as usize, -3.0, 3.0), vec![largest], vec![]];
        Case::new(format!("{len} ties {ties}"), WeightMaxSums { len }, inputs)
    };
    let mut cases: Vec<Case> = [1, 2, 63, 65, 1021].map(|len| case(len, 1)).to_vec();
    cases.extend([(7, 3), (2048, 40), (2049, 41), (6145, 300)].map(|(len, ties)| case(len, ties)));
    cases
}
