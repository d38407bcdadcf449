//! Softmax cross-entropy with its gradient and ranks. Numerics: `reference::loss::softmax_cross_entropy`.
//! Shader: `shaders/softmax_cross_entropy.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::loss::softmax_cross_entropy;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64, to_words},
    groups_for,
};

/// Losses `-weight ln p[label]`, hits (bit 0: the label ranks first, bit 1: among the first five) and gradients of
/// the mean over `total_samples`, `weight (p - onehot) / total_samples`, of `logits[samples][classes]`. Labels must
/// lie below `classes`.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxCrossEntropy {
    /// Samples.
    pub samples: u32,
    /// Classes.
    pub classes: u32,
    /// Samples of the whole batch.
    pub total_samples: u32,
    /// Weight of the loss.
    pub weight: f32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "softmax_cross_entropy",
        source: Cow::Borrowed(include_str!("../../../shaders/softmax_cross_entropy.wgsl")),
        bindings: &[read("logits"), read("labels"), write("losses"), write("hits"), write("grad")],
    },
    cases,
    mutations: &[
        Mutation { rule: "rank of equal logits", from: "c < label", to: "c > label" },
        Mutation { rule: "first five", from: "rank < 5u", to: "rank < 4u" },
        Mutation { rule: "first", from: "rank < 1u", to: "rank < 2u" },
        Mutation {
            rule: "shift by the maximum",
            from: "largest = max(largest, logit)",
            to: "largest = logits[first]",
        },
        Mutation { rule: "mean over the batch", from: " * params.factor", to: "" },
        Mutation { rule: "weight of the loss", from: "params.weight * (", to: "(" },
        Mutation { rule: "one of the label", from: "select(0.0, 1.0, c == label)", to: "0.0" },
        Mutation {
            rule: "last class",
            from: "sum += exponential(logits[first + c] - largest);",
            to: "sum += select(0.0, exponential(logits[first + c] - largest), c + 1u < params.classes);",
        },
        Mutation { rule: "tail sample", from: "index >= params.samples", to: "index + 1u >= params.samples" },
        Mutation {
            rule: "write past the end",
            from: "index >= params.samples",
            to: "index > params.samples",
        },
    ],
};

impl Kernel for SoftmaxCrossEntropy {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("classes", self.classes),
            Param::f32("factor", self.weight / self.total_samples as f32),
            Param::f32("weight", self.weight),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.samples))
    }
    fn lens(&self) -> Vec<u64> {
        let (samples, logits) = (u64::from(self.samples), u64::from(self.samples) * u64::from(self.classes));
        vec![logits, samples, samples, samples, logits]
    }
    fn loop_trips(&self) -> u64 {
        3 * u64::from(self.classes)
    }
    fn work(&self) -> Work {
        Work {
            operations: 12 * u64::from(self.samples) * u64::from(self.classes),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (classes, weight) = (self.classes as usize, f64::from(self.weight));
        let mean = weight / f64::from(self.total_samples);
        let logits = to_f64(buffers[0], self.samples * self.classes);
        let labels = &buffers[1][..self.samples as usize];
        let result = softmax_cross_entropy(&logits, labels, classes);
        let grad: Vec<f64> = result.grad.iter().map(|grad| grad * f64::from(self.samples) * mean).collect();
        let loss: Vec<f64> = result.loss.iter().map(|loss| loss * weight).collect();
        let (mut loss_bounds, mut grad_bounds) = (vec![], vec![]);
        for (row, &label) in logits.chunks_exact(classes).zip(labels) {
            let bounds = RowBounds::new(row, label as usize);
            loss_bounds.push((bounds.loss * weight).abs());
            grad_bounds.extend(bounds.grad.iter().map(|bound| (bound * mean).abs()));
        }
        let hit = |(&first, &five): (&bool, &bool)| u32::from(first) | u32::from(five) << 1;
        vec![
            Expected::within(&loss, &loss_bounds),
            Expected::exact(result.top1.iter().zip(&result.top5).map(hit).collect()),
            Expected::within(&grad, &grad_bounds),
        ]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(31);
    let mut case = |(samples, classes): (u32, u32), size: f32, total_samples: u32| {
        let kernel = SoftmaxCrossEntropy { samples, classes, total_samples, weight: 1.0 };
        let logits = random.floats((samples * classes) as usize, -size, size);
        let labels = (0..samples).map(|_| random.word() % classes).collect();
        let label = format!("{samples}x{classes} of {total_samples} logits to {size}");
        Case::new(label, kernel, vec![logits, labels, vec![], vec![], vec![]])
    };
    let sizes = [(1, 1), (1, 2), (7, 3), (63, 10), (64, 10), (65, 7), (130, 5), (200, 6), (5, 1000)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 4.0, size.0)).collect();
    cases.push(case((40, 10), 4.0, 128));
    // Powers of most classes vanish, and without the shift they would overflow.
    cases.push(case((40, 10), 1000.0, 40));
    // Few distinct logits, so that ranks rest on the rule for equal ones.
    let levels: Vec<f64> = (0..90 * 8u32).map(|i| f64::from(i * i % 3)).collect();
    let labels = (0..90).map(|sample| sample % 8).collect();
    let kernel = SoftmaxCrossEntropy { samples: 90, classes: 8, total_samples: 90, weight: 0.25 };
    cases.push(Case::new(
        "90x8 equal logits, weight 1/4",
        kernel,
        vec![to_words(&levels), labels, vec![], vec![], vec![]],
    ));
    cases
}

/// Bounds for one sample, from those of WGSL: `exp` 3 + 2 |x| units, quotient 2.5, `log` 3 units or 2^-21
/// near 1.
struct RowBounds {
    loss: f64,
    grad: Vec<f64>,
}

impl RowBounds {
    fn new(row: &[f64], label: usize) -> Self {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(logit));
        let shifted: Vec<f64> = row.iter().map(|logit| logit - max).collect();
        let sum: f64 = shifted.iter().map(|x| x.exp()).sum();
        // The shifted logit has one unit of its own, which the power turns into as many as its size.
        let power = |x: &f64| (3.0 + 3.0 * x.abs().min(80.0)) * UNIT;
        let share = |x: &f64| x.exp() / sum;
        let sum_error =
            shifted.iter().map(|x| share(x) * power(x)).sum::<f64>() + (row.len() as f64 + 2.0) * UNIT;
        let log = sum.ln();
        let loss = (3.0 * UNIT * log).max(2f64.powi(-21)) + sum_error + 2.0 * UNIT * (log - shifted[label]);
        let grad = |(class, x): (usize, &f64)| {
            let target = if class == label { 1.0 } else { 0.0 };
            // Where the power is held at e^-80 the reference's goes on.
            let held = if *x < -80.0 { 2e-35 } else { 0.0 };
            share(x) * (power(x) + sum_error + 3.0 * UNIT) + 3.0 * UNIT * (share(x) - target).abs() + held
        };
        Self { loss, grad: shifted.iter().enumerate().map(grad).collect() }
    }
}
