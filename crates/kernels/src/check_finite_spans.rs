//! Search of many tensors in one buffer for values that are not finite. Numerics: the bits of the float format. Shader:
//! `shaders/check_finite_spans.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Vectors that one invocation tests.
const VALUES: u32 = 16;

/// Sets bit 0 of `flags[slot]` where any value of the [`Span`] with that slot is infinite or NaN; never clears it. Values
/// outside of all spans do not count.
#[derive(Clone, Copy, Debug)]
pub struct CheckFiniteSpans {
    /// Values, a multiple of 4.
    pub len: u32,
    /// Spans.
    pub spans: u32,
    /// Words of `flags`.
    pub flags_len: u32,
}

/// The values of one tensor among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First value.
    pub first: u32,
    /// The value behind the last.
    pub end: u32,
    /// Word of the flags.
    pub slot: u32,
}

impl Span {
    /// The words that `spans` holds for spans in the order of their values.
    pub fn words(spans: &[Self]) -> Vec<u32> {
        spans.iter().flat_map(|span| [span.first, span.end, span.slot]).collect()
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "check_finite_spans",
        source: Cow::Borrowed(include_str!("../../../shaders/check_finite_spans.wgsl")),
        bindings: &[read("values"), read("spans"), write("flags")],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign bit", from: "0x7fffffffu", to: "0xffffffffu" },
        Mutation {
            rule: "infinity",
            from: "max(all.z, all.w)) < INFINITY",
            to: "max(all.z, all.w)) <= INFINITY",
        },
        Mutation { rule: "infinity of a value", from: ">= vec4(INFINITY)", to: "> vec4(INFINITY)" },
        Mutation { rule: "largest finite value", from: "0x7f800000u", to: "0x7f7fffffu" },
        Mutation { rule: "third lane", from: "max(all.z, all.w)", to: "all.w" },
        Mutation { rule: "lane", from: "raise(4u * at + 1u)", to: "raise(4u * at)" },
        Mutation { rule: "last lane", from: "if found.w", to: "if false" },
        Mutation { rule: "bit", from: "], 1u)", to: "], 2u)" },
        Mutation { rule: "tail value", from: "params.vectors - 1u", to: "params.vectors - 2u" },
        Mutation { rule: "last of an invocation", from: "value < VALUES", to: "value + 1u < VALUES" },
        Mutation { rule: "distance", from: "value * params.stride", to: "value" },
        Mutation {
            rule: "first value of a span",
            from: "spans[3u * middle] <= value",
            to: "spans[3u * middle] < value",
        },
        Mutation {
            rule: "end of a span",
            from: "value < spans[3u * low + 1u]",
            to: "value <= spans[3u * low + 1u]",
        },
        Mutation { rule: "before the first span", from: "spans[3u * low] <= value && ", to: "" },
        Mutation { rule: "last span", from: "var high = params.spans", to: "var high = params.spans - 1u" },
        Mutation { rule: "slot", from: "spans[3u * low + 2u]", to: "low" },
    ],
};

impl CheckFiniteSpans {
    fn vectors(&self) -> u32 {
        self.len / 4
    }

    /// Invocations, and the distance of the vectors of one.
    fn stride(&self) -> u32 {
        self.vectors().div_ceil(VALUES)
    }
}

impl Kernel for CheckFiniteSpans {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("vectors", self.vectors()),
            Param::u32("spans", self.spans),
            Param::u32("stride", self.stride()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("VALUES", VALUES)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.stride()))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.len), 3 * u64::from(self.spans), u64::from(self.flags_len)]
    }
    fn loop_trips(&self) -> u64 {
        // Every value of an invocation may have its span looked for.
        u64::from(VALUES) * (2 + 4 * u64::from(u32::BITS))
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let mut flags = buffers[2][..self.flags_len as usize].to_vec();
        for span in buffers[1][..3 * self.spans as usize].chunks(3) {
            let values = &buffers[0][span[0] as usize..span[1] as usize];
            if values.iter().any(|&bits| !f32::from_bits(bits).is_finite()) {
                flags[span[2] as usize] |= 1;
            }
        }
        vec![Expected::exact(flags)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(36);
    let mut case = |len: u32, spans: &[(u32, u32, u32)], faults: &[(u32, u32)]| {
        let mut values = random.floats(len as usize, -1e30, 1e30);
        values[0] = f32::MIN.to_bits();
        faults.iter().for_each(|&(at, bits)| values[at as usize] = bits);
        let label = format!("{len} spans {spans:?} faults {faults:x?}");
        let list: Vec<Span> = spans.iter().map(|&(first, end, slot)| Span { first, end, slot }).collect();
        let kernel = CheckFiniteSpans { len, spans: list.len() as u32, flags_len: 6 };
        Case::new(label, kernel, vec![values, Span::words(&list), vec![0, 4, 0, 1, 0, 0]])
    };
    let [infinite, negative, nan, odd] =
        [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN].map(f32::to_bits);
    let mut cases: Vec<Case> =
        [4, 64, 1024, 4100].into_iter().map(|len| case(len, &[(0, len, 2)], &[])).collect();
    for len in [4, 60, 64, 68, 1020, 4096, 4100] {
        cases.push(case(len, &[(0, len, 2)], &[(len - 1, infinite)]));
    }
    // Every lane, on both sides of where spans meet, and in the padding between, before and behind them.
    let spans = [(4, 74, 5), (128, 129, 0), (129, 1000, 4), (1000, 1020, 1), (1020, 1023, 2)];
    for at in [3, 4, 5, 6, 7, 73, 74, 127, 128, 129, 130, 999, 1000, 1019, 1020, 1022, 1023] {
        cases.push(case(1024, &spans, &[(at, nan)]));
    }
    // Several in one vector and in several spans.
    cases.push(case(1024, &spans, &[(128, negative), (129, odd), (500, nan), (1021, infinite)]));
    cases.push(case(1024, &spans, &[(2, nan), (100, infinite), (1023, odd)]));
    // A flag that is already set stays set, beside other bits.
    cases.push(case(64, &[(0, 32, 3), (32, 64, 1)], &[(0, 0x7f80_0001), (63, 0x7f80_0001)]));
    cases
}
