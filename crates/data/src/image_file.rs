//! One PNG or JPEG, decoded under limits.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{
    DynamicImage, GenericImageView, ImageBuffer, ImageError, ImageFormat, ImageReader, Limits, Luma, Pixel,
    Rgb,
};

use crate::error::DataError;
use crate::files::read_file;

/// Largest width and height.
pub(crate) const SIDE_LIMIT: u32 = 16_384;
/// Largest sum of the decoder's allocations.
const ALLOC_LIMIT: u64 = 512 << 20;
/// Largest file.
const FILE_LIMIT: u64 = 256 << 20;

/// Decodes a PNG or JPEG to `[height, width, channels]` bytes, row-major.
///
/// The format is recognized by content. 16-bit values are scaled to 8 bits, an alpha channel is dropped, gray becomes
/// three equal channels, CMYK becomes RGB by the product of what each ink leaves, and color becomes gray by the luma weights of Rec. 709 where `channels` is 1; an orientation
/// tag is not applied. Then the image is resized with a triangle filter (linear between pixels, averaging where it
/// shrinks), each axis on its own.
///
/// # Errors
/// [`DataError`] where the shape cannot be made, the file is missing or unreadable, is no PNG or JPEG, is damaged, or
/// is larger than 16,384 in either direction or 512 MiB decoded.
pub fn decode_image(path: &Path, height: u32, width: u32, channels: u32) -> Result<Vec<u8>, DataError> {
    check_shape(height, width, channels)?;
    Ok(fit(decode(path)?, height, width, channels))
}

/// Refuses a shape that no image can be brought to.
pub(crate) fn check_shape(height: u32, width: u32, channels: u32) -> Result<(), DataError> {
    let sides = 1..=SIDE_LIMIT;
    if sides.contains(&height) && sides.contains(&width) && matches!(channels, 1 | 3) {
        return Ok(());
    }
    Err(DataError::BadShape { height, width, channels, limit: SIDE_LIMIT })
}

/// Decodes a file in its own size and colors.
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let bad = |reason: String| DataError::BadImage { path: path.to_owned(), reason };
    let bytes = read_file(path, "a PNG or JPEG image", FILE_LIMIT)?;
    if bytes.is_empty() {
        return Err(bad("the file is empty".to_owned()));
    }
    let format = match image::guess_format(&bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        _ => return Err(bad("its content is neither".to_owned())),
    };
    // The decoder fills what is missing of a cut JPEG with gray, so the end is looked for here.
    if format == ImageFormat::Jpeg && !jpeg_has_end(&bytes) {
        return Err(bad("it is truncated".to_owned()));
    }
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_LIMIT);
    limits.max_image_height = Some(SIDE_LIMIT);
    limits.max_alloc = Some(ALLOC_LIMIT);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => DataError::TooLarge {
            path: path.to_owned(),
            what: "the decoded image".to_owned(),
            limit: format!("{SIDE_LIMIT} pixels a side or {} MiB", ALLOC_LIMIT >> 20),
        },
        error => bad(error.to_string()),
    })
}

/// As [`decode_image`], of the largest square in the middle alone.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_middle(path: &Path, side: u32, channels: u32) -> Result<Vec<u8>, DataError> {
    check_shape(side, side, channels)?;
    Ok(fit(middle(&decode(path)?), side, side, channels))
}

/// Converts to `channels` channels, then resizes; the shape has passed [`check_shape`].
pub(crate) fn fit(image: DynamicImage, height: u32, width: u32, channels: u32) -> Vec<u8> {
    match channels {
        1 => in_size(image.into_luma8(), height, width),
        _ => in_size(image.into_rgb8(), height, width),
    }
}

fn in_size<P: Pixel<Subpixel = u8> + 'static>(
    image: ImageBuffer<P, Vec<u8>>,
    height: u32,
    width: u32,
) -> Vec<u8> {
    match image.dimensions() == (width, height) {
        true => image.into_raw(),
        false => resized(&image, height, width),
    }
}

fn resized<P: Pixel<Subpixel = u8> + 'static>(
    image: &impl GenericImageView<Pixel = P>,
    height: u32,
    width: u32,
) -> Vec<u8> {
    imageops::resize(image, width, height, FilterType::Triangle).into_raw()
}

/// Image `[height, width, channels]` in another size, by the filter of [`decode_image`]; the shape has passed [`check_shape`].
pub(crate) fn resize_bytes(pixels: &[u8], from: [u32; 3], [height, width]: [u32; 2]) -> Vec<u8> {
    let [rows, columns, channels] = from;
    let whole = "an image of its shape";
    match channels {
        1 => {
            let image = ImageBuffer::<Luma<u8>, _>::from_raw(columns, rows, pixels).expect(whole);
            resized(&image, height, width)
        }
        _ => {
            let image = ImageBuffer::<Rgb<u8>, _>::from_raw(columns, rows, pixels).expect(whole);
            resized(&image, height, width)
        }
    }
}

/// The largest square in the middle.
pub(crate) fn middle(image: &DynamicImage) -> DynamicImage {
    let side = image.height().min(image.width());
    image.crop_imm((image.width() - side) / 2, (image.height() - side) / 2, side, side)
}

/// True where an end-of-image marker follows the last start of scan. Inside a scan every 0xff of data is followed by a
/// zero, so neither marker can be data.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    matches!((last(0xda), last(0xd9)), (Some(scan), Some(end)) if scan < end)
}

#[cfg(test)]
#[path = "image_file_tests.rs"]
mod tests;
