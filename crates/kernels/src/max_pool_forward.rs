//! Maximum pool. Numerics: `reference::pool::Pool2d::max_pool_forward`. Shader:
//! `shaders/max_pool_forward.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};

use crate::{
    Case, Entry, Mutation, Random, WORKGROUP, Window,
    floats::{relative, to_f64, to_words},
    groups_for,
    pool::{to_reference, windows},
    tiling::vector,
};

/// Maxima of `x[input pixels][channels]` over square windows, `y[output pixels][channels]`, and the tap `ky *
/// kernel + kx` of the first one; padding takes no part.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolForward {
    /// Geometry; the kernel is square.
    pub window: Window,
    /// Channels.
    pub channels: u32,
    /// Whether the taps are written, for a backward pass; otherwise `argmax` is any buffer of 4 words.
    pub keep_taps: bool,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "max_pool_forward",
        source: Cow::Borrowed(include_str!("../../../shaders/max_pool_forward.wgsl")),
        bindings: &[read("x"), write("y"), write("argmax")],
    },
    cases,
    mutations: &[
        Mutation { rule: "first maximum", from: "values > best", to: "values >= best" },
        Mutation { rule: "taps always kept", from: "if KEEP_TAPS", to: "if true" },
        Mutation { rule: "padding takes part", from: " & Bools(inside)", to: "" },
        Mutation { rule: "last tap", from: "kx < KERNEL", to: "kx + 1u < KERNEL" },
        Mutation { rule: "negative maxima", from: "(taps == NONE) | ", to: "" },
        Mutation { rule: "row below the image", from: "iy < params.height && ", to: "" },
        Mutation { rule: "neighboring vector", from: "* params.vectors + vector", to: "* params.vectors" },
        Mutation { rule: "stride", from: "params.stride", to: "1u" },
        Mutation { rule: "padding", from: "- params.pad_top", to: "- params.pad_left * 0u" },
        Mutation {
            rule: "tail value",
            from: "out_pixel >= params.samples",
            to: "out_pixel + 1u >= params.samples",
        },
    ],
};

impl Kernel for MaxPoolForward {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let vectors = self.channels / vector(self.channels);
        [self.window.params(), vec![Param::u32("vectors", vectors)]].concat()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("KERNEL", self.window.kernel_h)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![
            Constant::new("VECTOR", vector(self.channels)),
            Constant::new("KEEP_TAPS", u32::from(self.keep_taps)),
        ]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.window.out_pixels()) * u64::from(self.channels / vector(self.channels)))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        let outputs = u64::from(self.window.out_pixels()) * channels;
        vec![u64::from(self.window.in_pixels()) * channels, outputs, if self.keep_taps { outputs } else { 4 }]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.window.kernel_h) * (1 + u64::from(self.window.kernel_w))
    }
    fn work(&self) -> Work {
        Work {
            operations: u64::from(self.window.out_pixels())
                * u64::from(self.window.taps())
                * u64::from(self.channels),
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let x = to_f64(buffers[0], self.window.in_pixels() * self.channels);
        let (y, argmax) = to_reference(&self.window, self.channels).max_pool_forward(&x);
        let taps = if self.keep_taps { argmax } else { buffers[2][..4].to_vec() };
        vec![relative(&y, 0.0), Expected::exact(taps)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(38);
    let mut case = |window: Window, channels: u32, codes: bool, keep_taps: bool| {
        let len = (window.in_pixels() * channels) as usize;
        // Few distinct values make equal maxima common.
        let x = if codes {
            to_words(&(0..len).map(|_| f64::from(random.word() >> 30) - 3.0).collect::<Vec<_>>())
        } else {
            random.floats(len, -2.0, 1.0)
        };
        let kernel = MaxPoolForward { window, channels, keep_taps };
        let label = format!("{window:?} channels {channels} codes {codes} keep taps {keep_taps}");
        let argmax = if keep_taps { vec![] } else { random.words(4) };
        Case::new(label, kernel, vec![x, vec![], argmax])
    };
    let mut cases: Vec<Case> = windows().into_iter().map(|window| case(window, 5, false, true)).collect();
    cases.extend(windows().into_iter().map(|window| case(window, 3, true, true)));
    cases.extend([65, 64].map(|channels| case(windows()[2], channels, true, true)));
    cases.extend(windows().into_iter().map(|window| case(window, 12, true, true)));
    cases.extend([3, 8].map(|channels| case(windows()[2], channels, true, false)));
    cases
}
