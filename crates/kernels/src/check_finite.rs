//! Search for values that are not finite. Numerics: the bits of the float format. Shader:
//! `shaders/check_finite.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for, tiling::vector};

/// Vectors that one invocation tests.
const VALUES: u32 = 16;

/// Sets bit 0 of `flags[slot]` where any of `len` values is infinite or NaN; never clears it.
#[derive(Clone, Copy, Debug)]
pub struct CheckFinite {
    /// Values.
    pub len: u32,
    /// Word of `flags` to set.
    pub slot: u32,
    /// Words of `flags`.
    pub flags_len: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "check_finite",
        source: Cow::Borrowed(include_str!("../../../shaders/check_finite.wgsl")),
        bindings: &[read("values"), write("flags")],
    },
    cases,
    mutations: &[
        Mutation { rule: "sign bit", from: "0x7fffffffu", to: "0xffffffffu" },
        Mutation { rule: "infinity", from: ">= 0x7f800000u", to: "> 0x7f800000u" },
        Mutation { rule: "largest finite value", from: "0x7f800000u", to: "0x7f7fffffu" },
        Mutation { rule: "slot", from: "flags[params.slot]", to: "flags[0]" },
        Mutation { rule: "third lane", from: "max(all.z, all.w)", to: "all.w" },
        Mutation { rule: "bit", from: "], 1u)", to: "], 2u)" },
        Mutation { rule: "tail value", from: "params.vectors - 1u", to: "params.vectors - 2u" },
        Mutation { rule: "last of an invocation", from: "value < VALUES", to: "value + 1u < VALUES" },
        Mutation { rule: "distance", from: "value * params.stride", to: "value" },
    ],
};

impl CheckFinite {
    fn vectors(&self) -> u32 {
        self.len / vector(self.len)
    }

    /// Invocations, and the distance of the vectors of one.
    fn stride(&self) -> u32 {
        self.vectors().div_ceil(VALUES)
    }
}

impl Kernel for CheckFinite {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("vectors", self.vectors()),
            Param::u32("slot", self.slot),
            Param::u32("stride", self.stride()),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("VALUES", VALUES)]
    }

    fn template(&self) -> Vec<Constant> {
        vec![Constant::new("VECTOR", vector(self.len))]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.stride()))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.len), u64::from(self.flags_len)]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(VALUES)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let mut flags = buffers[1][..self.flags_len as usize].to_vec();
        if buffers[0][..self.len as usize].iter().any(|&bits| !f32::from_bits(bits).is_finite()) {
            flags[self.slot as usize] |= 1;
        }
        vec![Expected::exact(flags)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(35);
    let mut case = |len: u32, fault: Option<(u32, u32)>, slot: u32| {
        let mut values = random.floats(len as usize, -1e30, 1e30);
        values[0] = f32::MIN.to_bits();
        if let Some((at, bits)) = fault {
            values[at as usize] = bits;
        }
        let flags = vec![0, 4, 0, 1, 0];
        let label = format!("{len} fault {fault:x?} slot {slot}");
        Case::new(label, CheckFinite { len, slot, flags_len: 5 }, vec![values, flags])
    };
    let faults = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN].map(f32::to_bits);
    let mut cases: Vec<Case> = [1, 63, 64, 65, 1021].into_iter().map(|len| case(len, None, 2)).collect();
    cases.extend([2, 63, 64, 65, 1021, 4096].into_iter().map(|len| case(len, Some((len - 1, faults[0])), 2)));
    // Every lane of a vector, in the first and in the last one.
    cases.extend([0, 1, 2, 3, 1020, 1021, 1022, 1023].map(|at| case(1024, Some((at, faults[2])), 2)));
    cases.extend(faults.into_iter().map(|fault| case(3, Some((2, fault)), 4)));
    // A flag that is already set stays set, beside other bits.
    cases.extend([1, 3].into_iter().map(|slot| case(3, Some((2, 0x7f80_0001)), slot)));
    cases.push(case(3, None, 3));
    cases
}
