//! How the kernels that gather patches of packed rows divide their work. Shader side: `shaders/shared/unfold.wgsl`.

use recording::Constant;
use reference::conv::Conv2d;

use crate::{Window, tiling::widest, words_for};

/// Most source words that an invocation holds in registers for one row of all taps, and for one line of taps.
const ROW_WORDS: u32 = 40;
const LINE_WORDS: u32 = 128;

/// What one invocation gathers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    window: Window,
    channels: u32,
}

impl Gather {
    pub(crate) fn new(window: Window, channels: u32) -> Self {
        Self { window, channels }
    }

    fn row_words(&self) -> u32 {
        words_for(self.window.taps() * self.channels)
    }

    /// Lines of taps of an invocation: all, or one where lines fill whole vectors of words, or none where the shader
    /// walks over words instead.
    fn lines(&self) -> u32 {
        let line = self.window.kernel_w * self.channels.div_ceil(32);
        if line * self.window.kernel_h <= ROW_WORDS {
            self.window.kernel_h
        } else if line <= LINE_WORDS && (self.window.kernel_w * self.channels).is_multiple_of(128) {
            1
        } else {
            0
        }
    }

    /// Words that an invocation walks over, at most 8: its divisions serve all of them, and equal runs keep all lanes
    /// busy.
    pub(crate) fn run(&self) -> u32 {
        let words = self.row_words();
        words.div_ceil(words.div_ceil(8))
    }

    /// Invocations of a row.
    pub(crate) fn runs(&self) -> u32 {
        match self.lines() {
            0 => self.row_words().div_ceil(self.run()),
            lines => self.window.kernel_h / lines,
        }
    }

    pub(crate) fn template(&self) -> Vec<Constant> {
        let lines = self.lines();
        if lines == 0 {
            let values = [("LINES", 0), ("SOURCE_VECTOR", 1), ("VECTOR", 1)];
            let unused = ["KERNEL_W", "CHANNELS", "SOURCE_WORDS", "RUNS", "WORDS"].map(|name| (name, 0));
            return values
                .into_iter()
                .chain(unused)
                .map(|(name, value)| Constant::new(name, value))
                .collect();
        }
        let (source, words) = (words_for(self.channels), self.row_words() / self.runs());
        vec![
            Constant::new("LINES", lines),
            Constant::new("KERNEL_W", self.window.kernel_w),
            Constant::new("CHANNELS", self.channels),
            Constant::new("RUNS", self.runs()),
            Constant::new("SOURCE_WORDS", source),
            Constant::new("SOURCE_VECTOR", widest(source)),
            Constant::new("WORDS", words),
            Constant::new("VECTOR", widest(words)),
        ]
    }

    /// Upper bound of the loop iterations of an invocation on `bits` planes.
    pub(crate) fn loop_trips(&self, bits: u32) -> u64 {
        match self.lines() {
            0 => u64::from(self.run()) * (1 + 32 * (1 + u64::from(bits)) + u64::from(bits)),
            _ => u64::from(bits),
        }
    }
}

/// Geometries with strides 1 to 3, even and odd kernels, both paddings, and channel counts far below and around the word;
/// rows gathered whole, line by line and word by word.
pub(crate) fn geometries() -> Vec<Conv2d> {
    vec![
        Conv2d::same([1, 1, 1, 1], [1, 1], 1, 1),
        Conv2d::same([2, 5, 4, 1], [3, 3], 1, 1),
        Conv2d::same([2, 6, 5, 1], [5, 5], 1, 2),
        Conv2d::same([2, 5, 4, 3], [3, 3], 3, 2),
        Conv2d::valid([2, 6, 7, 5], [5, 5], 5, 1),
        Conv2d::same([2, 4, 5, 6], [3, 3], 6, 1),
        Conv2d::valid([1, 5, 6, 12], [2, 2], 12, 3),
        Conv2d::same([2, 5, 3, 16], [3, 3], 16, 1),
        Conv2d::valid([2, 5, 6, 16], [1, 1], 16, 2),
        Conv2d::same([2, 5, 5, 31], [2, 3], 31, 2),
        Conv2d::same([1, 6, 7, 32], [5, 5], 32, 2),
        Conv2d::valid([3, 7, 7, 33], [3, 3], 33, 2),
        Conv2d::valid([2, 7, 5, 48], [5, 5], 48, 1),
        Conv2d::same([2, 5, 4, 48], [3, 3], 48, 1),
        Conv2d::same([2, 4, 3, 64], [3, 3], 64, 1),
        Conv2d::same([1, 5, 4, 128], [3, 3], 128, 2),
        Conv2d::same([1, 7, 7, 97], [2, 2], 97, 3),
        Conv2d::same([1, 4, 5, 96], [3, 4], 96, 1),
        Conv2d::valid([5, 1, 1, 1031], [1, 1], 1031, 1),
        Conv2d::valid([1, 5, 5, 64], [5, 5], 64, 1),
        Conv2d::same([2, 4, 3, 256], [3, 3], 256, 2),
        Conv2d::valid([1, 6, 5, 512], [5, 5], 512, 1),
        Conv2d::same([1, 3, 4, 150], [3, 3], 150, 2),
    ]
}
