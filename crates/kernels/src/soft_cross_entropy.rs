//! Cross-entropy with the softmax of other logits, and its gradient. Numerics: `reference::loss::soft_cross_entropy`.
//! Shader: `shaders/soft_cross_entropy.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::loss::soft_cross_entropy;

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP,
    floats::{UNIT, to_f64},
    groups_for,
};

/// Losses `-weight T^2 sum_c q[c] ln p[c]` and gradients of their mean over `total_samples`, `weight T (p - q) /
/// total_samples`, of `logits[samples][classes]`, with `p = softmax(logits / T)` and `q = softmax(targets / T)`. The targets
/// are constants.
#[derive(Clone, Copy, Debug)]
pub struct SoftCrossEntropy {
    /// Samples.
    pub samples: u32,
    /// Classes.
    pub classes: u32,
    /// Samples of the whole batch.
    pub total_samples: u32,
    /// T, above 0.
    pub temperature: f32,
    /// Weight of the loss.
    pub weight: f32,
    /// Adds losses and gradients to those that are there.
    pub accumulate: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "soft_cross_entropy",
        source: Cow::Borrowed(include_str!("../../../shaders/soft_cross_entropy.wgsl")),
        bindings: &[read("logits"), read("targets"), write("losses"), write("grad")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "shift by the maximum",
            from: "largest = max(largest, logits[first + c])",
            to: "largest = logits[first]",
        },
        Mutation {
            rule: "shift of the targets",
            from: "largest_target = max(largest_target, targets[first + c])",
            to: "largest_target = targets[first]",
        },
        Mutation {
            rule: "temperature of the logits",
            from: "let shifted = (logits[first + c] - largest) * params.inverse",
            to: "let shifted = logits[first + c] - largest",
        },
        Mutation {
            rule: "temperature of the targets",
            from: "exponential((targets[first + c] - largest_target) * params.inverse) / sum_target",
            to: "exponential(targets[first + c] - largest_target) / sum_target",
        },
        Mutation { rule: "scale of the loss", from: "params.scale * (", to: "(" },
        Mutation { rule: "factor of the gradient", from: "params.factor * (", to: "(" },
        Mutation { rule: "target probability", from: "/ sum - share", to: "/ sum" },
        Mutation { rule: "target normalized", from: " / sum_target", to: " / sum" },
        Mutation {
            rule: "last class",
            from: "c = 1u; c < params.classes",
            to: "c = 1u; c + 1u < params.classes",
        },
        Mutation { rule: "loss added", from: "losses[index], ACCUMULATE", to: "losses[index], false" },
        Mutation { rule: "loss not added", from: "losses[index], ACCUMULATE", to: "losses[index], true" },
        Mutation {
            rule: "gradient added",
            from: "grad[first + c], ACCUMULATE",
            to: "grad[first + c], false",
        },
        Mutation {
            rule: "gradient not added",
            from: "grad[first + c], ACCUMULATE",
            to: "grad[first + c], true",
        },
        Mutation { rule: "tail sample", from: "index >= params.samples", to: "index + 1u >= params.samples" },
        Mutation {
            rule: "write past the end",
            from: "index >= params.samples",
            to: "index > params.samples",
        },
    ],
};

impl SoftCrossEntropy {
    fn scale(&self) -> f32 {
        self.weight * self.temperature * self.temperature
    }

    fn factor(&self) -> f32 {
        self.weight * self.temperature / self.total_samples as f32
    }
}

impl Kernel for SoftCrossEntropy {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("classes", self.classes),
            Param::f32("inverse", 1.0 / self.temperature),
            Param::f32("scale", self.scale()),
            Param::f32("factor", self.factor()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("ACCUMULATE", u32::from(self.accumulate))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.samples))
    }
    fn lens(&self) -> Vec<u64> {
        let (samples, logits) = (u64::from(self.samples), u64::from(self.samples) * u64::from(self.classes));
        vec![logits, logits, samples, logits]
    }
    fn loop_trips(&self) -> u64 {
        3 * u64::from(self.classes)
    }
    fn work(&self) -> Work {
        Work {
            operations: 24 * u64::from(self.samples) * u64::from(self.classes),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (classes, len) = (self.classes as usize, self.samples * self.classes);
        let [logits, targets] = [0, 1].map(|at| to_f64(buffers[at], len));
        let (weight, temperature) = (f64::from(self.weight), f64::from(self.temperature));
        let result = soft_cross_entropy(&logits, &targets, classes, temperature);
        let (scale, factor) = (f64::from(self.scale()), f64::from(self.factor()));
        let mean = weight * f64::from(self.samples) / f64::from(self.total_samples);
        let [mut losses, mut grads] = [vec![], vec![]];
        for (row, target) in logits.chunks_exact(classes).zip(targets.chunks_exact(classes)) {
            let (p, q) = (Shares::new(row, temperature), Shares::new(target, temperature));
            losses.push(scale.abs() * p.loss_error(&q));
            grads.extend(p.apart_errors(&q).into_iter().map(|error| factor.abs() * error));
        }
        let add = |at: usize, sums: Vec<f64>, errors: Vec<f64>| {
            let old =
                if self.accumulate { to_f64(buffers[at], sums.len() as u32) } else { vec![0.0; sums.len()] };
            let sums: Vec<f64> = sums.iter().zip(&old).map(|(new, old)| new + old).collect();
            let bounds: Vec<f64> =
                errors.iter().zip(&sums).map(|(error, sum)| error + 2.0 * UNIT * sum.abs()).collect();
            Expected::within(&sums, &bounds)
        };
        let loss = result.loss.iter().map(|loss| loss * weight).collect();
        let grad = result.grad.iter().map(|grad| grad * mean).collect();
        vec![add(2, loss, losses), add(3, grad, grads)]
    }
}

