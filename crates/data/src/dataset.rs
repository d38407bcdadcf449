use std::sync::Arc;

use crate::error::DataError;
use crate::image_file::resize_bytes;
use crate::image_files::ImageFiles;

/// A set of images in two splits. All images have the same height, width and channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Short name of the set, such as `digits` or `cifar10`.
    pub name: String,
    /// Images to learn from.
    pub train: Split,
    /// Images to measure on; never seen in training.
    pub test: Split,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Rows of an image.
    pub height: u32,
    /// Columns of an image.
    pub width: u32,
    /// Values per pixel: 1 (gray) or 3 (red, green, blue).
    pub channels: u32,
    /// Remarks for the user about what was left out, such as a count of files that are no images.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Bytes of one image: height x width x channels.
    pub fn image_len(&self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// The same with every image, all of which are in memory, in this height and width.
    pub(crate) fn resized(self, size: [u32; 2]) -> Self {
        let from = [self.height, self.width, self.channels];
        let len = self.image_len();
        let resize = |split: Split| {
            let pixels = split.pixels.chunks_exact(len).flat_map(|image| resize_bytes(image, from, size));
            Split { pixels: pixels.collect(), ..split }
        };
        Self { train: resize(self.train), test: resize(self.test), height: size[0], width: size[1], ..self }
    }
}

/// Images and their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Values 0..=255, row-major `[N, H, W, C]`; none where the images stay in files.
    pub pixels: Vec<u8>,
    /// Class of each image, `[N]`, each below the number of classes.
    pub labels: Vec<u32>,
    /// Where the images are, if they are too many to be held in memory.
    pub files: Option<Arc<ImageFiles>>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True where there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Appends image `index`, `[H, W, C]`, to `pixels`.
    ///
    /// # Errors
    /// [`DataError`] names the file of an image that cannot be used.
    ///
    /// # Panics
    /// If `index` is not below [`Split::len`].
    pub fn read(&self, index: usize, pixels: &mut Vec<u8>) -> Result<(), DataError> {
        match &self.files {
            Some(files) => pixels.extend(files.decode(index as u32)?),
            None => pixels.extend_from_slice(self.image(index)),
        }
        Ok(())
    }

    /// Image `index` as `[H, W, C]`.
    ///
    /// # Panics
    /// If `index` is not below [`Split::len`], or images are not held in memory.
    pub fn image(&self, index: usize) -> &[u8] {
        assert!(index < self.len(), "image {index} of {}", self.len());
        let stride = self.pixels.len() / self.len();
        &self.pixels[index * stride..][..stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_a_slice_of_the_pixels() {
        let split = Split { pixels: (0..12).collect(), labels: vec![0, 1], ..Split::default() };
        assert_eq!(split.len(), 2);
        assert_eq!(split.image(1), &[6, 7, 8, 9, 10, 11]);
        assert!(Split::default().is_empty());
    }
}
