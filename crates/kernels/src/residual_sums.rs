//! Sums for the mean of a level of residual binarization. Numerics: `reference::residual::binarize`. Shader:
//! `shaders/residual_sums.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, SLICE_ALIGNMENT, Shader, Work, read, write};
use reference::residual::residuals;

use crate::floats::{UNIT, to_f64};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Elements of one partial sum.
const GROUP: u32 = 2048;

/// Words from the mean of one level to that of the next, so that each is a slice of its own.
pub const MEAN_STRIDE: u32 = SLICE_ALIGNMENT as u32;

/// Writes `partials[groups][2]` of `len` values: the sum of the magnitudes that the first `before` levels leave, over the values
/// of more than `before` bits, and how many these are. A [`ColumnSum`](crate::ColumnSum) adds the groups and a
/// [`ResidualMean`](crate::ResidualMean) divides.
///
/// Bindings: values, bits (whole numbers in f32), the means of the levels before ([`means_len`] words), partials.
#[derive(Clone, Copy, Debug)]
pub struct ResidualSums {
    /// Values of the tensor.
    pub len: u32,
    /// Levels before.
    pub before: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "residual_sums",
        source: Cow::Borrowed(include_str!("../../../shaders/residual_sums.wgsl")),
        bindings: &[read("values"), read("bits"), read("means"), write("partials")],
    },
    cases,
    mutations: &[
        Mutation { rule: "mask of the level", from: "bits[i] > f32(params.before)", to: "bits[i] > 0.0" },
        Mutation { rule: "elements that end here", from: "bits[i] > f32", to: "bits[i] >= f32" },
        Mutation {
            rule: "magnitude",
            from: "abs(residual(values[i], params.before))",
            to: "residual(values[i], params.before)",
        },
        Mutation { rule: "levels before", from: "level < levels;", to: "level + 1u < levels;" },
        Mutation { rule: "mean of each level", from: "means[level * STRIDE]", to: "means[0]" },
        Mutation { rule: "sign of a step", from: "select(mean, -mean, is_negative(e))", to: "mean" },
        Mutation { rule: "last element", from: "i < params.len", to: "i + 1u < params.len" },
        Mutation { rule: "last group", from: "index >= params.groups", to: "index + 1u >= params.groups" },
        Mutation { rule: "layout of the two sums", from: "2u * index + 1u", to: "2u * index" },
    ],
};

/// Words that hold the means of `levels` levels; at least one, as a binding has.
pub fn means_len(levels: u32) -> u64 {
    u64::from(MEAN_STRIDE) * u64::from(levels.saturating_sub(1)) + 1
}

/// The means of `levels` levels in the words of a buffer.
pub(crate) fn means_of(words: &[u32], levels: u32) -> Vec<f64> {
    (0..levels).map(|level| f64::from(f32::from_bits(words[(level * MEAN_STRIDE) as usize]))).collect()
}

/// How far a device may be from what is left of `x` behind every level: each subtraction rounds once.
pub(crate) fn residual_errors(x: f64, means: &[f64]) -> Vec<f64> {
    let mut error = 0.0;
    let mut errors = vec![0.0];
    for (left, mean) in residuals(x, means).iter().skip(1).zip(means) {
        // What is left may be small and the error of its parts not.
        error += UNIT * (left.abs() + error) + if *mean == 0.0 { 0.0 } else { f64::from(f32::MIN_POSITIVE) };
        errors.push(error);
    }
    errors
}

impl ResidualSums {
    /// Partial sums.
    pub fn groups(&self) -> u32 {
        self.len.div_ceil(GROUP)
    }
}

impl Kernel for ResidualSums {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("len", self.len),
            Param::u32("groups", self.groups()),
            Param::u32("before", self.before),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("STRIDE", MEAN_STRIDE)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.groups()))
    }
    fn lens(&self) -> Vec<u64> {
        let len = u64::from(self.len);
        vec![len, len, means_len(self.before), 2 * u64::from(self.groups())]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(GROUP) * u64::from(1 + self.before)
    }
    fn work(&self) -> Work {
        let operations = u64::from(2 + self.before) * u64::from(self.len);
        Work { operations, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let (values, bits) = (to_f64(buffers[0], self.len), to_f64(buffers[1], self.len));
        let (means, groups) = (means_of(buffers[2], self.before), self.groups() as usize);
        let (mut sums, mut bounds) = (vec![0.0; 2 * groups], vec![0.0; 2 * groups]);
        for (index, (value, bits)) in values.iter().zip(&bits).enumerate() {
            if *bits <= f64::from(self.before) {
                continue;
            }
            let at = 2 * (index % groups);
            let (left, error) = (residuals(*value, &means), residual_errors(*value, &means));
            let (left, error) = (left[left.len() - 1].abs(), error[error.len() - 1]);
            sums[at] += left;
            // Every later sum may round what is there.
            bounds[at] += error + left * UNIT * f64::from(GROUP.min(self.len) + 1);
            sums[at + 1] += 1.0;
        }
        vec![Expected::within(&sums, &bounds)]
    }
}

/// Values of which some end after each level, bits of `levels` levels, and falling means with a stride.
pub(crate) fn inputs(random: &mut Random, len: u32, levels: u32) -> [Vec<u32>; 3] {
    let mut values = random.floats(len as usize, -1.25, 1.25);
    let special = [0.0, -0.0, 1e-30, -1e-38, -1e-44, 3.0, -3.0];
    for (value, special) in values.iter_mut().step_by(3).skip(1).zip(special) {
        *value = f32::to_bits(special);
    }
    let bits = (0..len).map(|_| (1.0 + (random.word() % levels) as f32).to_bits()).collect();
    let mut means = vec![f32::NAN.to_bits(); means_len(levels) as usize];
    for level in 0..levels {
        means[(level * MEAN_STRIDE) as usize] = (0.61 / (level + 1) as f32).to_bits();
    }
    [values, bits, means]
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(91);
    let mut case = |len: u32, before: u32| {
        let [values, bits, means] = inputs(&mut random, len, before + 2);
        let kernel = ResidualSums { len, before };
        Case::new(format!("{len} behind {before} levels"), kernel, vec![values, bits, means, vec![]])
    };
    let mut cases: Vec<Case> = [1, 2, 63, 65, 1021].map(|len| case(len, 1)).to_vec();
    cases.extend([(7, 0), (2048, 2), (2049, 3), (6145, 7)].map(|(len, before)| case(len, before)));
    cases
}
