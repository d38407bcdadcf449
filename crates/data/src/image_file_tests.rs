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
    for (at, pixel) in pixels.chunks_exact(3).enumerate().filter(|(at, _)| !(6..10).contains(&(at % 16))) {
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

/// A picture of fine structure and what Pillow 12 makes of it with `Image.resize((width, height), Image.BILINEAR)`.
#[test]
fn shrinking_averages_as_pillow_does() {
    let picture = |height: u32, width: u32| {
        let pixel = |x: u32, y: u32| [x * x + 3 * y, (x + y) % 2 * 255, x * 7 + y * y * 5];
        RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y).map(|value| value as u8)))
    };
    let check = |from: [u32; 2], to: [u32; 2], pillow: &[u8]| {
        let image = picture(from[0], from[1]);
        let found = fit(image.clone().into(), to[0], to[1], 3);
        let is_near = found.iter().zip(pillow).all(|(a, b)| a.abs_diff(*b) <= 1);
        assert!(is_near && found.len() == pillow.len(), "{from:?} to {to:?}: {found:?}");
        assert_eq!(found, resize_bytes(&image, [from[0], from[1], 3], to));
    };
    let both = [
        8, 127, 28, 27, 128, 49, 70, 127, 73, 136, 128, 97, 160, 127, 118, 17, 127, 109, 36, 128, 122, 79,
        127, 145, 145, 128, 141, 169, 127, 151, 27, 127, 132, 46, 128, 108, 89, 127, 130, 155, 128, 126, 179,
        127, 127, 36, 127, 145, 55, 128, 127, 98, 127, 106, 164, 128, 121, 142, 127, 134,
    ];
    check([13, 17], [4, 5], &both);
    let across = [
        3, 128, 9, 15, 128, 26, 6, 128, 14, 18, 128, 31, 9, 128, 29, 21, 128, 46, 12, 128, 54, 24, 128, 71,
        15, 128, 89, 27, 128, 106, 18, 128, 134, 30, 128, 151, 21, 128, 189, 33, 128, 206, 24, 128, 158, 36,
        128, 15, 27, 128, 73, 39, 128, 90,
    ];
    check([9, 6], [9, 2], &across);
    let more = [
        9, 127, 31, 27, 128, 53, 63, 128, 74, 19, 128, 119, 37, 128, 125, 73, 127, 146, 29, 127, 132, 47,
        128, 102, 83, 128, 123,
    ];
    check([11, 10], [3, 3], &more);
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
    assert!(matches!(error, DataError::Missing { .. }) && error.to_string().contains("no\\nne"), "{error}");
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
