//! Activations whose groups of channels have planes of their own. Numerics: `reference::quantize::quantize_unit_by` of each set's
//! channels. Shader: `shaders/quantize_groups.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::quantize::Rounding;

use crate::floats::to_f64;
use crate::rounding::{RoundedCodes, exact_band, rounding_number};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, words_for};

/// Quantizes `x[rows][channels]` to the planes of one set of channels behind those of another, `planes[all bits][rows][words]`:
/// codes of the set's bits where a channel is a member, and 0 elsewhere.
///
/// Bindings: x, table, planes.
#[derive(Clone, Copy, Debug)]
pub struct QuantizeGroups {
    /// Pixels `(n, h, w)`.
    pub rows: u32,
    /// Channels.
    pub channels: u32,
    /// Sets of channels.
    pub sets: u32,
    /// Bits of all sets.
    pub planes: u32,
    /// How codes are rounded: ties to even, or down.
    pub rounding: Rounding,
}

/// Channels whose codes are in planes of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSet {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
    /// For each channel, whether it is one of them.
    pub members: Vec<bool>,
}

impl ChannelSet {
    /// The words of the kernel's table.
    pub fn words(sets: &[Self]) -> Vec<u32> {
        let word = |channels: &[bool]| {
            channels.iter().enumerate().fold(0, |word, (at, member)| word | u32::from(*member) << at)
        };
        let words = |set: &Self| {
            let mut words: Vec<u32> = set.members.chunks(32).map(word).collect();
            words.resize(words_for(set.members.len() as u32) as usize, 0);
            words.insert(0, set.bits);
            words
        };
        sets.iter().flat_map(words).collect()
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "quantize_groups",
        source: Cow::Borrowed(include_str!("../../../shaders/quantize_groups.wgsl")),
        bindings: &[read("x"), read("table"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "ties to even",
            from: "round(f32(most) * value)",
            to: "floor(f32(most) * value + 0.5)",
        },
        Mutation { rule: "floor of nested codes", from: "ROUNDING == 2u", to: "ROUNDING == 3u" },
        Mutation { rule: "upper end of a floor", from: "vec4(most));", to: "vec4(most + 1u));" },
        Mutation { rule: "clip above", from: "vec4(0.0), vec4(1.0))", to: "vec4(0.0), vec4(2.0))" },
        Mutation { rule: "members alone", from: " & members;", to: ";" },
        Mutation { rule: "members of the word", from: "entry + 1u + word", to: "entry + 1u" },
        Mutation { rule: "planes of the sets before", from: "first_plane += bits", to: "first_plane += 0u" },
        Mutation { rule: "bits of the set", from: "let bits = table[entry]", to: "let bits = table[0]" },
        Mutation { rule: "sets without members", from: "members != 0u", to: "members > 1u" },
        Mutation { rule: "row stride", from: "row * params.channels", to: "row * words * 32u" },
        Mutation { rule: "plane skipped", from: "plane < bits", to: "plane + 1u < bits" },
    ],
};

impl QuantizeGroups {
    fn words(&self) -> u64 {
        u64::from(self.rows) * u64::from(words_for(self.channels))
    }

    /// Words of a set in the table.
    fn entry(&self) -> usize {
        1 + words_for(self.channels) as usize
    }
}

impl Kernel for QuantizeGroups {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("rows", self.rows),
            Param::u32("channels", self.channels),
            Param::u32("sets", self.sets),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("ROUNDING", rounding_number(self.rounding))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.words())
    }
    fn lens(&self) -> Vec<u64> {
        let values = u64::from(self.rows) * u64::from(self.channels);
        let table = u64::from(self.sets) * self.entry() as u64;
        vec![values, table, u64::from(self.planes) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        9 * u64::from(self.sets) + u64::from(self.planes)
    }
    fn work(&self) -> Work {
        Work { operations: 3 * self.lens()[0], bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let x = to_f64(buffers[0], self.rows * self.channels);
        let (mut words, mut alternative) = (Vec::new(), Vec::new());
        for entry in buffers[1][..self.lens()[1] as usize].chunks_exact(self.entry()) {
            let (bits, members) = (entry[0], &entry[1..]);
            let mut codes = RoundedCodes::rounded(bits, self.rounding);
            for (at, x) in x.iter().enumerate() {
                let channel = at % self.channels as usize;
                // What is no member has code 0.
                let x = if members[channel / 32] >> (channel % 32) & 1 == 1 { *x } else { 0.0 };
                codes.push(x, exact_band(x, bits, self.rounding));
            }
            let [own, other] = codes.packed(self.rows, self.channels);
            words.extend(own);
            alternative.extend(other);
        }
        vec![Expected::codes(words, self.planes as usize, alternative)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(96);
    let mut case = |(rows, channels): (u32, u32), widths: &[u32], rounding: Rounding| {
        let mut x = random.floats((rows * channels) as usize, -0.25, 1.25);
        let special = [0.5, -0.0, 0.0, 1.0, -1.0, 2.0, 1e-30, 3e38, -3e38, f32::INFINITY, 0.25, 0.75];
        for (x, special) in x.iter_mut().step_by(3).zip(special) {
            *x = special.to_bits();
        }
        // Every channel is in one of the sets, or in none.
        let of_channel: Vec<usize> =
            (0..channels).map(|_| random.word() as usize % (widths.len() + 1)).collect();
        let set = |(at, bits): (usize, &u32)| ChannelSet {
            bits: *bits,
            members: of_channel.iter().map(|set| *set == at).collect(),
        };
        let table = ChannelSet::words(&widths.iter().enumerate().map(set).collect::<Vec<_>>());
        let (sets, planes) = (widths.len() as u32, widths.iter().sum());
        let kernel = QuantizeGroups { rows, channels, sets, planes, rounding };
        let label = format!("{rows}x{channels} sets {widths:?} {rounding:?}");
        Case::new(label, kernel, vec![x, table, vec![]])
    };
    let mut cases = Vec::new();
    for rounding in [Rounding::Even, Rounding::MidRise] {
        for size in [(1, 1), (1, 31), (3, 32), (2, 33), (65, 64), (5, 97), (1, 4099), (1021, 1), (9, 48)] {
            cases.push(case(size, &[2, 1, 3], rounding));
        }
        cases.push(case((11, 45), &[1, 2, 3, 4, 5, 6, 7, 8], rounding));
        cases.push(case((7, 70), &[8, 8], rounding));
        cases.push(case((7, 70), &[4], rounding));
    }
    cases
}
