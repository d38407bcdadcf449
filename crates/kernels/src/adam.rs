//! Adam. Numerics: `reference::optimizer::adam`. Shader: `shaders/adam.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::optimizer::EpsilonForm;

use crate::{
    Case, DecayRun, Entry, Mutation, Random, WORKGROUP,
    decay_run::ranges,
    floats::{UNIT, to_f64},
    groups_for,
    tiling::vector,
};

/// One step of Adam (Kingma and Ba 2015) for `len` weights in place: `d = grad + decay * weight` with the decay of the
/// weight's [`DecayRun`], moments `m`, `v` of `d`, `weight -= step[4] * m / (sqrt(v) * correction + epsilon)`.
///
/// The host puts the bias correction into `step`: uncorrected epsilon, word 4 is `lr sqrt(1 - beta2^t) / (1 -
/// beta1^t)` and the correction 1; corrected, word 4 is `lr / (1 - beta1^t)` and the correction word 5, `1 /
/// sqrt(1 - beta2^t)`.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Values.
    pub len: u32,
    /// Runs of equal weight decay.
    pub runs: u32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Where epsilon is added.
    pub form: EpsilonForm,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "adam",
        source: Cow::Borrowed(include_str!("../../../shaders/adam.wgsl")),
        bindings: &[read("step"), read("decays"), read("grad"), write("weight"), write("m"), write("v")],
    },
    cases,
    mutations: &[
        Mutation { rule: "weight decay", from: " + decay * old", to: "" },
        Mutation { rule: "later runs", from: "run < params.runs", to: "run < 1u" },
        Mutation { rule: "last run", from: "run < params.runs", to: "run + 1u < params.runs" },
        Mutation { rule: "first value of a run", from: ">= decays[2u * run]", to: "> decays[2u * run]" },
        Mutation { rule: "first run", from: "bitcast<f32>(decays[1])", to: "0.0" },
        Mutation { rule: "first moment", from: "(1.0 - params.beta1) * d", to: "d" },
        Mutation { rule: "second moment", from: "(d * d)", to: "d" },
        Mutation { rule: "epsilon", from: " + params.epsilon", to: "" },
        Mutation { rule: "correction always", from: "step[5]), CORRECTED", to: "step[5]), true" },
        Mutation { rule: "correction never", from: "step[5]), CORRECTED", to: "step[5]), false" },
        Mutation { rule: "rate word", from: "step[4]", to: "step[3]" },
        Mutation { rule: "old first moment", from: "params.beta1 * m[index] + ", to: "" },
        Mutation { rule: "root", from: "sqrt(second)", to: "second" },
        Mutation { rule: "tail value", from: "index >= params.vectors", to: "index + 1u >= params.vectors" },
        Mutation {
            rule: "write past the end",
            from: "index >= params.vectors",
            to: "index > params.vectors",
        },
    ],
};

