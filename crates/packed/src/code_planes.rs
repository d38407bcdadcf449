//! Codes as bits in words, and those under a window.

use crate::{
    bit_convolution::{BitConvolution, ROWS},
    check::Map,
    codes::Code,
    manifest::{CodeGroup, Planes},
};

/// Bits of a word.
pub const WORD: usize = 64;

/// Where a plane comes from.
#[derive(Clone, Debug)]
pub struct PlaneSource {
    /// The bit of the codes.
    bit: usize,
    /// The channels that it is of, `[group][word]`; none for all.
    channels: Option<Vec<u64>>,
}

impl PlaneSource {
    /// The planes of codes over maps of `of_group` channels a group: their bits, or those of every group of codes apart, to which
    /// channels belong by `of_channels`.
    pub fn of(code: &Code, of_channels: &[u8], of_group: usize) -> Vec<Self> {
        if !code.apart {
            return (0..code.bits as usize).map(|bit| Self { bit, channels: None }).collect();
        }
        let of_codes = |at: usize| -> Vec<u64> {
            let word = |groups: &[u8]| {
                let ones = groups.iter().enumerate().filter(|(_, group)| usize::from(**group) == at);
                ones.fold(0, |word, (bit, _)| word | 1 << bit)
            };
            of_channels.chunks(of_group).flat_map(|groups| groups.chunks(WORD).map(word)).collect()
        };
        let planes = |(at, group): (usize, &CodeGroup)| {
            let channels = Some(of_codes(at));
            (0..group.planes as usize).map(move |bit| Self { bit, channels: channels.clone() })
        };
        code.groups().iter().enumerate().flat_map(planes).collect()
    }
}

/// Codes as planes `[plane][row][column][group][word]` of the map with its padding, whose bits are 0, or 1 where codes are -1
/// and 1.
pub struct Layout {
    /// Rows and columns with the padding.
    height: usize,
    width: usize,
    groups: usize,
    inner: usize,
    /// Words of a group's channels.
    words: usize,
    planes: usize,
    outside: bool,
    input: Map,
    top: usize,
    left: usize,
    kernel: [usize; 2],
}

impl Layout {
    pub fn of(conv: &BitConvolution) -> Self {
        let [top, bottom, left, right] = conv.window.padding.map(|size| size as usize);
        let inner = conv.input.channels as usize / conv.groups;
        Self {
            height: conv.input.height as usize + top + bottom,
            width: conv.input.width as usize + left + right,
            groups: conv.groups,
            inner,
            words: inner.div_ceil(WORD),
            planes: conv.planes.len(),
            outside: conv.code.planes == Planes::Sign,
            input: conv.input,
            top,
            left,
            kernel: conv.window.kernel.map(|size| size as usize),
        }
    }

    fn plane_words(&self) -> usize {
        self.height * self.width * self.groups * self.words
    }

    /// Words of one plane of the codes under a window.
    pub fn patch_words(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.words
    }

    pub fn pack(&self, codes: &[u8], sources: &[PlaneSource], planes: &mut Vec<u64>) {
        planes.clear();
        planes.resize(self.planes * self.plane_words(), 0);
        if self.outside {
            let ones = |word: usize| u64::MAX >> (WORD - (self.inner - word * WORD).min(WORD));
            planes.chunks_exact_mut(self.words).for_each(|words| {
                words.iter_mut().enumerate().for_each(|(at, word)| *word = ones(at));
            });
        }
        let (channels, columns) = (self.input.channels as usize, self.input.width as usize);
        for (pixel, codes) in codes.chunks_exact(channels).enumerate() {
            let at = (pixel / columns + self.top) * self.width + pixel % columns + self.left;
            for (group, codes) in codes.chunks_exact(self.inner).enumerate() {
                for (word, codes) in codes.chunks(WORD).enumerate() {
                    let place = (at * self.groups + group) * self.words + word;
                    for (plane, source) in sources.iter().enumerate() {
                        let kept =
                            source.channels.as_ref().map_or(u64::MAX, |kept| kept[group * self.words + word]);
                        planes[plane * self.plane_words() + place] = plane_word(codes, source.bit) & kept;
                    }
                }
            }
        }
    }

    /// Copies the words under the window of a row to column `at` of the patch; returns their ones.
    #[inline(always)]
    pub fn gather(
        &self,
        conv: &BitConvolution,
        planes: &[u64],
        (pixel, plane, group): (usize, usize, usize),
        patch: &mut [[u64; ROWS]],
        at: usize,
    ) -> u64 {
        let stride = conv.window.stride as usize;
        let y = pixel / conv.output.width as usize * stride;
        let x = pixel % conv.output.width as usize * stride;
        let mut ones = 0;
        let pixel_words = self.groups * self.words;
        for (ky, line) in patch.chunks_exact_mut(self.kernel[1] * self.words).enumerate() {
            let first = plane * self.plane_words() + ((y + ky) * self.width + x) * pixel_words;
            if self.groups == 1 {
                for (word, source) in line.iter_mut().zip(&planes[first..][..self.kernel[1] * self.words]) {
                    word[at] = *source;
                    ones += u64::from(source.count_ones());
                }
                continue;
            }
            for (kx, words) in line.chunks_exact_mut(self.words).enumerate() {
                let source = &planes[first + kx * pixel_words + group * self.words..][..self.words];
                for (word, source) in words.iter_mut().zip(source) {
                    word[at] = *source;
                    ones += u64::from(source.count_ones());
                }
            }
        }
        ones
    }
}

/// Bit `plane` of up to 64 codes, the first in the lowest bit.
#[inline(always)]
fn plane_word(codes: &[u8], plane: usize) -> u64 {
    // One multiplication moves the lowest bits of eight bytes side by side.
    const EVERY: u64 = 0x0101_0101_0101_0101;
    const MOVE: u64 = 0x0102_0408_1020_4080;
    let (eights, rest) = codes.as_chunks::<8>();
    let mut word = 0;
    for (at, eight) in eights.iter().enumerate() {
        let bits = u64::from_le_bytes(*eight) >> plane & EVERY;
        word |= (bits.wrapping_mul(MOVE) >> 56) << (8 * at);
    }
    for (at, code) in rest.iter().enumerate() {
        word |= u64::from(code >> plane & 1) << (8 * eights.len() + at);
    }
    word
}
