//! From a picture of bytes to the values that the first layers read.

use crate::manifest::{Manifest, Preprocessing};

/// The two source positions beside the centre of a resized position, and the share of the second.
#[derive(Clone, Copy)]
struct Neighbors {
    first: usize,
    second: usize,
    share: f32,
}

impl Neighbors {
    /// The centre is `(position + 1/2) * size / resized - 1/2`; whole numbers keep its floor and its fraction exact.
    fn of(position: u32, size: u32, resized: u32) -> Self {
        let center = (2 * u64::from(position) + 1) * u64::from(size) + u64::from(resized);
        let double = 2 * u64::from(resized);
        let above = (center / double) as usize;
        let share = (center % double) as f32 / double as f32;
        Self { first: above.max(1) - 1, second: above.min(size as usize - 1), share }
    }

    fn blend(&self, first: f32, second: f32) -> f32 {
        first * (1.0 - self.share) + second * self.share
    }
}

/// Values `[row][column][channel]` of a picture, bilinear and in f32: across, then down, then scaled.
pub fn prepare(manifest: &Manifest, picture: &[u8], values: &mut Vec<f32>) {
    let scale = manifest.preprocessing;
    let Preprocessing { resize, crop, .. } = scale;
    let (size, channels) = ([manifest.image.height, manifest.image.width], manifest.image.channels as usize);
    values.clear();
    if resize == size && crop == size {
        // One table a channel.
        let scaled =
            |channel: usize| -> [f32; 256] { std::array::from_fn(|byte| scale.scaled(byte as f32, channel)) };
        let tables: Vec<[f32; 256]> = (0..channels).map(scaled).collect();
        for pixel in picture.chunks_exact(channels) {
            values.extend(pixel.iter().zip(&tables).map(|(&byte, table)| table[usize::from(byte)]));
        }
        return;
    }
    let black = (0..channels).map(|channel| scale.scaled(0.0, channel));
    let outside: Vec<f32> = black.collect();
    (0..crop[0] * crop[1]).for_each(|_| values.extend_from_slice(&outside));
    // Positions of the crop that lie in the resized picture, with their neighbors.
    let inside = |axis: usize| {
        let offset = (i64::from(resize[axis]) - i64::from(crop[axis])).div_euclid(2);
        let place = move |at: u32| {
            let resized = u32::try_from(i64::from(at) + offset).ok().filter(|&at| at < resize[axis]);
            resized.map(|resized| (at as usize, Neighbors::of(resized, size[axis], resize[axis])))
        };
        (0..crop[axis]).filter_map(place).collect::<Vec<_>>()
    };
    let columns = inside(1);
    let line = size[1] as usize * channels;
    for (y, down) in inside(0) {
        let [upper, lower] = [down.first, down.second].map(|row| &picture[row * line..][..line]);
        let row = &mut values[y * crop[1] as usize * channels..][..crop[1] as usize * channels];
        for &(x, across) in &columns {
            for (channel, value) in row[x * channels..][..channels].iter_mut().enumerate() {
                let [a, b] = [across.first, across.second].map(|column| column * channels + channel);
                let blend = |line: &[u8]| across.blend(f32::from(line[a]), f32::from(line[b]));
                *value = scale.scaled(down.blend(blend(upper), blend(lower)), channel);
            }
        }
    }
}
