//! Which samples make a batch, and how each is shown: pure functions of (seed, epoch, sample).

mod colors;

use data::{Ahead, DataError, Split};
use graph::{Batch, Change, Input, InputSpec, Light, Selection, Session, Transform};
use recording::Executor;
use reference::random::{PERMUTATION_STREAM, permutation, philox4x32_10};
use serde::{Deserialize, Serialize};

use colors::Draws;

/// Fourth counter word of the augmentation draws, beside the streams that `reference` reserves.
pub const AUGMENT_STREAM: u32 = PERMUTATION_STREAM - 1;

/// Random changes of training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Images as they are.
    None,
    /// Mirrored left to right, half of the time.
    Flip,
    /// Shifted by up to `crop-padding` pixels each way, zeros outside; for pictures that a mirror would spoil.
    Crop,
    /// Mirrored half of the time, then shifted by up to `crop-padding` pixels each way, zeros outside.
    FlipCrop,
    /// As DoReFa-Net's authors did with SVHN: all bytes up to 30 brighter or darker, then each channel's contrast 0.5 to 1.5
    /// times as strong, on bytes from step to step.
    Svhn,
    /// As ImageNet's networks are trained: a random part of 8 to 100 % of the area, brightness, contrast, saturation and the
    /// principal colors in random order, mirrored half of the time.
    Alexnet,
}

impl Augment {
    /// What it changes besides mirror and crop.
    pub fn change(self) -> Change {
        match self {
            Self::Svhn => Change::Light,
            Self::Alexnet => Change::Color,
            _ => Change::None,
        }
    }
}

/// The training batches of one epoch.
pub struct Epoch {
    order: Vec<u32>,
    number: u32,
    seed: u64,
}

impl Epoch {
    /// The order of `len` samples in epoch `number` (from 0).
    pub fn new(seed: u64, number: u32, len: usize) -> Self {
        Self { order: permutation(seed, number, len), number, seed }
    }

    /// Sample indices of batch `step`.
    pub fn samples(&self, step: u32, batch_size: u32) -> &[u32] {
        let start = step as usize * batch_size as usize;
        &self.order[start..][..batch_size as usize]
    }

    /// How `sample` is shown in this epoch.
    pub fn transform(
        &self,
        sample: u32,
        augment: Augment,
        crop_padding: u32,
        input: &InputSpec,
    ) -> Transform {
        let mut transform = centered(input);
        if augment == Augment::None {
            return transform;
        }
        let key = [(self.seed & 0xFFFF_FFFF) as u32, (self.seed >> 32) as u32];
        if augment == Augment::Svhn {
            let words = philox4x32_10([sample, self.number, 1, AUGMENT_STREAM], key);
            // The offset is uniform in [-30, 30); of its sum with a byte, truncation keeps the floor.
            let offset = ((u64::from(words[0]) * 60) >> 32) as i32 - 30;
            // Uniform in [0.5, 1.5), in steps of 1/4096.
            transform.light = Light { offset, factor: 2048 + (words[1] >> 20) };
            return transform;
        }
        if augment == Augment::Alexnet {
            let draws = Draws::new([sample, self.number], key);
            (transform.flip, transform.color) = colors::alexnet(draws, input);
            return transform;
        }
        let words = philox4x32_10([sample, self.number, 0, AUGMENT_STREAM], key);
        transform.flip = augment != Augment::Crop && words[0] >> 31 == 1;
        if augment != Augment::Flip {
            transform.dy += shift(words[1], crop_padding);
            transform.dx += shift(words[2], crop_padding);
        }
        transform
    }
}

/// The middle of the resized image, not mirrored: how images are shown in evaluation.
pub fn centered(input: &InputSpec) -> Transform {
    let middle = |resized: u32, out: u32| (i64::from(resized) - i64::from(out)).div_euclid(2) as i32;
    Transform {
        flip: false,
        dy: middle(input.resize_height, input.out_height),
        dx: middle(input.resize_width, input.out_width),
        ..Transform::default()
    }
}

/// A number in `-padding..=padding` from a random word.
fn shift(word: u32, padding: u32) -> i32 {
    let choices = u64::from(padding) * 2 + 1;
    let chosen = (u64::from(word) * choices) >> 32;
    i32::try_from(chosen).expect("paddings are small") - i32::try_from(padding).expect("paddings are small")
}

/// A split of a data set, as a session gets at it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Images and labels.
    pub split: &'a Split,
    /// Position of the first image among those that the session holds; absent where batches bring their pixels.
    first: Option<u32>,
}

