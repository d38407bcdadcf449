//! The gradient through the maximum of the weight quantizer. Numerics: `reference::quantize::weights_tanh_backward` with and
//! without that gradient. Shader: `shaders/weight_max_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{UNIT, to_f64};
use crate::rounding::TANH_ERROR;
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Adds the gradient through `m = max |tanh w|` to what [`WeightBackward`](crate::WeightBackward) wrote for `len` weights:
/// `-sign(t) S / m^2 (1 - t^2) / ties` where `|weight|` is the largest, with the sum S and the number of ties of
/// [`WeightMaxSums`](crate::WeightMaxSums).
#[derive(Clone, Copy, Debug)]
pub struct WeightMaxBackward {
    /// Weights of the tensor.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "weight_max_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/weight_max_backward.wgsl")),
        bindings: &[read("weight"), read("scale"), read("largest"), read("sums"), write("grad_weight")],
    },
    cases,
    mutations: &[
        Mutation { rule: "only the largest", from: "(bits & 0x7fffffffu) != largest[0] || ", to: "" },
        Mutation { rule: "magnitude", from: "(bits & 0x7fffffffu)", to: "bits" },
        Mutation { rule: "squared maximum", from: " / scale[0] / scale[0]", to: " / scale[0]" },
        Mutation { rule: "slope of the tangent", from: " * (1.0 - t * t)", to: "" },
        Mutation { rule: "ties", from: " / sums[1]", to: "" },
        Mutation { rule: "sign", from: "select(-slope, slope,", to: "select(slope, -slope," },
        Mutation { rule: "added", from: "+= select", to: "= select" },
        Mutation { rule: "tensor of zeros", from: " || scale[0] == 0.0", to: "" },
        Mutation { rule: "last element", from: "index >= params.len", to: "index + 1u >= params.len" },
    ],
};

impl Kernel for WeightMaxBackward {
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
        let len = u64::from(self.len);
        vec![len, 1, 1, 2, len]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (weight, before) = (to_f64(buffers[0], self.len), to_f64(buffers[4], self.len));
        let max = f64::from(f32::from_bits(buffers[1][0]));
        let sums = to_f64(buffers[3], 2);
        let (mut result, mut bounds) = (before.clone(), vec![0.0; before.len()]);
        for (index, w) in weight.iter().enumerate() {
            if buffers[0][index] & 0x7fff_ffff != buffers[2][0] || max == 0.0 {
                continue;
            }
            let t = w.tanh();
            let factor = sums[0] / (max * max) / sums[1];
            result[index] -= reference::quantize::sign(*w) * factor * (1.0 - t * t);
            // Near saturation 1 - t^2 cancels, so the error of t counts absolutely there; three quotients of 2.5 units.
            let slope = 2.0 * t * t * (TANH_ERROR + UNIT) + 11.0 * UNIT * (1.0 - t * t);
            bounds[index] = factor.abs() * slope + UNIT * (before[index].abs() + result[index].abs());
        }
        vec![Expected::within(&result, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(72);
    let mut case = |len: u32, ties: usize, peak: f32| {
        let mut weight = random.floats(len as usize, -0.75 * peak, 0.75 * peak);
        for (index, w) in weight.iter_mut().step_by(3).take(ties).enumerate() {
            *w = (if index % 2 == 0 { -peak } else { peak }).to_bits();
        }
        let largest = weight.iter().map(|w| w & 0x7fff_ffff).max().unwrap_or(0);
        let max = f32::from_bits(largest).tanh();
        let sums = vec![(-1.5f32).to_bits(), (ties as f32).to_bits()];
        let before = random.floats(len as usize, -3.0, 3.0);
        let inputs = vec![weight, vec![max.to_bits()], vec![largest], sums, before];
        Case::new(format!("{len} ties {ties} up to {peak}"), WeightMaxBackward { len }, inputs)
    };
    let mut cases: Vec<Case> = [1, 63, 64, 65, 1021].map(|len| case(len, 1, 1.25)).to_vec();
    cases.extend([(7, 3, 0.5), (130, 44, 0.01), (66, 2, 6.0)].map(|(len, ties, peak)| case(len, ties, peak)));
    let zeros = vec![vec![0; 5], vec![0], vec![0], vec![1f32.to_bits(); 2], random.floats(5, -1.0, 1.0)];
    cases.push(Case::new("zeros", WeightMaxBackward { len: 5 }, zeros));
    cases
}
