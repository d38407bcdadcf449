//! What the kernels have in common that make inputs of pictures.

use recording::{Expected, Param};
use reference::image::PixelScale;

use crate::floats::UNIT;

/// Pictures that a source holds: `images` of them, the first of which has the number `first_image`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub first_image: u32,
    pub images: u32,
}

impl Held {
    /// The place of a picture in the source, where it is there.
    pub(crate) fn place_of(self, picture: u32) -> Option<usize> {
        let place = picture.wrapping_sub(self.first_image);
        (place < self.images).then_some(place as usize)
    }
}

/// The members with which the shaders' Params end.
pub(crate) fn params(held: Held, scale: &PixelScale) -> Vec<Param> {
    let subtract = ["subtract_0", "subtract_1", "subtract_2"].into_iter().zip(scale.subtract);
    let divide_by = ["divide_by_0", "divide_by_1", "divide_by_2"].into_iter().zip(scale.divide_by);
    let images = [Param::u32("first_image", held.first_image), Param::u32("images", held.images)];
    images.into_iter().chain(subtract.chain(divide_by).map(|(name, value)| Param::f32(name, value))).collect()
}

/// The bytes of words, as many as make whole images of `image_len`.
pub(crate) fn whole_images(words: &[u32], image_len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(bytes.len() - bytes.len() % image_len);
    bytes
}

/// What a gather makes of each of `samples` samples of `size` values, `channels` a pixel: those of `show`, or the words of
/// `before` where that has none. Before the scale a value has an error of `units` of its own size.
pub(crate) fn gathered(
    before: &[u32],
    (samples, size, channels): (usize, usize, usize),
    (scale, units): (&PixelScale, f64),
    show: impl Fn(usize) -> Option<Vec<f64>>,
) -> Expected {
    let (mut values, mut bounds, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..samples {
        let Some(shown) = show(sample) else {
            left.push(sample * size..(sample + 1) * size);
            values.resize(values.len() + size, 0.0);
            bounds.resize(bounds.len() + size, 0.0);
            continue;
        };
        bounds.extend(shown.iter().enumerate().map(|(at, value)| {
            // What was subtracted has the error of the value that it was subtracted from.
            let lost = scale.apply(0.0, at % channels).abs();
            // A difference and a quotient.
            UNIT * (units * (value.abs() + lost) + 4.0 * value.abs())
        }));
        values.extend(shown);
    }
    let mut expected = Expected::within(&values, &bounds);
    for range in left {
        expected.words[range.clone()].copy_from_slice(&before[range]);
    }
    expected
}