/// The softmax of a row with what a device may err, from WGSL's bounds: `exp` 3 + 2 |x| units, quotient 2.5, `log` 3 units
/// or 2^-21 near 1.
struct Shares {
    /// Logits behind the largest, by the temperature, and their softmax with its error.
    shifted: Vec<f64>,
    share: Vec<f64>,
    error: Vec<f64>,
    /// The logarithm of the sum of powers, and that sum's relative error.
    log: f64,
    sum_error: f64,
}

impl Shares {
    fn new(row: &[f64], temperature: f64) -> Self {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(logit));
        let shifted: Vec<f64> = row.iter().map(|logit| (logit - max) / temperature).collect();
        let sum: f64 = shifted.iter().map(|x| x.exp()).sum();
        let share: Vec<f64> = shifted.iter().map(|x| x.exp() / sum).collect();
        // Difference, inverse temperature and product have one unit each, which the power turns into as many as its size.
        let power = |x: &f64| (3.0 + 5.0 * x.abs().min(80.0)) * UNIT;
        let sum_error = shifted.iter().zip(&share).map(|(x, share)| share * power(x)).sum::<f64>()
            + (row.len() as f64 + 2.0) * UNIT;
        // Where the power is held at e^-80 the reference's goes on.
        let held = |x: &f64| if *x < -80.0 { 2e-35 } else { 0.0 };
        let error = |(x, share): (&f64, &f64)| share * (power(x) + sum_error + 3.0 * UNIT) + held(x);
        let error = shifted.iter().zip(&share).map(error).collect();
        Self { shifted, share, error, log: sum.ln(), sum_error }
    }

    /// Of `ln sum - sum_c q[c] x[c]`, the x being our shifted logits.
    fn loss_error(&self, q: &Self) -> f64 {
        let terms = self.shifted.len() as f64 + 6.0;
        let dot = |((x, share), error): ((&f64, &f64), &f64)| x.abs() * (error + terms * UNIT * share);
        let dot: f64 = self.shifted.iter().zip(&q.share).zip(&q.error).map(dot).sum();
        let size: f64 = self.shifted.iter().zip(&q.share).map(|(x, share)| (x * share).abs()).sum();
        (3.0 * UNIT * self.log).max(2f64.powi(-21)) + self.sum_error + dot + 6.0 * UNIT * (self.log + size)
    }

    /// Of `p - q`, with the factor before it.
    fn apart_errors(&self, q: &Self) -> Vec<f64> {
        let errors = self.error.iter().zip(&q.error).map(|(p, q)| p + q);
        let sizes = self.share.iter().zip(&q.share).map(|(p, q)| (p - q).abs());
        errors.zip(sizes).map(|(error, size)| error * (1.0 + 1e-6) + 6.0 * UNIT * size).collect()
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(37);
    let mut case =
        |(samples, classes): (u32, u32), size: f32, temperature: f32, weight: f32, accumulate: bool| {
            let kernel = SoftCrossEntropy {
                samples,
                classes,
                total_samples: samples + 3,
                temperature,
                weight,
                accumulate,
            };
            let (one, all) = (samples as usize, (samples * classes) as usize);
            let [logits, targets] = [(); 2].map(|()| random.floats(all, -size, size));
            let mut old = |len: usize| if accumulate { random.floats(len, -0.5, 0.5) } else { vec![] };
            let old = [old(one), old(all)];
            let label = format!(
                "{samples}x{classes} logits to {size}, T {temperature}, weight {weight}, add {accumulate}"
            );
            let [losses, grad] = old;
            Case::new(label, kernel, vec![logits, targets, losses, grad])
        };
    let sizes = [(1, 1), (1, 2), (7, 3), (63, 10), (64, 10), (65, 7), (130, 5), (5, 1000)];
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 4.0, 1.0, 1.0, false)).collect();
    cases.push(case((33, 10), 4.0, 3.0, 0.5, false));
    cases.push(case((33, 10), 4.0, 0.75, 2.0, true));
    cases.push(case((65, 6), 4.0, 4.0, 0.25, true));
    // Powers of most classes vanish, and without the shift they would overflow.
    cases.push(case((40, 10), 1000.0, 1.0, 1.0, false));
    cases
}
