//! One PNG or JPEG, decoded under limits.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};

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
    let same = (image.height(), image.width()) == (height, width);
    let filter = FilterType::Triangle;
    match (channels, same) {
        (1, true) => image.into_luma8().into_raw(),
        (1, false) => imageops::resize(&image.into_luma8(), width, height, filter).into_raw(),
        (_, true) => image.into_rgb8().into_raw(),
        (_, false) => imageops::resize(&image.into_rgb8(), width, height, filter).into_raw(),
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
mod tests {
    use std::fs;

    use image::{GrayAlphaImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage};

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn decode_bytes(bytes: &[u8], shape: [u32; 3]) -> Result<Vec<u8>, DataError> {
        let dir = tempfile::tempdir().unwrap();
        // The name says nothing about the format.
        let path = dir.path().join("image.dat");
        fs::write(&path, bytes).unwrap();
        decode_image(&path, shape[0], shape[1], shape[2])
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 20) as u8, (y * 30) as u8, 77]))
    }

    #[test]
    fn golden_pixels_in_row_major_order() {
        let pixels = decode_bytes(&encoded(gradient(5, 3), ImageFormat::Png), [3, 5, 3]).unwrap();
        assert_eq!(pixels.len(), 45);
        assert_eq!(&pixels[(2 * 5 + 4) * 3..], &[80, 60, 77]);
        assert_eq!(&pixels[(5 + 3) * 3..][..3], &[60, 30, 77]);
    }

    #[test]
    fn conversions_are_as_documented() {
        let gray16 = ImageBuffer::from_raw(2, 1, vec![0x8000u16, 0xffff]).unwrap();
        let gray16: DynamicImage = DynamicImage::ImageLuma16(gray16 as ImageBuffer<Luma<u16>, _>);
        let bytes = encoded(gray16, ImageFormat::Png);
        assert_eq!(decode_bytes(&bytes, [1, 2, 3]).unwrap(), [128, 128, 128, 255, 255, 255]);
        assert_eq!(decode_bytes(&bytes, [1, 2, 1]).unwrap(), [128, 255]);
        let alpha = GrayAlphaImage::from_pixel(1, 1, LumaA([90, 3]));
        assert_eq!(decode_bytes(&encoded(alpha, ImageFormat::Png), [1, 1, 3]).unwrap(), [90; 3]);
        let with_alpha = image::RgbaImage::from_pixel(1, 1, image::Rgba([9, 8, 7, 0]));
        assert_eq!(decode_bytes(&encoded(with_alpha, ImageFormat::Png), [1, 1, 3]).unwrap(), [9, 8, 7]);
        let deep = ImageBuffer::from_raw(1, 1, vec![0x00ffu16, 0x0180, 0xff00, 7]).unwrap();
        let deep = DynamicImage::ImageRgba16(deep as ImageBuffer<image::Rgba<u16>, _>);
        assert_eq!(decode_bytes(&encoded(deep, ImageFormat::Png), [1, 1, 3]).unwrap(), [1, 1, 254]);
        let green = RgbImage::from_pixel(1, 1, Rgb([0, 255, 0]));
        assert_eq!(decode_bytes(&encoded(green, ImageFormat::Png), [1, 1, 1]).unwrap(), [182]);
    }

    /// Eight columns of inks 0, 128, 255, 0 and eight of 64, 0, 0, 128, as another program writes them.
    #[test]
    fn inks_become_colors() {
        let bytes = include_bytes!("../testdata/cmyk.jpg");
        let pixels = decode_bytes(bytes, [8, 16, 3]).unwrap();
        let wanted = [[255, 127, 0], [95, 127, 127]];
        for (at, pixel) in pixels.chunks_exact(3).enumerate().filter(|(at, _)| !(6..10).contains(&(at % 16)))
        {
            let wanted: [u8; 3] = wanted[usize::from(at % 16 >= 8)];
            let is_near = pixel.iter().zip(wanted).all(|(&found, wanted)| found.abs_diff(wanted) <= 3);
            assert!(is_near, "pixel {at} is {pixel:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn resizing_averages_and_interpolates() {
        let halves = RgbImage::from_fn(4, 4, |x, _| Rgb([if x < 2 { 0 } else { 200 }; 3]));
        let bytes = encoded(halves, ImageFormat::Png);
        assert_eq!(decode_bytes(&bytes, [1, 1, 1]).unwrap(), [100]);
        let wide = decode_bytes(&bytes, [4, 8, 1]).unwrap();
        assert_eq!(&wide[..8], &[0, 0, 0, 50, 150, 200, 200, 200]);
    }

    #[test]
    fn jpeg_is_read_and_a_cut_one_refused() {
        let flat = RgbImage::from_pixel(64, 64, Rgb([200, 200, 200]));
        let bytes = encoded(flat, ImageFormat::Jpeg);
        let pixels = decode_bytes(&bytes, [2, 2, 3]).unwrap();
        assert!(pixels.iter().all(|&value| value.abs_diff(200) <= 2), "{pixels:?}");
        for cut in 0..bytes.len() {
            assert!(decode_bytes(&bytes[..cut], [2, 2, 3]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_cut_png_is_refused() {
        let bytes = encoded(gradient(9, 9), ImageFormat::Png);
        let data_end = bytes.windows(4).rposition(|word| word == b"IEND").unwrap() - 8;
        for cut in 0..data_end {
            assert!(decode_bytes(&bytes[..cut], [2, 2, 3]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn bombs_and_strangers_are_refused() {
        let mut png = encoded(gradient(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&65_535u32.to_be_bytes());
        png[20..24].copy_from_slice(&65_535u32.to_be_bytes());
        let sum = crc(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        let error = decode_bytes(&png, [1, 1, 3]).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
        let mut jpeg = encoded(gradient(8, 8), ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
        let error = decode_bytes(&jpeg, [1, 1, 3]).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
        // Small in memory, but one side is beyond the limit.
        let wide = encoded(RgbImage::new(SIDE_LIMIT + 1, 1), ImageFormat::Png);
        assert!(matches!(decode_bytes(&wide, [1, 1, 3]), Err(DataError::TooLarge { .. })));
        assert!(decode_bytes(&encoded(RgbImage::new(SIDE_LIMIT, 1), ImageFormat::Png), [1, 1, 3]).is_ok());
        for bytes in [&b""[..], b"GIF89a..........", b"plain text", b"\x89PNG\r\n\x1a\n"] {
            let error = decode_bytes(bytes, [1, 1, 3]).unwrap_err();
            assert!(matches!(error, DataError::BadImage { .. }), "{error}");
        }
    }

    #[test]
    fn missing_files_folders_and_shapes() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("no\nne.png");
        let error = decode_image(&none, 1, 1, 3).unwrap_err();
        assert!(
            matches!(error, DataError::Missing { .. }) && error.to_string().contains("no\\nne"),
            "{error}"
        );
        assert!(matches!(decode_image(dir.path(), 1, 1, 3), Err(DataError::WrongType { .. })));
        for [height, width, channels] in [[0, 1, 3], [1, 0, 3], [1, 16_385, 3], [1, 1, 2], [1, 1, 4]] {
            assert!(decode_image(&none, height, width, channels).unwrap_err().is_usage());
        }
    }

    /// CRC-32 of a PNG chunk.
    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }
}
