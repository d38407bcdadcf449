//! Integer accumulators to pooled activation codes. Numerics: `reference::threshold`. Shader:
//! `shaders/threshold_pack.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::{quantize::levels, threshold::ChannelThresholds};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, Window, groups_for, quads::vec4, words_for};

/// Turns `accumulators[in pixels][channels]` into `planes[bits][out pixels][words]`: the code of an accumulator is the
/// number of its channel's thresholds that it passes, and of each window the largest code is kept.
///
/// `thresholds[1 + n][channels]` begins with the directions: 1 where a threshold `t` is passed at `v >= t`, 0 where it is
/// passed at `v < t`; row k holds what code k needs. A channel passes its thresholds in the order of their codes. A
/// window of one tap does not pool.
#[derive(Clone, Copy, Debug)]
pub struct ThresholdPack {
    /// The pool.
    pub window: Window,
    /// Channels.
    pub channels: u32,
    /// Planes, 1 to 8.
    pub bits: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "threshold_pack",
        source: Cow::Borrowed(include_str!("../../../shaders/threshold_pack.wgsl")),
        bindings: &[read("accumulators"), read("thresholds"), write("planes")],
    },
    cases,
    mutations: &[
        Mutation { rule: "passed at the threshold", from: "(v >= t{{ level }})", to: "(v > t{{ level }})" },
        Mutation { rule: "threshold of a code", from: "(v >= threshold_of(", to: "(v > threshold_of(" },
        Mutation { rule: "direction of passing", from: ") == ascending)", to: "))" },
        Mutation { rule: "direction of pooling", from: "quad) ^ flip", to: "quad)" },
        Mutation { rule: "largest tap", from: "max(best, v)", to: "v" },
        Mutation { rule: "padding", from: "select(best, max(best, v), vec4(inside))", to: "max(best, v)" },
        Mutation { rule: "window outside the image", from: " & vec4(found{{ i }})", to: "" },
        Mutation { rule: "last channels of a row", from: "exists & ", to: "" },
        Mutation { rule: "first level", from: "range(1, 2 ** BITS)", to: "range(2, 2 ** BITS)" },
        Mutation { rule: "first plane", from: "(BITS) | reverse", to: "(1, BITS) | reverse" },
        Mutation { rule: "place of a channel", from: "bits.z << 2u", to: "bits.z << 3u" },
        Mutation { rule: "pixels past the end", from: "} < pixels {", to: "} <= pixels {" },
        Mutation { rule: "next window", from: "next_field(field{{ i - 1 }})", to: "field_of(pixel0)" },
    ],
};

impl ThresholdPack {
    /// Output pixels of one invocation.
    fn pixels(&self) -> u32 {
        match self.window.taps() {
            1 => 4,
            2..=4 => 2,
            _ => 1,
        }
    }

    fn words(&self) -> u64 {
        u64::from(self.window.out_pixels()) * u64::from(words_for(self.channels))
    }
}

