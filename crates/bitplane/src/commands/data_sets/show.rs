//! `data show`: a contact sheet, one row of images a class.

use std::io::Cursor;

use data::{DataError, Dataset, Split};
use font8x8::legacy::BASIC_LEGACY;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

use crate::cli::{ShowArgs, SplitName};
use crate::exit::Failure;
use crate::output::{self, note, shown};
use crate::storage::{Disk, replace};

/// Space around images and names, in pixels.
const MARGIN: u32 = 4;
/// Side of a character.
const CHARACTER: u32 = 8;
/// Images are magnified by a whole number up to about this side, and shrunk to it where they are larger.
const SIDE: u32 = 96;
/// Characters of a name that are shown.
const NAME: usize = 20;
const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([0; 3]);

/// Writes the sheet.
///
/// # Errors
/// A refused set, a file that cannot be written.
pub fn run(args: &ShowArgs) -> Result<(), Failure> {
    let dataset = super::open(&args.data, args.skip_bad)?;
    let split = match args.split {
        SplitName::Train => &dataset.train,
        SplitName::Test => &dataset.test,
    };
    let classes = dataset.classes.len().min(args.rows as usize);
    if classes < dataset.classes.len() {
        note(&format!("showing the first {classes} of {} classes; see --rows", dataset.classes.len()));
    }
    let sheet = sheet(&dataset, split, classes, args.columns as usize)?;
    let mut bytes = Cursor::new(Vec::new());
    sheet.write_to(&mut bytes, ImageFormat::Png).expect("a sheet of this size is a PNG");
    let path = std::path::absolute(&args.output).unwrap_or_else(|_| args.output.clone());
    if path.file_name().is_none() || path.is_dir() {
        let message = format!("--output {} names no file", shown(&args.output));
        return Err(Failure::Usage { message });
    }
    replace(&Disk, &path, bytes.get_ref())?;
    output::result(&format!(
        "{} shows {classes} classes of {}",
        shown(&args.output),
        data::printable(&dataset.name)
    ))
}

/// The first `columns` images of each of the first `classes` classes, with the class's name and number of images.
fn sheet(dataset: &Dataset, split: &Split, classes: usize, columns: usize) -> Result<RgbImage, DataError> {
    let (height, width) = cell(dataset.height, dataset.width);
    let mut counts = vec![0u64; dataset.classes.len()];
    split.labels.iter().for_each(|&label| counts[label as usize] += 1);
    let names: Vec<String> = dataset.classes[..classes]
        .iter()
        .zip(&counts)
        .map(|(name, count)| format!("{} ({count})", shortened(name)))
        .collect();
    let longest = names.iter().map(String::len).max().unwrap_or(0) as u32;
    let left = longest * CHARACTER + 2 * MARGIN;
    let row = height.max(CHARACTER) + MARGIN;
    let mut sheet =
        RgbImage::from_pixel(left + columns as u32 * (width + MARGIN), classes as u32 * row + MARGIN, PAPER);
    for (class, name) in names.iter().enumerate() {
        let top = MARGIN + class as u32 * row;
        write_text(&mut sheet, name, MARGIN, top + (row - MARGIN - CHARACTER) / 2);
    }
    let mut filled = vec![0; classes];
    for (image, &label) in split.labels.iter().enumerate() {
        let class = label as usize;
        if class >= classes || filled[class] == columns {
            continue;
        }
        let mut pixels = Vec::new();
        split.read(image, &mut pixels)?;
        let picture = rgb(dataset, &pixels);
        // Small images keep their pixels as squares.
        let is_larger = (height, width) > (dataset.height, dataset.width);
        let filter = if is_larger { FilterType::Nearest } else { FilterType::Triangle };
        let picture = imageops::resize(&picture, width, height, filter);
        let x = left + filled[class] as u32 * (width + MARGIN);
        let y = MARGIN + class as u32 * row;
        imageops::replace(&mut sheet, &picture, i64::from(x), i64::from(y));
        filled[class] += 1;
    }
    Ok(sheet)
}

/// Height and width of an image on the sheet.
fn cell(height: u32, width: u32) -> (u32, u32) {
    let larger = height.max(width);
    if larger <= SIDE / 2 {
        let factor = (SIDE / 2 / larger).max(1);
        return (height * factor, width * factor);
    }
    if larger <= SIDE {
        return (height, width);
    }
    let scaled = |side: u32| ((u64::from(side) * u64::from(SIDE)).div_ceil(u64::from(larger))) as u32;
    (scaled(height), scaled(width))
}

fn rgb(dataset: &Dataset, pixels: &[u8]) -> RgbImage {
    let channels = dataset.channels as usize;
    RgbImage::from_fn(dataset.width, dataset.height, |x, y| {
        let at = (y * dataset.width + x) as usize * channels;
        let value = |channel: usize| pixels[at + channel.min(channels - 1)];
        Rgb([value(0), value(1), value(2)])
    })
}

/// A name of few characters that the font has.
fn shortened(name: &str) -> String {
    let known = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut text: String = name.chars().take(NAME).map(known).collect();
    if name.chars().count() > NAME {
        text.pop();
        text.push('~');
    }
    text
}

fn write_text(sheet: &mut RgbImage, text: &str, left: u32, top: u32) {
    for (at, c) in (0u32..).zip(text.bytes()) {
        for (y, bits) in (0u32..).zip(BASIC_LEGACY[usize::from(c & 127)]) {
            for x in (0..CHARACTER).filter(|x| bits >> x & 1 == 1) {
                sheet.put_pixel(left + at * CHARACTER + x, top + y, INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_the_row_of_their_class() {
        let split =
            Split { pixels: vec![10, 20, 30, 40, 50], labels: vec![1, 0, 1, 1, 2], ..Split::default() };
        let dataset = Dataset {
            name: "x".to_owned(),
            train: split.clone(),
            test: Split::default(),
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            height: 1,
            width: 1,
            channels: 1,
            warnings: Vec::new(),
        };
        let sheet = sheet(&dataset, &split, 2, 2).unwrap();
        // "b (3)" takes five characters; images are 48 pixels a side.
        let (left, row) = (5 * 8 + 8, 52);
        assert_eq!(sheet.dimensions(), (left + 2 * 52, 2 * row + 4));
        let at = |column: u32, class: u32| sheet.get_pixel(left + column * 52 + 20, 4 + class * row + 20).0;
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [[20; 3], [255; 3], [10; 3], [30; 3]]);
        let ink = sheet.enumerate_pixels().filter(|(x, _, pixel)| *x < left && **pixel == INK).count();
        assert!(ink > 40, "{ink} pixels of text");
    }

    #[test]
    fn cells_and_names_fit() {
        assert_eq!(
            [cell(8, 8), cell(32, 32), cell(60, 20), cell(375, 500)],
            [(48, 48), (32, 32), (60, 20), (72, 96)]
        );
        assert_eq!(cell(1, 16_384), (1, 96));
        assert_eq!(shortened("né\u{1b}"), "n??");
        assert_eq!(shortened(&"x".repeat(30)).len(), NAME);
    }
}
