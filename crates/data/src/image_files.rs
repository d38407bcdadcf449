//! Images that stay in their files and are decoded when they are wanted, on several threads.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::error::DataError;
use crate::image_file::{decode, fit, middle};

/// Threads that decode at most.
const MOST_THREADS: usize = 8;

/// Files of images that become RGB of one size. Which is decoded, and by which thread, changes no byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFiles {
    /// One PNG or JPEG an image.
    pub(crate) paths: Vec<PathBuf>,
    /// Rows that images are brought to.
    pub(crate) height: u32,
    /// Columns that images are brought to.
    pub(crate) width: u32,
    /// Only the largest square in the middle of an image is kept.
    pub(crate) square: bool,
}

impl ImageFiles {
    /// Bytes of an image: height x width x 3.
    pub fn image_len(&self) -> usize {
        self.height as usize * self.width as usize * 3
    }

    /// Image `index` as `[H, W, 3]`.
    ///
    /// # Errors
    /// [`DataError`] names the file.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn decode(&self, index: u32) -> Result<Vec<u8>, DataError> {
        let image = decode(&self.paths[index as usize])?;
        let image = if self.square { middle(&image) } else { image };
        Ok(fit(image, self.height, self.width, 3))
    }

    /// The images `indices`, each by itself, in their order.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn decode_each(&self, indices: &[u32]) -> Vec<Result<Vec<u8>, DataError>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let part = indices.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let decode = |part: &[u32]| part.iter().map(|&index| self.decode(index)).collect::<Vec<_>>();
            let parts: Vec<_> = indices.chunks(part).map(|part| scope.spawn(move || decode(part))).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    }
}

type Decoded = Result<Vec<u8>, DataError>;

/// Decodes one batch ahead of the one that is worked on, and no more.
#[derive(Debug, Default)]
pub struct Ahead {
    pending: Option<(Vec<u32>, JoinHandle<Decoded>)>,
}

impl Ahead {
    /// The pixels of the images `now`, one behind the other. Meanwhile `next` are decoded, for the call after this one; where
    /// that asks for others, they were decoded in vain.
    ///
    /// # Errors
    /// The first image of `now` that cannot be used, whichever thread came first.
    pub fn take(&mut self, files: &Arc<ImageFiles>, now: &[u32], next: &[u32]) -> Decoded {
        let pending = self
            .pending
            .take()
            .map(|(indices, thread)| (indices, thread.join().unwrap_or_else(|panic| resume_unwind(panic))));
        let pixels = match pending {
            Some((indices, pixels)) if indices == now => pixels,
            _ => joined(files, now),
        }?;
        if !next.is_empty() {
            let (files, indices) = (files.clone(), next.to_vec());
            let thread = thread::spawn({
                let indices = indices.clone();
                move || joined(&files, &indices)
            });
            self.pending = Some((indices, thread));
        }
        Ok(pixels)
    }
}

fn joined(files: &ImageFiles, indices: &[u32]) -> Decoded {
    let mut pixels = Vec::with_capacity(indices.len() * files.image_len());
    for image in files.decode_each(indices) {
        pixels.extend(image?);
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    /// Twenty images of 2x1, of which 7 and 12 are none.
    fn files(folder: &std::path::Path) -> Arc<ImageFiles> {
        let path = |number: u8| folder.join(format!("{number}.png"));
        for number in 0..20 {
            RgbImage::from_fn(2, 1, |x, _| Rgb([number, x as u8, 9])).save(path(number)).unwrap();
        }
        [7, 12].iter().for_each(|&number| std::fs::write(path(number), "none").unwrap());
        Arc::new(ImageFiles { paths: (0..20).map(path).collect(), height: 1, width: 2, square: false })
    }

    #[test]
    fn images_come_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (files, mut ahead) = (files(folder.path()), Ahead::default());
        let wanted = |indices: &[u32]| -> Vec<u8> {
            indices.iter().flat_map(|&index| [index as u8, 0, 9, index as u8, 1, 9]).collect()
        };
        let batches: [&[u32]; 4] = [&[3, 19, 0, 3], &[5, 6, 4], &[1], &[18, 2, 2, 2, 17, 16, 15, 14, 13, 11]];
        for pair in batches.windows(2) {
            assert_eq!(ahead.take(&files, pair[0], pair[1]).unwrap(), wanted(pair[0]));
        }
        // What comes is not what was announced.
        assert_eq!(ahead.take(&files, &[9, 8], &[]).unwrap(), wanted(&[9, 8]));
        assert!(ahead.take(&files, &[], &[]).unwrap().is_empty());
    }

    #[test]
    fn the_first_bad_image_of_a_batch_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (files, mut ahead) = (files(folder.path()), Ahead::default());
        // A bad image of the next batch is no error of this one.
        assert!(ahead.take(&files, &[1, 2], &[0, 12, 3, 7]).is_ok());
        for _ in 0..2 {
            let error = ahead.take(&files, &[0, 12, 3, 7], &[0, 12, 3, 7]).unwrap_err().to_string();
            assert!(error.contains("12.png"), "{error}");
        }
    }
}
