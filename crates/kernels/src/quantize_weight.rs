//! Weights to bit planes. Numerics: `reference::quantize`. Shader: `shaders/quantize_weight.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::bit_length::Grid;
use reference::quantize::{Rounding, sign};

use crate::floats::{UNIT, to_f64};
use crate::rounding::{RoundedCodes, TANH_ERROR, rounding_band};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::vector, words_for};

/// How a weight becomes a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRule {
    /// One bit, 1 where the weight is not negative: equation 7 of DoReFa-Net. The scale is not read.
    Sign,
    /// `round(n (tanh(w) / (2 max |tanh w|) + 1/2))`: equation 9.
    Tanh,
    /// The same with `floor(x + 1/2)` for the rounding.
    TanhFloor,
    /// `min(floor(2^bits (tanh(w) / (2 max |tanh w|) + 1/2)), n)`: codes whose upper bits are codes too.
    TanhMidRise,
    /// `round(n (w / (2 max |w|) + 1/2))`.
    Linear,
    /// `min(floor(2^bits (w / (2 max |w|) + 1/2)), n)`.
    LinearMidRise,
}

impl WeightRule {
    /// Linear in the weight, on one of the grids of bit lengths.
    pub fn linear(grid: Grid) -> Self {
        match grid {
            Grid::Ends => Self::Linear,
            Grid::Nested => Self::LinearMidRise,
        }
    }

    fn is_linear(self) -> bool {
        matches!(self, Self::Linear | Self::LinearMidRise)
    }

    /// Equation 9 with codes rounded by `rounding`; of shifted ones the whole.
    pub fn tanh(rounding: Rounding) -> Self {
        match rounding {
            Rounding::Even | Rounding::Shift { .. } => Self::Tanh,
            Rounding::Floor => Self::TanhFloor,
            Rounding::MidRise => Self::TanhMidRise,
        }
    }

    fn rounding(self) -> Rounding {
        match self {
            Self::Sign | Self::Tanh | Self::Linear => Rounding::Even,
            Self::TanhFloor => Rounding::Floor,
            Self::TanhMidRise | Self::LinearMidRise => Rounding::MidRise,
        }
    }
}

/// Quantizes `rows` x `k` elements of a weight tensor to `planes[bits][rows][words]`.
///
/// Element `j` of a row is `weight[row * row_stride + (j / inner) * outer_stride + (j % inner) * inner_stride]`, so the
/// same kernel packs OHWI weights by output channel (`k = (ky, kx, ci)`) and by input channel (`k = (ky, kx, co)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizeWeight {
    /// Rows of the packed matrix.
    pub rows: u32,
    /// Elements per row, a multiple of `inner`.
    pub k: u32,
    /// Elements of a row that lie `inner_stride` apart.
    pub inner: u32,
    /// Distance of rows.
    pub row_stride: u32,
    /// Distance of runs of `inner` elements.
    pub outer_stride: u32,
    /// Distance of the elements of a run.
    pub inner_stride: u32,
    /// Planes, 1 to 8; 1 under [`WeightRule::Sign`].
    pub bits: u32,
    /// The rule.
    pub rule: WeightRule,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "quantize_weight",
        source: Cow::Borrowed(include_str!("../../../shaders/quantize_weight.wgsl")),
        bindings: &[read("weight"), read("scale"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign of minus zero", from: "bits > 0x80000000u", to: "bits >= 0x80000000u" },
        Mutation { rule: "ties to even", from: "u32(round(scaled))", to: "u32(floor(0.5 + scaled))" },
        Mutation { rule: "ties up", from: "u32(floor(scaled + 0.5))", to: "u32(round(scaled))" },
        Mutation { rule: "floor of nested codes", from: "if is_nested {", to: "if false {" },
        Mutation { rule: "levels of nested codes", from: "(1u << BITS) - last", to: "(1u << BITS) - 1u" },
        Mutation {
            rule: "upper end of a floor",
            from: "min(u32(scaled), (1u << BITS) - 1u)",
            to: "u32(scaled)",
        },
        Mutation { rule: "scale", from: "(2.0 * scale[0])", to: "(2.0 * min(scale[0], 0.9))" },
        Mutation { rule: "tensor of zeros", from: "var x = 0.5;", to: "var x = 0.0;" },
        Mutation { rule: "linear in the weight", from: "RULE < 4u", to: "true" },
        Mutation { rule: "odd tanh", from: "select(t, -t, x < 0.0)", to: "t" },
        Mutation { rule: "outer stride", from: "outer * params.outer_stride", to: "outer * params.inner" },
        Mutation { rule: "inner stride", from: "select(params.inner_stride,", to: "select(1u," },
        Mutation {
            rule: "turn to the next run",
            from: "select(params.inner_stride, turn",
            to: "select(params.inner_stride, turn + 1u",
        },
        Mutation { rule: "rows of a vector", from: "+ row + {{ lane }}u", to: "+ row" },
        Mutation { rule: "plane of a vector", from: "codes >> vec4({{ plane }}u)", to: "codes >> vec4(0u)" },
        Mutation { rule: "contiguous rows", from: "row * params.k + at", to: "at" },
        Mutation { rule: "vectors past the row", from: "4u * block < count", to: "true" },
        Mutation {
            rule: "row stride",
            from: "row * params.row_stride",
            to: "row * (params.row_stride + 1u)",
        },
    ],
};