impl<'a> Source<'a> {
    /// For a session that holds `before` other images and then those of `split`, or none at all.
    pub fn new<E: Executor>(split: &'a Split, session: &Session<E>, before: usize) -> Self {
        let before = u32::try_from(before).expect("splits are below 2^32 samples");
        Self { split, first: (session.resident() > 0).then_some(before) }
    }
}

/// Puts batches together, in memory that is used again from batch to batch.
#[derive(Debug, Default)]
pub struct Assembly {
    pixels: Vec<u8>,
    pictures: Vec<u32>,
    labels: Vec<u32>,
    transforms: Vec<Transform>,
    ahead: Ahead,
}

impl Assembly {
    /// The batch of `samples`, each shown as `show` says. Images that are in files are decoded, then those of `next` ahead of
    /// the next call.
    ///
    /// # Errors
    /// An image that cannot be decoded.
    pub fn fill(
        &mut self,
        source: &Source<'_>,
        (samples, next): (&[u32], &[u32]),
        show: impl Fn(u32) -> Transform,
    ) -> Result<Input<'_>, DataError> {
        let Self { pixels, pictures, labels, transforms, ahead } = self;
        let split = source.split;
        labels.clear();
        labels.extend(samples.iter().map(|&sample| split.labels[sample as usize]));
        transforms.clear();
        transforms.extend(samples.iter().map(|&sample| show(sample)));
        if let Some(first) = source.first {
            pictures.clear();
            pictures.extend(samples.iter().map(|&sample| first + sample));
            return Ok(Input::from(&Selection { pictures, labels, transforms }));
        }
        match &split.files {
            Some(files) => *pixels = ahead.take(files, samples, next)?,
            None => {
                pixels.clear();
                samples.iter().for_each(|&sample| pixels.extend_from_slice(split.image(sample as usize)));
            }
        }
        Ok(Input::from(&Batch { pixels, labels, transforms }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> InputSpec {
        InputSpec {
            source_height: 32,
            source_width: 32,
            channels: 3,
            resize_height: 40,
            resize_width: 40,
            out_height: 40,
            out_width: 36,
        }
    }

    #[test]
    fn an_epoch_shows_every_sample_once_and_epochs_differ() {
        let epoch = Epoch::new(3, 0, 100);
        let mut seen: Vec<u32> = (0..10).flat_map(|step| epoch.samples(step, 10).to_vec()).collect();
        assert_ne!(seen, Epoch::new(3, 1, 100).order);
        assert_ne!(seen, Epoch::new(4, 0, 100).order);
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<u32>>());
    }

    #[test]
    fn transforms_depend_on_seed_epoch_and_sample_only() {
        let draw = |seed, number, sample| {
            Epoch::new(seed, number, 4).transform(sample, Augment::FlipCrop, 4, &input())
        };
        let key = |t: Transform| (t.flip, t.dy, t.dx);
        assert_eq!(key(draw(1, 2, 3)), key(draw(1, 2, 3)));
        let all: std::collections::BTreeSet<_> = (0..2000).map(|sample| key(draw(1, 2, sample))).collect();
        assert_eq!(all.len(), 2 * 9 * 9, "every flip and shift occurs");
        assert!(all.iter().all(|&(_, dy, dx)| (-4..=4).contains(&dy) && (-2..=6).contains(&dx)));
        let plain = Epoch::new(1, 2, 4).transform(3, Augment::None, 4, &input());
        assert_eq!(key(plain), (false, 0, 2));
        let shifted: std::collections::BTreeSet<_> =
            (0..2000).map(|s| key(Epoch::new(1, 2, 4).transform(s, Augment::Crop, 1, &input()))).collect();
        assert_eq!(shifted.len(), 9, "every shift, no mirror");
        let lit = |seed, number, sample| {
            let shown = Epoch::new(seed, number, 4).transform(sample, Augment::Svhn, 4, &input());
            assert_eq!(key(shown), (false, 0, 2));
            (shown.light.offset, shown.light.factor)
        };
        assert_eq!(lit(1, 2, 3), lit(1, 2, 3));
        assert!(lit(1, 2, 3) != lit(1, 3, 3) && lit(1, 2, 3) != lit(2, 2, 3));
        let lights: Vec<_> = (0..4000).map(|sample| lit(1, 2, sample)).collect();
        let offsets: std::collections::BTreeSet<i32> = lights.iter().map(|light| light.0).collect();
        assert!(offsets.into_iter().eq(-30..30));
        assert!(lights.iter().all(|light| (2048..6144).contains(&light.1)));
        let mean = lights.iter().map(|light| f64::from(light.1)).sum::<f64>() / 4000.0 / 4096.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let flips =
            (0..2000).filter(|&s| Epoch::new(9, 0, 1).transform(s, Augment::Flip, 4, &input()).flip).count();
        assert!((900..1100).contains(&flips), "{flips}");
    }
}
