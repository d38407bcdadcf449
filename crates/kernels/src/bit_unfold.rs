//! Patches of packed activations. Numerics: `reference::conv::Conv2d::unfold`. Shader:
//! `shaders/bit_unfold.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{bits, conv::Conv2d, quantize::levels};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window, groups_for,
    unfold::{Gather, geometries},
    words_for,
};

/// Gathers `planes [bits][in pixels][words(channels)]` into the dense rows of the forward product,
/// `unfolded [bits][out pixels][words(taps * channels)]` with k = (ky, kx, ci); padding gives zero bits, or ones.
#[derive(Clone, Copy, Debug)]
pub struct BitUnfold {
    /// The convolution's geometry.
    pub window: Window,
    /// Input channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
    /// Padding gives ones, the +1 of sign bits.
    pub ones: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_unfold",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_unfold.wgsl")),
        bindings: &[read("planes"), write("unfolded")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first place in a word", from: "<< {{ e % 32 }}u", to: "<< 0u" },
        Mutation { rule: "rest of a word", from: ">> {{ 32 - e % 32 }}u", to: ">> 31u" },
        Mutation { rule: "line of taps", from: "run + {{ t", to: "{{ t" },
        Mutation { rule: "run of a row", from: "+ run * RUN_VECTORS", to: "" },
        Mutation { rule: "vector of a tap", from: "source{{ t }} + {{ v }}u", to: "source{{ t }}" },
        Mutation { rule: "last row of runs", from: "row >= rows", to: "row + 1u >= rows" },
        Mutation {
            rule: "padding is zero",
            from: "{{ border_vector(v) }} * BORDER, pixel{{ t }} == OUTSIDE",
            to: "{{ border_vector(v) }} * BORDER, false",
        },
        Mutation { rule: "ones of a border", from: "* BORDER, pixel", to: "* 0u, pixel" },
        Mutation {
            rule: "ones behind the channels",
            from: "{{ 32 - [32, CHANNELS - 32 * s]|min }}u",
            to: "0u",
        },
        Mutation { rule: "ones of a border by the word", from: "BORDER * ones", to: "0u * ones" },
        Mutation { rule: "run across source words", from: "32u - shift", to: "32u" },
        Mutation { rule: "padding above and below", from: "iy < params.height && ", to: "" },
        Mutation { rule: "stride", from: "* params.stride + ky", to: "+ ky" },
        Mutation { rule: "left padding", from: "kx - params.pad_left", to: "kx" },
        Mutation { rule: "next line of taps", from: "ky += 1u", to: "ky += 0u" },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "dense position of a tap", from: "& ones) << done", to: "& ones) << shift" },
        Mutation { rule: "last row", from: "index >= rows * chunks", to: "index + 1u >= rows * chunks" },
        Mutation {
            rule: "last word of a row",
            from: "first_word + params.run, words)",
            to: "first_word + params.run, words - 1u)",
        },
    ],
};

impl BitUnfold {
    /// Elements of an unfolded row, `taps * channels`.
    pub fn k(&self) -> u32 {
        self.window.taps() * self.channels
    }

    fn gather(&self) -> Gather {
        Gather::new(self.window, self.channels)
    }

    fn rows(&self) -> u64 {
        u64::from(self.window.out_pixels())
    }

    fn row_words(&self) -> u64 {
        u64::from(words_for(self.k()))
    }
}

impl Kernel for BitUnfold {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let mut params = self.window.params();
        params.push(Param::u32("channels", self.channels));
        params.push(Param::u32("run", self.gather().run()));
        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("BITS", self.bits),
            Constant::new("BORDER", u32::from(self.ones)),
        ]
    }
    fn template(&self) -> Vec<Constant> {
        self.gather().template()
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.rows() * u64::from(self.gather().runs()))
    }
    fn lens(&self) -> Vec<u64> {
        let source = u64::from(self.window.in_pixels()) * u64::from(words_for(self.channels));
        vec![u64::from(self.bits) * source, u64::from(self.bits) * self.rows() * self.row_words()]
    }
    fn loop_trips(&self) -> u64 {
        self.gather().loop_trips(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let planes = &buffers[0][..self.lens()[0] as usize];
        let (pixels, channels) = (self.window.in_pixels() as usize, self.channels as usize);
        let unfolded = |planes: &[u32], bits: u32| {
            let codes = bits::unpack(planes, pixels, channels, bits);
            let border = if self.ones { levels(bits) } else { 0 };
            let rows = self.window.to_reference(self.channels, 1).unfold_with(&codes, border);
            bits::pack(&rows, self.window.out_pixels() as usize, self.k() as usize, bits)
        };
        vec![Expected::exact(bits::by_planes(planes, self.bits, unfolded))]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(10);
    let mut case = |conv: Conv2d, bits: u32, ones: bool| {
        let (window, channels) = (Window::from(conv), conv.in_channels as u32);
        let pixels = window.in_pixels() as usize;
        let codes = random.codes(pixels * conv.in_channels, bits);
        let planes = bits::pack(&codes, pixels, conv.in_channels, bits);
        let label = format!(
            "{}x{}x{}x{channels} kernel {}x{} stride {} bits {bits} ones {ones}",
            conv.samples, conv.height, conv.width, conv.kernel_h, conv.kernel_w, conv.stride
        );
        Case::new(label, BitUnfold { window, channels, bits, ones }, vec![planes, vec![]])
    };
    let mut cases: Vec<Case> = geometries().into_iter().map(|conv| case(conv, 2, false)).collect();
    cases.push(case(Conv2d::same([1, 3, 4, 6], [3, 3], 1, 1), 30, false));
    cases.extend((1..=8).map(|bits| case(Conv2d::same([1, 3, 4, 37], [3, 3], 1, 1), bits, false)));
    cases.extend(geometries().into_iter().map(|conv| case(conv, 1, true)).collect::<Vec<_>>());
    cases.push(case(Conv2d::same([1, 3, 4, 37], [3, 3], 1, 1), 2, true));
    cases
}