impl QuantizeWeight {
    /// Packs OHWI weights `[out_channels][taps][in_channels]` by output channel, the operand of the forward pass.
    pub fn by_output([out_channels, taps, in_channels]: [u32; 3], bits: u32, rule: WeightRule) -> Self {
        Self {
            rows: out_channels,
            k: taps * in_channels,
            inner: in_channels,
            row_stride: taps * in_channels,
            outer_stride: in_channels,
            inner_stride: 1,
            bits,
            rule,
        }
    }

    /// Packs the same weights by input channel, the operand of the gradient of the input.
    pub fn by_input([out_channels, taps, in_channels]: [u32; 3], bits: u32, rule: WeightRule) -> Self {
        Self {
            rows: in_channels,
            k: taps * out_channels,
            inner: out_channels,
            row_stride: 1,
            outer_stride: in_channels,
            inner_stride: taps * in_channels,
            bits,
            rule,
        }
    }

    /// Rows are contiguous and made of vectors.
    fn along(&self) -> u32 {
        let dense = self.inner_stride == 1 && self.outer_stride == self.inner && self.row_stride == self.k;
        if dense { vector(self.k) } else { 1 }
    }

    /// Elements of neighboring rows lie side by side and make up vectors.
    fn across(&self) -> u32 {
        let strides = [self.rows, self.outer_stride, self.inner_stride].map(vector);
        if self.row_stride == 1 && self.along() == 1 { strides.into_iter().min().unwrap_or(1) } else { 1 }
    }

    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.k))
    }

    fn index(&self, row: u32, j: u32) -> usize {
        (row * self.row_stride + j / self.inner * self.outer_stride + j % self.inner * self.inner_stride)
            as usize
    }

    fn rounded_codes(&self, weight: &[f64], max: f64) -> RoundedCodes {
        let rounding = self.rule.rounding();
        let n = rounding.factor(self.bits);
        let mut codes = RoundedCodes::rounded(self.bits, rounding);
        for &w in weight {
            let (t, t_error) = if self.rule.is_linear() { (w, 0.0) } else { (w.tanh(), TANH_ERROR) };
            let half = if max > 0.0 { t / (2.0 * max) } else { 0.0 };
            // Zero is where two codes meet and exact on every device; elsewhere the tangent, the quotient (2.5 units)
            // and the sum widen the band.
            let error = n * half.abs() * (t_error + 3.0 * UNIT) + rounding_band(n * (half + 0.5));
            codes.push(half + 0.5, if half == 0.0 { 0.0 } else { error });
        }
        codes
    }
}

