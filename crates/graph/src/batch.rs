//! Batches of pictures on their way to the device.

use kernels::ColorGather;

use crate::{Change, GraphError, SessionOptions, recorder::Chunk, session::InputSpec};

/// What happens to one picture after the resize: mirrored, then cut at an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transform {
    /// Mirrors left and right.
    pub flip: bool,
    /// First row of the crop; rows outside the picture are 0.
    pub dy: i32,
    /// First column of the crop.
    pub dx: i32,
    /// Brightness and contrast, in sessions with [`Change::Light`](crate::Change::Light).
    pub light: Light,
    /// Part and colors, in sessions with [`Change::Color`](crate::Change::Color), which know no offsets of a crop.
    pub color: Color,
}

/// A part of a picture in other colors, as [`reference::color::gather_colored`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    /// First row and column, height and width of the part; all of the picture where the height is 0.
    pub part: [u32; 4],
    /// What happens to the colors.
    pub steps: reference::color::ColorSteps,
}

impl Default for Color {
    /// The picture as it is.
    fn default() -> Self {
        Self { part: [0; 4], steps: reference::color::ColorSteps::PLAIN }
    }
}

/// Another brightness and contrast, as [`reference::image::gather_lit`] applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light {
    /// Added to every byte of the resized picture.
    pub offset: i32,
    /// The contrast's factor times 4,096.
    pub factor: u32,
}

impl Default for Light {
    /// The picture as it is.
    fn default() -> Self {
        Self { offset: 0, factor: 4096 }
    }
}

/// Pictures with labels.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[sample][row][column][channel]`.
    pub pixels: &'a [u8],
    /// One class per sample.
    pub labels: &'a [u32],
    /// One per sample, or empty for none.
    pub transforms: &'a [Transform],
}

/// Pictures that the session holds on its device, with labels.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Positions among the pictures that [`Session::load_pictures`](crate::Session::load_pictures) was given.
    pub pictures: &'a [u32],
    /// One class per sample.
    pub labels: &'a [u32],
    /// One per sample, or empty for none.
    pub transforms: &'a [Transform],
}

/// What a step or an evaluation works on: a [`Batch`] or a [`Selection`], as the session was built for.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) labels: &'a [u32],
    transforms: &'a [Transform],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Pixels(&'a [u8]),
    Pictures(&'a [u32]),
}

impl<'a> From<&Batch<'a>> for Input<'a> {
    fn from(batch: &Batch<'a>) -> Self {
        Self { source: Source::Pixels(batch.pixels), labels: batch.labels, transforms: batch.transforms }
    }
}

impl<'a> From<&Selection<'a>> for Input<'a> {
    fn from(selection: &Selection<'a>) -> Self {
        let Selection { pictures, labels, transforms } = *selection;
        Self { source: Source::Pictures(pictures), labels, transforms }
    }
}