impl Kernel for Adam {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("vectors", self.len / vector(self.len)),
            Param::f32("beta1", self.beta1),
            Param::f32("beta2", self.beta2),
            Param::f32("epsilon", self.epsilon),
            Param::u32("runs", self.runs),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("CORRECTED", u32::from(self.form == EpsilonForm::Corrected)),
        ]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.len / vector(self.len)))
    }
    fn lens(&self) -> Vec<u64> {
        let len = u64::from(self.len);
        vec![8, 2 * u64::from(self.runs), len, len, len, len]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.runs)
    }
    fn work(&self) -> Work {
        Work { operations: 12 * u64::from(self.len), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let word = |at: usize| f64::from(f32::from_bits(buffers[0][at]));
        let correction = if self.form == EpsilonForm::Corrected { word(5) } else { 1.0 };
        let [grad, old, old_m, old_v] = [2, 3, 4, 5].map(|at| to_f64(buffers[at], self.len));
        let (beta1, beta2) = (f64::from(self.beta1), f64::from(self.beta2));
        // Dividing rate and epsilon by the correction leaves the uncorrected form, whose first step undoes
        // itself here.
        let epsilon = f64::from(self.epsilon) / correction;
        let rate = word(4) / correction;
        let learning_rate = rate * (1.0 - beta1) / (1.0 - beta2).sqrt();
        let form = EpsilonForm::Uncorrected;
        let (mut weight, mut m, mut v) = (old.clone(), old_m.clone(), old_v.clone());
        let mut bounds = [vec![], vec![], vec![]];
        for (run, decay) in ranges(buffers[1], self.runs, self.len) {
            let adam = reference::optimizer::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay: decay,
                form,
            };
            let part = [&mut weight, &mut m, &mut v].map(|values| &mut values[run.clone()]);
            let [weight, first, second] = part;
            reference::optimizer::adam(&adam, weight, &grad[run.clone()], first, second, 1);
            for index in run {
                let size = grad[index].abs() + (decay * old[index]).abs();
                let m_bound = 5.0 * UNIT * ((beta1 * old_m[index]).abs() + (1.0 - beta1) * size);
                let v_bound = UNIT * (4.0 * v[index] + 6.0 * (1.0 - beta2) * size * size);
                let root = v[index].sqrt();
                let root_bound = if root > 0.0 { v_bound / root + 5.0 * UNIT * root } else { 0.0 };
                let update = rate * m[index] / (root + epsilon);
                let update_bound = rate * m_bound / (root + epsilon)
                    + update.abs() * (root_bound / (root + epsilon) + 8.0 * UNIT);
                bounds[0].push(UNIT * old[index].abs() + update_bound);
                bounds[1].push(m_bound);
                bounds[2].push(v_bound);
            }
        }
        let results = [weight, m, v];
        results.iter().zip(&bounds).map(|(values, bounds)| Expected::within(values, bounds)).collect()
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(34);
    let mut case = |len: u32, form: EpsilonForm, epsilon: f32, runs: &[(u32, f32)]| {
        let label = format!("{len} {form:?} epsilon {epsilon:e} decay {runs:?}");
        let runs: Vec<DecayRun> = runs.iter().map(|&(first, decay)| DecayRun { first, decay }).collect();
        let kernel = Adam { len, runs: runs.len() as u32, beta1: 0.9, beta2: 0.999, epsilon, form };
        let mut floats = |low, high| random.floats(len as usize, low, high);
        let mut inputs = vec![
            step_words(),
            DecayRun::words(&runs),
            floats(-1.0, 1.0),
            floats(-1.0, 1.0),
            floats(-1.0, 1.0),
            floats(0.0, 0.1),
        ];
        // A weight that was never touched: gradient and moments zero.
        inputs[2..].iter_mut().for_each(|input| input[0] = 0);
        Case::new(label, kernel, inputs)
    };
    let mut cases: Vec<Case> = [1, 7, 63, 64, 65, 128, 1021]
        .into_iter()
        .map(|len| case(len, EpsilonForm::Uncorrected, 1e-5, &[(0, 0.0)]))
        .collect();
    cases.push(case(65, EpsilonForm::Corrected, 1e-8, &[(0, 0.0)]));
    cases.push(case(65, EpsilonForm::Corrected, 0.1, &[(0, 0.05)]));
    cases.push(case(65, EpsilonForm::Uncorrected, 0.1, &[(0, 0.05)]));
    cases.push(case(131, EpsilonForm::Uncorrected, 0.1, &[(0, 0.5), (64, 0.0), (128, 2.0)]));
    cases.push(case(256, EpsilonForm::Corrected, 0.1, &[(0, 0.0), (64, 0.5), (192, 1.0)]));
    cases
}

/// Step 3, seed, learning rate, corrected rate and correction.
fn step_words() -> Vec<u32> {
    vec![3, 17, 0, 0.125f32.to_bits(), 0.5f32.to_bits(), 2.5f32.to_bits(), 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floats::to_words;

    #[test]
    fn corrected_rates_of_the_host_give_the_step_of_the_reference() {
        let (beta1, beta2, rate, t) = (0.875f32, 0.9375f32, 0.01, 5);
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(t);
        let (first, second) = (correction(beta1), correction(beta2));
        for form in [EpsilonForm::Corrected, EpsilonForm::Uncorrected] {
            let adam = reference::optimizer::Adam {
                learning_rate: rate,
                beta1: f64::from(beta1),
                beta2: f64::from(beta2),
                epsilon: 0.5,
                weight_decay: 0.25,
                form,
            };
            let (mut weight, mut m, mut v) = ([0.5], [0.25], [0.125]);
            reference::optimizer::adam(&adam, &mut weight, &[-1.0], &mut m, &mut v, t as u32);
            let rates = match form {
                EpsilonForm::Corrected => [rate / first, 1.0 / second.sqrt()],
                EpsilonForm::Uncorrected => [rate * second.sqrt() / first, 1.0],
            };
            let step = to_words(&[0.0, 0.0, 0.0, rate, rates[0], rates[1], 0.0, 0.0]);
            let kernel = Adam { len: 1, runs: 1, beta1, beta2, epsilon: 0.5, form };
            let decays = DecayRun::words(&[DecayRun { first: 0, decay: 0.25 }]);
            let [grad, w, m, v] = [-1.0, 0.5, 0.25, 0.125].map(|value| to_words(&[value]));
            let got = f32::from_bits(kernel.expected(&[&step, &decays, &grad, &w, &m, &v])[0].words[0]);
            assert!((f64::from(got) - weight[0]).abs() < 1e-7, "{form:?}: {got} {}", weight[0]);
        }
    }
}
