//! Patches of packed gradients for the gradient of a convolution's input, with their mask.
//! Numerics: `reference::conv::Conv2d::unfold_grad_input`. Shader: `shaders/bit_unfold_grad.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{bits, conv::Conv2d};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window, groups_for,
    unfold::{Gather, geometries},
    words_for,
};

/// Gathers `planes [bits][out pixels][words(channels)]` into the dense rows of the grad_input product,
/// `unfolded [bits + 1][in pixels][words(taps * channels)]` with k = (ky, kx, co).
///
/// The last plane is the mask: ones where the output position that reads the pixel through the tap exists.
#[derive(Clone, Copy, Debug)]
pub struct BitUnfoldGrad {
    /// The convolution's geometry.
    pub window: Window,
    /// Output channels of the convolution.
    pub channels: u32,
    /// Planes of the gradient, 1 to 8.
    pub bits: u32,
    /// The first of the samples that are unfolded, and how many samples `planes` holds.
    pub part: (u32, u32),
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "bit_unfold_grad",
        source: Cow::Borrowed(include_str!("../../../shaders/bit_unfold_grad.wgsl")),
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
            from: "Source(0u), pixel{{ t }} == OUTSIDE",
            to: "Source(0u), false",
        },
        Mutation { rule: "mask of a short tap", from: "(32 - bits)", to: "0" },
        Mutation { rule: "run across source words", from: "32u - shift", to: "32u" },
        Mutation { rule: "stride divides", from: "y % params.stride == 0u && ", to: "" },
        Mutation { rule: "rows past the output", from: "oy < params.out_height && ", to: "" },
        Mutation { rule: "top padding", from: "at.y + params.pad_top", to: "at.y" },
        Mutation { rule: "mask of every tap", from: "mask |=", to: "mask =" },
        Mutation { rule: "mask plane", from: "unfolded[(BITS * rows", to: "unfolded[((BITS - 1u) * rows" },
        Mutation { rule: "first sample", from: " + vec3(params.first_sample, 0u, 0u)", to: "" },
        Mutation {
            rule: "samples of the source",
            from: "params.source_samples * params.out_height",
            to: "params.samples * params.out_height",
        },
        Mutation { rule: "plane skipped", from: "plane < BITS", to: "plane + 1u < BITS" },
        Mutation { rule: "last row", from: "index >= rows * chunks", to: "index + 1u >= rows * chunks" },
        Mutation {
            rule: "last word of a row",
            from: "first_word + params.run, words)",
            to: "first_word + params.run, words - 1u)",
        },
    ],
};

impl BitUnfoldGrad {
    /// Elements of an unfolded row, `taps * channels`.
    pub fn k(&self) -> u32 {
        self.window.taps() * self.channels
    }

    fn gather(&self) -> Gather {
        Gather::new(self.window, self.channels)
    }

    fn rows(&self) -> u64 {
        u64::from(self.window.in_pixels())
    }

    /// Words of a plane of one sample.
    fn sample_words(&self) -> u64 {
        let pixels = u64::from(self.window.out_height) * u64::from(self.window.out_width);
        pixels * u64::from(words_for(self.channels))
    }

    fn row_words(&self) -> u64 {
        u64::from(words_for(self.k()))
    }
}

impl Kernel for BitUnfoldGrad {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let mut params = self.window.params();
        params.push(Param::u32("channels", self.channels));
        params.push(Param::u32("run", self.gather().run()));
        params.push(Param::u32("first_sample", self.part.0));
        params.push(Param::u32("source_samples", self.part.1));
        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("BITS", self.bits)]
    }
    fn template(&self) -> Vec<Constant> {
        self.gather().template()
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.rows() * u64::from(self.gather().runs()))
    }
    fn lens(&self) -> Vec<u64> {
        let source = u64::from(self.part.1) * self.sample_words();
        vec![u64::from(self.bits) * source, u64::from(self.bits + 1) * self.rows() * self.row_words()]
    }
    fn loop_trips(&self) -> u64 {
        self.gather().loop_trips(self.bits)
    }
    fn work(&self) -> Work {
        Work { operations: 0, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let sample = self.sample_words() as usize;
        let (first, samples) = (self.part.0 as usize, self.window.samples as usize);
        let plane = |plane: &[u32]| plane[first * sample..(first + samples) * sample].to_vec();
        let source = buffers[0][..self.lens()[0] as usize].chunks_exact(self.part.1 as usize * sample);
        let planes: Vec<u32> = source.flat_map(plane).collect();
        let (positions, channels) = (self.window.out_pixels() as usize, self.channels as usize);
        let codes = bits::unpack(&planes, positions, channels, self.bits);
        let (rows, mask) = self.window.to_reference(1, self.channels).unfold_grad_input(&codes);
        let mask: Vec<u32> = mask.into_iter().map(u32::from).collect();
        let (pixels, k) = (self.window.in_pixels() as usize, self.k() as usize);
        let mut words = bits::pack(&rows, pixels, k, self.bits);
        words.extend(bits::pack(&mask, pixels, k, 1));
        vec![Expected::exact(words)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(11);
    let mut case = |conv: Conv2d, bits: u32, part: (u32, u32)| {
        let (window, channels) = (Window::from(conv), conv.out_channels as u32);
        let positions = part.1 as usize * conv.positions();
        let codes = random.codes(positions * conv.out_channels, bits);
        let planes = bits::pack(&codes, positions, conv.out_channels, bits);
        let label = format!(
            "{}x{}x{}x{channels} kernel {}x{} stride {} bits {bits} part {part:?}",
            conv.samples, conv.height, conv.width, conv.kernel_h, conv.kernel_w, conv.stride
        );
        Case::new(label, BitUnfoldGrad { window, channels, bits, part }, vec![planes, vec![]])
    };
    let whole = |conv: &Conv2d| (0, conv.samples as u32);
    let mut cases: Vec<Case> = geometries().into_iter().map(|conv| case(conv, 3, whole(&conv))).collect();
    let one = Conv2d::same([1, 3, 4, 1], [3, 3], 37, 1);
    cases.extend((1..=8).map(|bits| case(one, bits, whole(&one))));
    // Parts of a batch, gathered word by word and by whole lines.
    cases.push(case(Conv2d::same([2, 5, 4, 1], [3, 3], 37, 2), 3, (3, 7)));
    cases.push(case(Conv2d::same([1, 4, 5, 1], [3, 3], 64, 1), 2, (4, 5)));
    cases.push(case(Conv2d::valid([3, 6, 5, 1], [5, 5], 128, 1), 2, (1, 5)));
    cases
}
