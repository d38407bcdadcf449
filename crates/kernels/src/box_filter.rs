//! Mean over windows with zeros around the image. Numerics: `reference::binary::box_filter`. Shader:
//! `shaders/box_filter.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::binary::box_filter;

use crate::floats::{UNIT, to_f64};
use crate::unfold::geometries;
use crate::{Case, Entry, Mutation, Random, WORKGROUP, Window, groups_for};

/// Sums `x[in pixels]` over each window and divides by all its taps, `y[out pixels]`; taps outside the image count 0.
#[derive(Clone, Copy, Debug)]
pub struct BoxFilter {
    /// The window.
    pub window: Window,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "box_filter",
        source: Cow::Borrowed(include_str!("../../../shaders/box_filter.wgsl")),
        bindings: &[read("x"), write("y")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "taps outside",
            from: "if pixel != OUTSIDE {",
            to: "if pixel == OUTSIDE { sum += 1.0; } else {",
        },
        Mutation { rule: "number of taps", from: "params.factor * sum", to: "sum" },
        Mutation { rule: "last line of taps", from: "ky < params.kernel_h", to: "ky + 1u < params.kernel_h" },
        Mutation { rule: "last tap", from: "kx < params.kernel_w", to: "kx + 1u < params.kernel_w" },
        Mutation {
            rule: "last position",
            from: "index >= params.samples * params.out_height * params.out_width",
            to: "index + 1u >= params.samples * params.out_height * params.out_width",
        },
    ],
};

impl BoxFilter {
    fn factor(&self) -> f32 {
        1.0 / self.window.taps() as f32
    }
}

impl Kernel for BoxFilter {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let mut params = self.window.params();
        params.push(Param::f32("factor", self.factor()));
        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.window.out_pixels()))
    }
    fn lens(&self) -> Vec<u64> {
        vec![u64::from(self.window.in_pixels()), u64::from(self.window.out_pixels())]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.window.taps()) + u64::from(self.window.kernel_h)
    }
    fn work(&self) -> Work {
        let taps = u64::from(self.window.out_pixels()) * u64::from(self.window.taps());
        Work { operations: taps, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let conv = self.window.to_reference(1, 1);
        let x = to_f64(buffers[0], self.window.in_pixels());
        let sizes = box_filter(&x.iter().map(|x| x.abs()).collect::<Vec<_>>(), &conv);
        let units = f64::from(self.window.taps()) + 2.0;
        let bounds: Vec<f64> = sizes.iter().map(|size| units * UNIT * size).collect();
        vec![Expected::within(&box_filter(&x, &conv), &bounds)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(63);
    let one_channel = geometries().into_iter().map(Window::from);
    let mut case = |window: Window| {
        let Window { samples, height, width, kernel_h, kernel_w, stride, .. } = window;
        let x = random.floats(window.in_pixels() as usize, 0.1, 2.0);
        let label = format!("{samples}x{height}x{width} kernel {kernel_h}x{kernel_w} stride {stride}");
        Case::new(label, BoxFilter { window }, vec![x, vec![]])
    };
    one_channel.map(&mut case).collect()
}
