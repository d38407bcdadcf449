//! Folders with what people have in them.

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;

/// In the folder's own size.
fn open(root: &Path, fit: Fit, reading: Reading) -> Result<Dataset, DataError> {
    super::open(root, fit, reading, &mut |[height, width, _]| [height, width])
}
use crate::files::SPLIT_LIMIT;

const SKIP: Reading = Reading { bad: Bad::Skip, in_memory: SPLIT_LIMIT };

fn put(dir: &TempDir, name: &str, width: u32, height: u32, color: [u8; 3]) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let format = image::ImageFormat::Png;
    RgbImage::from_pixel(width, height, Rgb(color)).save_with_format(path, format).unwrap();
}

fn read(root: &Path) -> Result<Dataset, DataError> {
    open(root, Fit::First, Reading::default())
}

/// Classes ant, bee; the first image of ant is 3 wide and 2 high.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "train/bee/0.JPEG", 6, 4, [0, 0, 30]);
    put(&dir, "train/ant/2.png", 1, 1, [20, 0, 0]);
    put(&dir, "train/ant/1.png", 3, 2, [10, 0, 0]);
    put(&dir, "val/bee/x.jpg", 3, 2, [7, 8, 9]);
    dir
}

#[test]
fn sorted_classes_and_first_size() {
    let dir = folder();
    let set = read(dir.path()).unwrap();
    assert_eq!(set.classes, ["ant", "bee"]);
    assert_eq!((set.height, set.width, set.channels), (2, 3, 3));
    assert_eq!((set.train.labels.as_slice(), set.test.labels.as_slice()), (&[0, 0, 1][..], &[1][..]));
    assert_eq!(set.train.image(0), [10, 0, 0].repeat(6));
    assert_eq!(set.train.image(1), [20, 0, 0].repeat(6));
    assert_eq!(set.train.image(2), [0, 0, 30].repeat(6));
    assert_eq!(set.test.image(0), [7, 8, 9].repeat(6));
    let set = open(dir.path(), Fit::Exact(5, 4), Reading::default()).unwrap();
    assert_eq!((set.height, set.width, set.test.pixels.len()), (5, 4, 60));
    assert!(set.warnings.is_empty());
}

#[test]
fn test_goes_before_val() {
    let dir = folder();
    put(&dir, "test/ant/y.png", 1, 1, [0, 0, 0]);
    assert_eq!(read(dir.path()).unwrap().test.labels, [0]);
}

#[test]
fn other_files_are_counted_and_hidden_ones_passed_over() {
    let dir = folder();
    for name in ["train/ant/notes.txt", "train/loose.png", "train/ant/.DS_Store"] {
        fs::write(dir.path().join(name), "text").unwrap();
    }
    fs::create_dir(dir.path().join("train/bee/deeper")).unwrap();
    let set = read(dir.path()).unwrap();
    assert_eq!((set.train.len(), set.warnings.len()), (3, 1));
    assert!(set.warnings[0].contains("left out 3 entries"), "{}", set.warnings[0]);
}

#[test]
fn missing_parts_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = |dir: &TempDir| read(dir.path()).unwrap_err().to_string();
    let error = read(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
    assert!(text(&dir).contains("train does not exist"));
    fs::create_dir(dir.path().join("train")).unwrap();
    assert!(text(&dir).contains("test does not exist"));
    fs::create_dir(dir.path().join("test")).unwrap();
    assert!(text(&dir).contains("has 0 class folders"));
    put(&dir, "train/ant/1.png", 1, 1, [0; 3]);
    assert!(text(&dir).contains("has 1 class folders"));
    fs::create_dir(dir.path().join("train/bee")).unwrap();
    assert!(text(&dir).contains("bee has no images"));
    put(&dir, "train/bee/1.png", 1, 1, [0; 3]);
    assert!(text(&dir).contains("test has no images"));
    put(&dir, "test/cat/1.png", 1, 1, [0; 3]);
    assert!(text(&dir).contains("cat: ") && text(&dir).contains("no class of this name"));
}

#[test]
fn broken_images_are_named() {
    let dir = folder();
    fs::write(dir.path().join("train/bee/1.png"), b"").unwrap();
    let error = read(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::BadImage { .. }) && !error.is_io(), "{error}");
    assert!(error.to_string().contains("1.png cannot be used as an image: the file is empty"), "{error}");
}