impl Kernel for ThresholdPack {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let mut params = self.window.params();
        params.push(Param::u32("channels", self.channels));
        params
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn template(&self) -> Vec<Constant> {
        vec![
            Constant::new("BITS", self.bits),
            Constant::new("KERNEL_H", self.window.kernel_h),
            Constant::new("KERNEL_W", self.window.kernel_w),
            Constant::new("PIXELS", self.pixels()),
            Constant::new("VEC4", vec4(self.channels)),
            // Beyond three planes a search loads fewer of the thresholds.
            Constant::new("ALL_LOADED", u32::from(self.bits <= 3)),
        ]
    }
    fn workgroups(&self) -> u64 {
        let blocks = self.window.out_pixels().div_ceil(self.pixels());
        groups_for(u64::from(blocks) * u64::from(words_for(self.channels)))
    }
    fn lens(&self) -> Vec<u64> {
        let channels = u64::from(self.channels);
        let accumulators = u64::from(self.window.in_pixels()) * channels;
        vec![accumulators, channels * (1 + u64::from(levels(self.bits))), u64::from(self.bits) * self.words()]
    }
    fn loop_trips(&self) -> u64 {
        8
    }
    fn work(&self) -> Work {
        let codes = u64::from(self.window.out_pixels()) * u64::from(self.channels);
        let operations = codes * u64::from(self.window.taps() + levels(self.bits));
        Work { operations, bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let channels = self.channels as usize;
        let column = |channel: usize| buffers[1][channel..].iter().step_by(channels);
        let table: Vec<ChannelThresholds> = (0..channels)
            .map(|channel| ChannelThresholds {
                ascending: buffers[1][channel] != 0,
                thresholds: column(channel)
                    .take(1 + levels(self.bits) as usize)
                    .skip(1)
                    .map(|t| t.cast_signed())
                    .collect(),
            })
            .collect();
        let accumulators = buffers[0][..self.lens()[0] as usize].iter().enumerate();
        let codes: Vec<i64> = accumulators
            .map(|(i, v)| i64::from(table[i % channels].apply(i64::from(v.cast_signed()))))
            .collect();
        // Taps in the padding unfold to code 0, which no maximum notices.
        let unfolded = self.window.to_reference(self.channels, 1).unfold(&codes);
        let taps = self.window.taps() as usize;
        let pooled: Vec<u32> = (0..self.window.out_pixels() as usize * channels)
            .map(|i| {
                let row = &unfolded[i / channels * taps * channels..][..taps * channels];
                row.iter().skip(i % channels).step_by(channels).fold(0, |max, &code| max.max(code)) as u32
            })
            .collect();
        let rows = self.window.out_pixels() as usize;
        vec![Expected::exact(reference::bits::pack(&pooled, rows, channels, self.bits))]
    }
}

fn cases() -> Vec<Case> {
    let none = |samples, height, width| Window {
        samples,
        height,
        width,
        kernel_h: 1,
        kernel_w: 1,
        stride: 1,
        pad_top: 0,
        pad_left: 0,
        out_height: height,
        out_width: width,
    };
    let mut random = Random::new(11);
    let mut case = |window: Window, channels: u32, bits: u32| {
        let n = levels(bits);
        // Values from a range of a few times n, so that many meet a threshold exactly.
        let mut near = |words: u32, low: i32| (low + (random.word() % words) as i32).cast_unsigned();
        let accumulators =
            (0..window.in_pixels() * channels).map(|_| near(4 * n + 9, -(2 * n as i32) - 4)).collect();
        let mut thresholds = vec![0; (channels * (1 + n)) as usize];
        for channel in 0..channels {
            let mut levels: Vec<i32> =
                (0..n).map(|_| near(2 * n + 3, -(n as i32) - 1).cast_signed()).collect();
            levels.sort_unstable();
            let ascending = channel % 3 != 1;
            if !ascending {
                levels.reverse();
            }
            match channel {
                7 | 9 => levels.fill(i32::MIN),
                8 | 10 => levels.fill(i32::MAX),
                _ => {}
            }
            let words = levels.into_iter().map(i32::cast_unsigned);
            for (row, word) in [u32::from(ascending)].into_iter().chain(words).enumerate() {
                thresholds[row * channels as usize + channel as usize] = word;
            }
        }
        let label = format!("{window:?} channels {channels} bits {bits}");
        let kernel = ThresholdPack { window, channels, bits };
        Case::new(label, kernel, vec![accumulators, thresholds, vec![]])
    };
    let mut cases = Vec::new();
    for (samples, height, width, channels) in [
        (1, 1, 1, 1),
        (1, 1, 1, 31),
        (2, 3, 1, 32),
        (1, 2, 5, 33),
        (3, 7, 3, 5),
        (1, 1, 1, 4099),
        (13, 5, 3, 2),
    ] {
        cases.push(case(none(samples, height, width), channels, 2));
    }
    let two = Window { kernel_h: 2, kernel_w: 2, stride: 2, out_height: 3, out_width: 4, ..none(2, 6, 8) };
    let same = Window { kernel_h: 3, kernel_w: 3, stride: 2, out_height: 4, out_width: 3, ..none(2, 7, 6) };
    let same = Window { pad_top: 1, ..same };
    let wide = Window { kernel_h: 1, kernel_w: 5, pad_left: 2, ..none(1, 3, 7) };
    let tall = Window { kernel_h: 4, kernel_w: 2, pad_top: 2, pad_left: 1, stride: 3, ..none(1, 9, 8) };
    let tall = Window { out_height: 3, out_width: 3, ..tall };
    let apart = Window { pad_left: 2, kernel_w: 2, out_width: 4, ..none(2, 3, 3) };
    cases.extend([two, same, wide, tall, apart].map(|window| case(window, 37, 3)));
    cases.extend((1..=8).map(|bits| case(two, 11, bits)));
    cases.extend((1..=8).map(|bits| case(same, 36, bits)));
    cases.extend((1..=8).map(|bits| case(none(1, 2, 3), 34, bits)));
    cases
}
