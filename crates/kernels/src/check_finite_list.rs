//! Search of several small tensors for values that are not finite. Numerics: the bits of the float format. Shader:
//! `shaders/check_finite_list.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP};

/// Lists that one dispatch searches: as many as fit beside the flags.
pub const LISTS: usize = 6;

/// Sets bit 0 of `flags[slot]` for each list of values of which any is infinite or NaN; never clears it. A list of no
/// values is bound to any buffer.
#[derive(Clone, Copy, Debug)]
pub struct CheckFiniteList {
    /// Values of each list and its word of `flags`.
    pub lists: [(u32, u32); LISTS],
    /// Words of `flags`.
    pub flags_len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "check_finite_list",
        source: Cow::Borrowed(include_str!("../../../shaders/check_finite_list.wgsl")),
        bindings: &[
            read("values0"),
            read("values1"),
            read("values2"),
            read("values3"),
            read("values4"),
            read("values5"),
            write("flags"),
        ],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign bit", from: "0x7fffffffu", to: "0xffffffffu" },
        Mutation { rule: "infinity", from: ">= 0x7f800000u", to: "> 0x7f800000u" },
        Mutation { rule: "largest finite value", from: "0x7f800000u", to: "0x7f7fffffu" },
        Mutation { rule: "bit", from: "], 1u)", to: "], 2u)" },
        Mutation { rule: "slot", from: "flags[slot]", to: "flags[0]" },
        Mutation { rule: "slot of a list", from: "params.slot{{ list }}", to: "params.slot0" },
        Mutation { rule: "values of a list", from: "values{{ list }}[at]", to: "values0[at]" },
        Mutation {
            rule: "tail value",
            from: "at < params.len{{ list }}",
            to: "at + 1u < params.len{{ list }}",
        },
        Mutation {
            rule: "past the end",
            from: "at < params.len{{ list }}",
            to: "at <= params.len{{ list }}",
        },
        Mutation { rule: "distance", from: "at += WORKGROUP", to: "at += WORKGROUP + 1u" },
        Mutation {
            rule: "last list",
            from: "case {{ list }}u",
            to: "case {{ list % 5 + 6 * (list // 5) }}u",
        },
    ],
};

impl Kernel for CheckFiniteList {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        const NAMES: [[&str; 2]; LISTS] = [
            ["len0", "slot0"],
            ["len1", "slot1"],
            ["len2", "slot2"],
            ["len3", "slot3"],
            ["len4", "slot4"],
            ["len5", "slot5"],
        ];
        let pairs = NAMES.iter().zip(&self.lists);
        pairs
            .flat_map(|(names, &(len, slot))| [Param::u32(names[0], len), Param::u32(names[1], slot)])
            .collect()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("LISTS", LISTS as u32)]
    }
    fn workgroups(&self) -> u64 {
        LISTS as u64
    }
    fn lens(&self) -> Vec<u64> {
        let values = self.lists.iter().map(|&(len, _)| u64::from(len.max(1)));
        values.chain([u64::from(self.flags_len)]).collect()
    }
    fn loop_trips(&self) -> u64 {
        let longest = self.lists.iter().map(|&(len, _)| len).max().unwrap_or(0);
        u64::from(longest.div_ceil(WORKGROUP))
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let mut flags = buffers[LISTS][..self.flags_len as usize].to_vec();
        for (values, &(len, slot)) in buffers.iter().zip(&self.lists) {
            if values[..len as usize].iter().any(|&bits| !f32::from_bits(bits).is_finite()) {
                flags[slot as usize] |= 1;
            }
        }
        vec![Expected::exact(flags)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(37);
    let lists: [(u32, u32); LISTS] = [(1, 5), (63, 0), (64, 3), (65, 7), (1021, 2), (130, 6)];
    let mut case = |lists: [(u32, u32); LISTS], faults: &[(usize, u32, u32)]| {
        // A value behind the last is no part of a list, whatever it is.
        let mut inputs: Vec<Vec<u32>> =
            lists.iter().map(|&(len, _)| random.floats(len as usize + 1, -1e30, 1e30)).collect();
        inputs.iter_mut().zip(lists).for_each(|(values, (len, _))| {
            values[0] = f32::MIN.to_bits();
            values[len as usize] = f32::NAN.to_bits();
        });
        faults.iter().for_each(|&(list, at, bits)| inputs[list][at as usize] = bits);
        inputs.push(vec![0, 0, 0, 1, 4, 0, 0, 0]);
        Case::new(format!("{lists:?} faults {faults:x?}"), CheckFiniteList { lists, flags_len: 8 }, inputs)
    };
    let faults = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)];
    let mut cases = vec![case(lists, &[])];
    for (list, (len, _)) in lists.into_iter().enumerate() {
        let bits = faults[list % faults.len()].to_bits();
        cases.push(case(lists, &[(list, len - 1, bits)]));
    }
    cases.push(case(lists, &[(0, 0, 0x7f80_0000), (4, 64, 0xff80_0000), (5, 129, 0x7fc0_0000)]));
    let few = [(3, 1), (200, 2), (0, 0), (0, 0), (0, 0), (0, 0)];
    cases.push(case(few, &[]));
    cases.push(case(few, &[(1, 130, 0x7f80_0000)]));
    cases
}
