//! Activations to bit planes. Numerics: `reference::quantize::activation_codes`. Shader:
//! `shaders/quantize_activation.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::activation::{cabs_forward, clip_forward};
use reference::quantize::Rounding;

use crate::floats::to_f64;
use crate::rounding::{RoundedCodes, exact_band, rounding_band, rounding_number, shift_of};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::vector, words_for};

/// Quantizes `x[rows][channels]` to `planes[bits][rows][words]`: `round(n clip(x, 0, 1))`, equation 11 of DoReFa-Net, or
/// with another form and rounding.
#[derive(Clone, Copy, Debug)]
pub struct QuantizeActivation {
    /// Pixels `(n, h, w)`.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
    /// What limits x to [0, 1].
    pub form: ActivationForm,
    /// How codes are rounded.
    pub rounding: Rounding,
    /// Upper end of the range, above 0: x is divided by it first.
    pub range: f32,
}

/// What limits an activation to [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ActivationForm {
    /// `min(max(x, 0), 1)`.
    #[default]
    Clip,
    /// `min(1, |x|)`.
    Cabs,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "quantize_activation",
        source: Cow::Borrowed(include_str!("../../../shaders/quantize_activation.wgsl")),
        bindings: &[read("x"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "ties to even", from: "return round(value)", to: "return floor(value + 0.5)" },
        Mutation { rule: "ties up", from: "return floor(value + 0.5)", to: "return round(value)" },
        Mutation { rule: "clip above", from: "vec4(0.0), vec4(1.0));", to: "vec4(0.0), vec4(2.0));" },
        Mutation { rule: "range", from: "params.inverse * four_of", to: "four_of" },
        Mutation { rule: "magnitude", from: "min(abs(value)", to: "min(value" },
        Mutation { rule: "magnitude above", from: "abs(value), vec4(1.0)", to: "abs(value), vec4(2.0)" },
        Mutation { rule: "levels", from: "f32(FACTOR)", to: "f32(1u << BITS)" },
        Mutation {
            rule: "upper end of a floor",
            from: ", vec4((1u << BITS) - 1u)",
            to: ", vec4(1u << BITS)",
        },
        Mutation { rule: "floor of nested codes", from: "if ROUNDING == 2u {", to: "if false {" },
        Mutation { rule: "upper bits", from: ">> vec4(SHIFT)", to: ">> vec4(0u)" },
        Mutation {
            rule: "row stride",
            from: "row * params.channels +",
            to: "row * params.channels / 2u * 2u +",
        },
        Mutation {
            rule: "row stride in vectors",
            from: "x[row * vectors",
            to: "x[row * words_for(params.channels) * 8u",
        },
        Mutation { rule: "elements past the row", from: ", inside)", to: ", vec4(true))" },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "high planes", from: "codes >> vec4(4u)", to: "codes >> vec4(3u)" },
    ],
};

impl QuantizeActivation {
    fn inverse(&self) -> f32 {
        1.0 / self.range
    }

    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.channels))
    }
}

impl Kernel for QuantizeActivation {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::f32("inverse", self.inverse()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.bits),
            Constant::new("FORM", self.form as u32),
            Constant::new("ROUNDING", rounding_number(self.rounding)),
            Constant::new("FACTOR", self.rounding.factor(self.bits) as u32),
            Constant::new("SHIFT", shift_of(self.rounding, self.bits)),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.channels))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.rows) * u64::from(self.channels), u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        8 + u64::from(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 2 * self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let mut codes = RoundedCodes::rounded(self.bits, self.rounding);
        let x = to_f64(buffers[0], self.rows * self.channels);
        let x: Vec<f64> = x.iter().map(|x| f64::from(self.inverse()) * x).collect();
        let limited = match self.form {
            ActivationForm::Clip => clip_forward(&x, 1.0),
            ActivationForm::Cabs => cabs_forward(&x, 1.0),
        };
        for x in limited {
            let band = match self.range {
                1.0 => exact_band(x, self.bits, self.rounding),
                _ => rounding_band(x * self.rounding.factor(self.bits)),
            };
            codes.push(x, band);
        }
        vec![codes.expected(self.rows, self.channels)]
    }
}

fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1),
        (1, 31),
        (3, 32),
        (2, 33),
        (7, 63),
        (65, 64),
        (5, 97),
        (1, 4099),
        (1021, 1),
        (3, 4),
        (9, 48),
        (5, 300),
    ];
    let mut random = Random::new(3);
    let forms = [
        (ActivationForm::Clip, Rounding::Floor, -0.25),
        (ActivationForm::Cabs, Rounding::Even, -1.25),
        (ActivationForm::Cabs, Rounding::Floor, -1.25),
    ];
    let usual = (ActivationForm::Clip, Rounding::Even, -0.25);
    let nested =
        [Rounding::MidRise, Rounding::Shift { from: 8 }].map(|rule| (ActivationForm::Clip, rule, -0.25));
    type Form = (ActivationForm, Rounding, f32);
    let mut case = |(rows, channels): (u32, u32), bits: u32, (form, rounding, low): Form| {
        let mut x = random.floats((rows * channels) as usize, low, 1.25);
        let special = [0.5, -0.0, 0.0, 1.0, -1.0, 2.0, 1e-30, 3e38, -3e38, f32::INFINITY, 0.25, 0.75];
        for (x, special) in x.iter_mut().step_by(3).zip(special) {
            *x = special.to_bits();
        }
        let kernel = QuantizeActivation { rows, channels, bits, form, rounding, range: 1.0 };
        let label = format!("{rows}x{channels} bits {bits} {form:?} {rounding:?}");
        Case::new(label, kernel, vec![x, vec![]])
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, 2, usual)).collect();
    cases.extend(
        (1..=8).flat_map(|bits| [(11, 45), (7, 76)].map(|size| case(size, bits, usual))).collect::<Vec<_>>(),
    );
    for form in nested {
        cases.extend((1..=8).map(|bits| case((11, 45), bits, form)));
        cases.extend([(1, 1), (9, 48)].map(|size| case(size, 2, form)));
    }
    cases.push(case((7, 76), 2, (ActivationForm::Cabs, Rounding::MidRise, -1.25)));
    cases.push(case((7, 76), 3, (ActivationForm::Clip, Rounding::Shift { from: 4 }, -0.25)));
    for form in forms {
        cases.extend([(1, 1), (2, 33), (9, 48)].map(|size| case(size, 2, form)));
        cases.extend([1, 3, 8].map(|bits| case((11, 45), bits, form)));
    }
    for (range, form) in
        [(3.0, ActivationForm::Clip), (0.7, ActivationForm::Clip), (2.0, ActivationForm::Cabs)]
    {
        let (rows, channels, bits, rounding) = (11, 45, 3, Rounding::Even);
        let x = random.floats((rows * channels) as usize, -range, 1.25 * range);
        let kernel = QuantizeActivation { rows, channels, bits, form, rounding, range };
        cases.push(Case::new(format!("range {range} {form:?}"), kernel, vec![x, vec![]]));
    }
    cases
}