impl Input<'_> {
    pub(crate) fn check(&self, options: &SessionOptions, classes: u32) -> Result<(), GraphError> {
        let (samples, batch_size) = (self.labels.len(), options.batch_size);
        let fail = |message: String| Err(GraphError::Batch { message });
        if samples == 0 || samples > batch_size as usize {
            return fail(format!("{samples} samples, the session takes 1 to {batch_size}"));
        }
        match (self.source, options.resident) {
            (Source::Pixels(pixels), 0) => {
                let bytes = samples * options.input.source_len() as usize;
                if pixels.len() != bytes {
                    return fail(format!("{} bytes of pixels, {samples} samples need {bytes}", pixels.len()));
                }
            }
            (Source::Pixels(_), _) => {
                return fail("pixels, but the session chooses among pictures that it holds".to_owned());
            }
            (Source::Pictures(pictures), held) => {
                if pictures.len() != samples {
                    return fail(format!("{} pictures for {samples} samples", pictures.len()));
                }
                if let Some(picture) = pictures.iter().find(|picture| **picture >= held) {
                    return fail(format!("picture {picture}, the session holds {held}"));
                }
            }
        }
        for transform in self.transforms.iter().filter(|_| options.change == Change::Color) {
            let [top, left, height, width] = transform.color.part.map(u64::from);
            let InputSpec { source_height, source_width, .. } = options.input;
            let fits = top + height <= source_height.into() && left + width <= source_width.into();
            if !fits || (height == 0) != (width == 0) {
                let part = transform.color.part;
                return fail(format!("part {part:?} of pictures of {source_height}x{source_width}"));
            }
        }
        if !self.transforms.is_empty() && self.transforms.len() != samples {
            return fail(format!("{} transforms for {samples} samples", self.transforms.len()));
        }
        match self.labels.iter().position(|&label| label >= classes) {
            Some(at) => {
                fail(format!("label {} of sample {at}, there are {classes} classes", self.labels[at]))
            }
            None => Ok(()),
        }
    }

    /// The samples that fall into `chunk`; fewer than it has where the batch is short.
    fn samples(&self, chunk: Chunk) -> std::ops::Range<usize> {
        let total = self.labels.len();
        let first = (chunk.first_sample as usize).min(total);
        first..(first + chunk.samples as usize).min(total)
    }

    /// The pixels of `chunk`, four a word, in place of `words`; none where the device has them.
    pub(crate) fn pixel_words(&self, chunk: Chunk, input: &InputSpec, words: &mut Vec<u32>) {
        words.clear();
        let Source::Pixels(pixels) = self.source else { return };
        let (size, samples) = (input.source_len() as usize, self.samples(chunk));
        pack(&pixels[samples.start * size..samples.end * size], words);
    }

    /// How each sample of `chunk` is shown, four words a sample: picture, mirror, offsets; in place of `words`. Samples past
    /// the end of a short batch show any picture.
    pub(crate) fn view_words(&self, chunk: Chunk, words: &mut Vec<u32>) {
        let first = self.samples(chunk).start;
        words.clear();
        for sample in 0..chunk.samples {
            let at = first + sample as usize;
            let picture = self.picture(at, sample);
            let Transform { flip, dy, dx, .. } = self.transforms.get(at).copied().unwrap_or_default();
            words.extend([picture, u32::from(flip), dy.cast_unsigned(), dx.cast_unsigned()]);
        }
    }

    /// What changes in each sample of `chunk`, [`Change::words`] a sample, in place of `words`.
    pub(crate) fn change_words(&self, chunk: Chunk, change: Change, input: &InputSpec, words: &mut Vec<u32>) {
        let first = self.samples(chunk).start;
        words.clear();
        for sample in 0..chunk.samples {
            let at = first + sample as usize;
            let Transform { flip, light, color, .. } = self.transforms.get(at).copied().unwrap_or_default();
            match change {
                Change::None => {}
                Change::Light => words.extend([light.offset.cast_unsigned(), light.factor]),
                Change::Color => {
                    let whole = [0, 0, input.source_height, input.source_width];
                    words.extend([self.picture(at, sample), u32::from(flip)]);
                    words.extend(if color.part[2] == 0 { whole } else { color.part });
                    words.extend(ColorGather::steps_words(&color.steps));
                }
            }
        }
    }

    /// Which picture sample `at` of the batch, `sample` of its chunk, shows.
    fn picture(&self, at: usize, sample: u32) -> u32 {
        match self.source {
            Source::Pixels(_) => sample,
            Source::Pictures(pictures) => pictures.get(at).copied().unwrap_or(0),
        }
    }

    /// The labels of `chunk` in place of `words`; samples past the end of a short batch have label 0.
    pub(crate) fn label_words(&self, chunk: Chunk, words: &mut Vec<u32>) {
        words.clear();
        words.extend(&self.labels[self.samples(chunk)]);
        words.resize(chunk.samples as usize, 0);
    }
}

/// Appends `bytes` four a word, the first lowest; what is missing of the last word is 0.
pub(crate) fn pack(bytes: &[u8], words: &mut Vec<u32>) {
    let whole = bytes.chunks_exact(4);
    let rest = whole.remainder();
    words.extend(whole.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    if !rest.is_empty() {
        words.push(rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)));
    }
}
