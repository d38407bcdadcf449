//! The gradient of the weight quantizer. Numerics: `reference::quantize::weights_tanh_backward`. Shader:
//! `shaders/weight_backward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::floats::{UNIT, to_f64};
use crate::rounding::TANH_ERROR;
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Takes the gradient of `len` quantized weights back through [`WeightRule::Tanh`](crate::WeightRule::Tanh) and its
/// relatives: `grad_weight = factor * grad * (1 - tanh(weight)^2) / m` with the constants `m = max |tanh w|` and `factor`, by
/// which the quantized weights were multiplied; 0 where `m` is 0.
#[derive(Clone, Copy, Debug)]
pub struct WeightBackward {
    /// Weights of the tensor.
    pub len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "weight_backward",
        source: Cow::Borrowed(include_str!("../../../shaders/weight_backward.wgsl")),
        bindings: &[read("weight"), read("scale"), read("factor"), read("grad"), write("grad_weight")],
    },
    cases,
    mutations: &[
        Mutation { rule: "square", from: "1.0 - t * t", to: "1.0 - abs(t)" },
        Mutation { rule: "maximum", from: ") / scale[0]", to: ")" },
        Mutation { rule: "factor", from: "factor[0] *", to: "1.0 *" },
        Mutation { rule: "tensor of zeros", from: "var result = 0.0;", to: "var result = 1.0;" },
        Mutation { rule: "last element", from: "index >= params.len", to: "index + 1u >= params.len" },
        Mutation { rule: "range of tanh", from: "min(abs(x), 15.0)", to: "min(abs(x), 2.0)" },
    ],
};

impl Kernel for WeightBackward {
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
        vec![len, 1, 1, len, len]
    }
    fn loop_trips(&self) -> u64 {
        0
    }
    fn work(&self) -> Work {
        Work { operations: 32 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (weight, grad) = (to_f64(buffers[0], self.len), to_f64(buffers[3], self.len));
        let [max, factor] = [1, 2].map(|at: usize| f64::from(f32::from_bits(buffers[at][0])));
        let result = |(w, g): (&f64, &f64)| {
            let t = w.tanh();
            if max == 0.0 {
                return (0.0, 0.0);
            }
            // Near saturation 1 - t^2 cancels, so the error of t counts absolutely there.
            let error = 2.0 * t * t * (TANH_ERROR + UNIT) + 6.0 * UNIT * (1.0 - t * t);
            (factor * g * (1.0 - t * t) / max, (factor * g / max).abs() * error)
        };
        let (result, bounds): (Vec<f64>, Vec<f64>) = weight.iter().zip(&grad).map(result).unzip();
        vec![Expected::within(&result, &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(8);
    let mut cases = Vec::new();
    for len in [1, 2, 31, 63, 64, 65, 127, 1021, 4099] {
        let mut weight = random.floats(len as usize, -2.5, 2.5);
        let special = [0.0, -0.0, 1e-6, -0.17, 9.0, -15.5, 80.0];
        for (w, special) in weight.iter_mut().step_by(4).skip(2).zip(special) {
            *w = f32::to_bits(special);
        }
        let max = to_f64(&weight, len).iter().fold(0.0, |max: f64, w| max.max(w.tanh().abs())) as f32;
        let factor = if len % 2 == 0 { 0.037f32 } else { 1.0 };
        let grad = random.floats(len as usize, -3.0, 3.0);
        let inputs = vec![weight, vec![max.to_bits()], vec![factor.to_bits()], grad, vec![]];
        cases.push(Case::new(format!("{len}"), WeightBackward { len }, inputs));
    }
    let small = random.floats(77, -0.01, 0.01);
    let inputs =
        vec![small, vec![0.01f32.to_bits()], vec![2f32.to_bits()], random.floats(77, -3.0, 3.0), vec![]];
    cases.push(Case::new("small weights", WeightBackward { len: 77 }, inputs));
    let inputs = vec![vec![0; 66], vec![0], vec![1f32.to_bits()], random.floats(66, -3.0, 3.0), vec![]];
    cases.push(Case::new("zeros", WeightBackward { len: 66 }, inputs));
    cases
}