#[test]
fn broken_images_are_left_out_where_that_is_asked_for() {
    let dir = folder();
    let whole = read(dir.path()).unwrap();
    // The first of all gives no size then; nothing else changes.
    fs::write(dir.path().join("train/ant/0.png"), b"").unwrap();
    fs::write(dir.path().join("val/bee/y.png"), b"no image").unwrap();
    let set = open(dir.path(), Fit::First, SKIP).unwrap();
    assert_eq!((&set.train, &set.test), (&whole.train, &whole.test));
    assert_eq!(set.warnings.len(), 1);
    let words = ["left out 2 images", "ant", "0.png", "empty"];
    assert!(words.iter().all(|word| set.warnings[0].contains(word)), "{}", set.warnings[0]);
    fs::write(dir.path().join("train/bee/0.JPEG"), b"x").unwrap();
    let error = open(dir.path(), Fit::First, SKIP).unwrap_err().to_string();
    assert!(error.contains("bee has 1 images, none of which can be used"), "{error}");
}

#[test]
fn squares_are_the_middle() {
    let dir = folder();
    // Six columns by two rows: the middle two columns.
    let stripes = RgbImage::from_fn(6, 2, |x, y| Rgb([x as u8, y as u8, 0]));
    let format = image::ImageFormat::Png;
    stripes.save_with_format(dir.path().join("train/ant/1.png"), format).unwrap();
    // Two columns by five rows: rows 1 and 2.
    let tall = RgbImage::from_fn(2, 5, |x, y| Rgb([x as u8, y as u8, 0]));
    tall.save_with_format(dir.path().join("train/ant/2.png"), format).unwrap();
    let set = open(dir.path(), Fit::Square(2), Reading::default()).unwrap();
    assert_eq!((set.height, set.width), (2, 2));
    assert_eq!(set.train.image(0), &[2, 0, 0, 3, 0, 0, 2, 1, 0, 3, 1, 0]);
    assert_eq!(set.train.image(1), &[0, 1, 0, 1, 1, 0, 0, 2, 0, 1, 2, 0]);
    // And resized.
    let set = open(dir.path(), Fit::Square(4), Reading::default()).unwrap();
    assert_eq!(set.train.image(0)[..12], [2, 0, 0, 2, 0, 0, 3, 0, 0, 3, 0, 0]);
}

#[test]
fn sizes_have_bounds() {
    let dir = folder();
    let sized = |fit: Fit, size| {
        let set = super::open(dir.path(), fit, Reading::default(), &mut |_| size).unwrap();
        assert_eq!(set.train.pixels.len(), set.train.len() * set.image_len());
        [set.height, set.width]
    };
    assert_eq!(sized(Fit::First, [3, 2]), [3, 2]);
    assert_eq!(sized(Fit::First, [30, 20]), [30, 20], "images of a folder have all sizes");
    assert_eq!(sized(Fit::Square(6), [3, 3]), [3, 3]);
    assert_eq!(sized(Fit::Square(6), [3, 4]), [6, 6], "no square");
    assert_eq!(sized(Fit::Square(6), [7, 7]), [6, 6], "larger");
    assert!(open(dir.path(), Fit::Exact(0, 4), Reading::default()).unwrap_err().is_usage());
}

/// Every image of a split, one behind the other.
fn all(split: &Split) -> Vec<u8> {
    let mut pixels = Vec::new();
    (0..split.len()).for_each(|index| split.read(index, &mut pixels).unwrap());
    pixels
}

#[test]
fn large_splits_stay_in_their_files() {
    let dir = folder();
    let whole = read(dir.path()).unwrap();
    // Three training images of 18 bytes do not fit, the test image does.
    let part = Reading { in_memory: 53, ..Reading::default() };
    let set = open(dir.path(), Fit::First, part).unwrap();
    assert!(set.train.pixels.is_empty() && set.train.files.is_some());
    assert_eq!((set.test.pixels.len(), &set.test.files), (18, &None));
    assert_eq!((&set.train.labels, all(&set.train)), (&whole.train.labels, all(&whole.train)));
    assert_eq!(open(dir.path(), Fit::First, Reading { in_memory: 54, ..part }).unwrap(), whole);
    let squares = |reading| all(&open(dir.path(), Fit::Square(5), reading).unwrap().train);
    assert_eq!(squares(part), squares(Reading::default()));

    // Nothing is decoded before it is wanted, unless bad images are to be left out.
    fs::write(dir.path().join("train/ant/2.png"), b"no image").unwrap();
    let set = open(dir.path(), Fit::First, part).unwrap();
    assert_eq!(set.train.len(), 3);
    let error = set.train.read(1, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("2.png") && set.train.read(2, &mut Vec::new()).is_ok(), "{error}");
    let skip = Reading { bad: Bad::Skip, in_memory: 17 };
    let set = open(dir.path(), Fit::First, skip).unwrap();
    assert_eq!((set.train.labels.as_slice(), all(&set.train).len()), (&[0, 1][..], 36));
    assert!(set.warnings[0].contains("left out 1 images"), "{:?}", set.warnings);
    fs::write(dir.path().join("train/ant/1.png"), b"no image").unwrap();
    let error = open(dir.path(), Fit::Exact(2, 3), skip).unwrap_err().to_string();
    assert!(error.contains("ant has 2 images, none of which can be used"), "{error}");
}