impl Kernel for QuantizeWeight {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("k", self.k),
            Param::u32("inner", self.inner),
            Param::u32("row_stride", self.row_stride),
            Param::u32("outer_stride", self.outer_stride),
            Param::u32("inner_stride", self.inner_stride),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.bits),
            Constant::new("RULE", self.rule as u32),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        // The text depends on the width only where it holds a word of every plane for four rows.
        let bits = if self.across() == 4 { self.bits } else { 0 };
        [("ALONG", self.along()), ("ACROSS", self.across()), ("BITS", bits)]
            .map(|(name, value)| Constant::new(name, value))
            .to_vec()
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words() / u64::from(self.across()))
    }
    fn lens(&self) -> Vec<u64> {
        let last = self.index(self.rows - 1, self.k - 1) as u64;
        vec![last + 1, 1, u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        32 + u64::from(self.bits)
    }
    fn work(&self) -> Work {
        let operations = match self.rule {
            WeightRule::Sign => 0,
            _ => 32 * u64::from(self.rows) * u64::from(self.k),
        };
        Work { operations, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let elements = (0..self.rows).flat_map(|row| (0..self.k).map(move |j| (row, j)));
        let weight: Vec<u32> = elements.map(|(row, j)| buffers[0][self.index(row, j)]).collect();
        let weight = to_f64(&weight, self.rows * self.k);
        match self.rule {
            WeightRule::Sign => {
                let codes: Vec<u32> = weight.iter().map(|&w| u32::from(sign(w) > 0.0)).collect();
                let (rows, k) = (self.rows as usize, self.k as usize);
                vec![Expected::exact(reference::bits::pack(&codes, rows, k, self.bits))]
            }
            _ => {
                let max = f64::from(f32::from_bits(buffers[1][0]));
                vec![self.rounded_codes(&weight, max).expected(self.rows, self.k)]
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(4);
    let mut cases = Vec::new();
    let shapes = [
        [1, 1, 1],
        [3, 1, 31],
        [2, 1, 32],
        [5, 9, 7],
        [33, 9, 5],
        [1, 25, 41],
        [67, 1, 1],
        [1, 4099, 1],
        [12, 9, 8],
        [3, 5, 44],
        [48, 9, 64],
    ];
    let mut add = |label: &str, shape: [u32; 3], bits: u32, rule: WeightRule, zeros: bool| {
        let len = shape.iter().product::<u32>() as usize;
        let mut weight = if zeros { vec![0; len] } else { random.floats(len, -1.75, 1.75) };
        let special = [0.0, -0.0, -1e-38, 1e-30, 20.0, -20.0, -1e-44];
        for (w, special) in weight.iter_mut().step_by(5).skip(1).zip(special).filter(|_| !zeros) {
            *w = f32::to_bits(special);
        }
        let magnitude = |w: &f64| if rule.is_linear() { w.abs() } else { w.tanh().abs() };
        let max = to_f64(&weight, len as u32).iter().map(magnitude).fold(0.0, f64::max) as f32;
        let [co, taps, ci] = shape;
        for (by, kernel) in [
            ("output", QuantizeWeight::by_output(shape, bits, rule)),
            ("input", QuantizeWeight::by_input(shape, bits, rule)),
        ] {
            let label = format!("{label}{co}x{taps}x{ci} by {by} {rule:?} bits {bits}");
            cases.push(Case::new(label, kernel, vec![weight.clone(), vec![max.to_bits()], vec![]]));
        }
    };
    for shape in shapes {
        add("", shape, 1, WeightRule::Sign, false);
        add("", shape, 3, WeightRule::Tanh, false);
    }
    for bits in 1..=8 {
        add("", [7, 4, 11], bits, WeightRule::Tanh, false);
        add("", [9, 3, 20], bits, WeightRule::Tanh, false);
        add("zeros ", [3, 1, 5], bits, WeightRule::Tanh, true);
    }
    add("zeros ", [3, 1, 5], 1, WeightRule::Sign, true);
    for bits in 1..=8 {
        add("", [9, 3, 20], bits, WeightRule::TanhMidRise, false);
        add("", [5, 4, 11], bits, WeightRule::TanhMidRise, false);
        add("zeros ", [3, 1, 5], bits, WeightRule::TanhMidRise, true);
    }
    for rule in [WeightRule::Linear, WeightRule::LinearMidRise] {
        for bits in 1..=8 {
            add("", [9, 3, 20], bits, rule, false);
            add("", [5, 4, 11], bits, rule, false);
        }
        add("zeros ", [3, 1, 5], 3, rule, true);
    }
    for bits in [1, 2, 3, 8] {
        add("", [9, 3, 20], bits, WeightRule::TanhFloor, false);
        add("zeros ", [3, 1, 5], bits, WeightRule::TanhFloor, true);
    }
    cases
}
