//! Folders of images: `root/train/CLASS/*` and `root/test/CLASS/*` (or `root/val`), PNG or JPEG.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use image::DynamicImage;

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::files::{SPLIT_LIMIT, is_folder};
use crate::image_file::{check_shape, decode, fit};

const CHANNELS: u32 = 3;

/// The size that images are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// That of the first training image; the others are resized to it, each axis on its own.
    First,
    /// This height and width, each axis on its own.
    Exact(u32, u32),
    /// A square of this side: the middle of the image as far as its shorter side goes, resized.
    Square(u32),
}

/// What an image that cannot be used does to the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bad {
    /// It is refused.
    #[default]
    Refuse,
    /// The image is left out, with a warning that counts such images.
    Skip,
}

/// Reads all images as RGB. Classes are the folders of `train`, sorted by name, images in the order of their names; `test`
/// goes before `val` where both exist. Hidden files are passed over; other files that are not named `.png`, `.jpg`
/// or `.jpeg` are left out with a warning. Pixels are converted as [`crate::decode_image`] does.
///
/// # Errors
/// [`DataError`] where a folder is missing, there are fewer than two classes, a training class or the test split is
/// empty, the test split has a class that `train` has not, an image cannot be used, or a split takes over 4 GiB.
pub fn open(root: &Path, fit: Fit, bad: Bad) -> Result<Dataset, DataError> {
    let wanted = "a folder with train/CLASS/*.png|jpg|jpeg and test/ or val/ alike";
    let missing = |path: PathBuf, wanted: &str| DataError::Missing { path, wanted: wanted.to_owned() };
    if !is_folder(root, wanted)? {
        return Err(missing(root.to_owned(), wanted));
    }
    let train_root = root.join("train");
    if !is_folder(&train_root, wanted)? {
        return Err(missing(train_root, "one folder of images per class in it"));
    }
    let mut test_root = root.join("test");
    if !is_folder(&test_root, wanted)? {
        test_root = root.join("val");
        if !is_folder(&test_root, wanted)? {
            return Err(missing(
                root.join("test"),
                "this folder or val, with one folder of images per class",
            ));
        }
    }
    let mut warnings = Vec::new();
    let train = list(&train_root, &mut warnings)?;
    let test = list(&test_root, &mut warnings)?;
    let classes: Vec<String> = train.iter().map(|class| class.name.clone()).collect();
    check(&train_root, &train, &test_root, &test)?;
    let (height, width) = match fit {
        Fit::First => first_size(&train, bad)?,
        Fit::Exact(height, width) => (height, width),
        Fit::Square(side) => (side, side),
    };
    check_shape(height, width, CHANNELS)?;
    let mut reader = Reader { classes: &classes, fit, height, width, bad, skipped: Vec::new() };
    let train = reader.read(&train_root, &train)?;
    let test = reader.read(&test_root, &test)?;
    warnings.extend(reader.warning());
    Ok(Dataset {
        name: "folder".to_owned(),
        train,
        test,
        classes,
        height,
        width,
        channels: CHANNELS,
        warnings,
    })
}

/// Height and width of the first training image, or of the first that can be used.
fn first_size(train: &[Class], bad: Bad) -> Result<(u32, u32), DataError> {
    let mut refused = None;
    for file in train.iter().flat_map(|class| &class.files) {
        match decode(file) {
            Ok(image) => return Ok((image.height(), image.width())),
            Err(error) if bad == Bad::Skip && !error.is_io() => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.expect("classes without files were refused"))
}

/// A class folder and its images, sorted by name.
struct Class {
    name: String,
    path: PathBuf,
    files: Vec<PathBuf>,
}

fn list(root: &Path, warnings: &mut Vec<String>) -> Result<Vec<Class>, DataError> {
    let mut classes = Vec::new();
    let mut skipped = 0;
    for path in entries(root)? {
        // Links are followed: sets made of links to images are usual.
        if !path.is_dir() {
            skipped += 1;
            continue;
        }
        let Some(name) = path.file_name().and_then(OsStr::to_str).map(str::to_owned) else {
            return Err(DataError::BadNames { path, reason: "the name of a class must be UTF-8".to_owned() });
        };
        let (files, others): (Vec<_>, Vec<_>) =
            entries(&path)?.into_iter().partition(|file| is_image_name(file));
        skipped += others.len();
        classes.push(Class { name, path, files });
    }
    if skipped > 0 {
        let root = crate::printable(&root.display().to_string());
        warnings.push(format!("{root}: left out {skipped} entries that are not named .png, .jpg or .jpeg"));
    }
    Ok(classes)
}

/// The entries of a folder without hidden ones, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::Unreadable { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn check(train_root: &Path, train: &[Class], test_root: &Path, test: &[Class]) -> Result<(), DataError> {
    if train.len() < 2 {
        return Err(DataError::TooFew {
            path: train_root.to_owned(),
            found: format!("has {} class folders", train.len()),
            wanted: "at least two, each with its images".to_owned(),
        });
    }
    let images = ".png, .jpg or .jpeg files".to_owned();
    if let Some(empty) = train.iter().find(|class| class.files.is_empty()) {
        return Err(DataError::TooFew {
            path: empty.path.clone(),
            found: "has no images".to_owned(),
            wanted: images,
        });
    }
    if let Some(stranger) = test.iter().find(|class| train.iter().all(|known| known.name != class.name)) {
        return Err(DataError::BadNames {
            path: stranger.path.clone(),
            reason: format!("{} has no class of this name", train_root.display()),
        });
    }
    if test.iter().all(|class| class.files.is_empty()) {
        return Err(DataError::TooFew {
            path: test_root.to_owned(),
            found: "has no images in folders of classes".to_owned(),
            wanted: images,
        });
    }
    Ok(())
}

/// Reads the images of both splits in one size.
struct Reader<'a> {
    classes: &'a [String],
    fit: Fit,
    height: u32,
    width: u32,
    bad: Bad,
    /// Why images were left out.
    skipped: Vec<DataError>,
}

impl Reader<'_> {
    fn read(&mut self, root: &Path, folders: &[Class]) -> Result<Split, DataError> {
        let Self { height, width, .. } = *self;
        let count = folders.iter().map(|class| class.files.len() as u64).sum::<u64>();
        let image = u64::from(height) * u64::from(width) * u64::from(CHANNELS);
        if count.checked_mul(image).is_none_or(|bytes| bytes > SPLIT_LIMIT) {
            return Err(DataError::TooLarge {
                path: root.to_owned(),
                what: format!("its {count} images of {height}x{width}"),
                limit: format!("{SPLIT_LIMIT} bytes of memory; use fewer or smaller images"),
            });
        }
        let mut split = Split::default();
        for folder in folders {
            let known = self.classes.iter().position(|class| *class == folder.name);
            let label = known.expect("strangers were refused") as u32;
            let before = split.len();
            for file in &folder.files {
                match decode(file) {
                    Ok(image) => {
                        let image = if let Fit::Square(_) = self.fit { middle(&image) } else { image };
                        split.pixels.extend(fit(image, height, width, CHANNELS));
                        split.labels.push(label);
                    }
                    Err(error) if self.bad == Bad::Skip && !error.is_io() => self.skipped.push(error),
                    Err(error) => return Err(error),
                }
            }
            if split.len() == before && !folder.files.is_empty() {
                return Err(DataError::TooFew {
                    path: folder.path.clone(),
                    found: format!("has {} images, none of which can be used", folder.files.len()),
                    wanted: "at least one PNG or JPEG that can be decoded".to_owned(),
                });
            }
        }
        Ok(split)
    }

    fn warning(&self) -> Option<String> {
        let first = self.skipped.first()?;
        Some(format!("left out {} images that cannot be used; the first: {first}", self.skipped.len()))
    }
}

/// The largest square in the middle.
fn middle(image: &DynamicImage) -> DynamicImage {
    let side = image.height().min(image.width());
    image.crop_imm((image.width() - side) / 2, (image.height() - side) / 2, side, side)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use tempfile::TempDir;

    use super::*;

    fn put(dir: &TempDir, name: &str, width: u32, height: u32, color: [u8; 3]) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let format = image::ImageFormat::Png;
        RgbImage::from_pixel(width, height, Rgb(color)).save_with_format(path, format).unwrap();
    }

    fn read(root: &Path) -> Result<Dataset, DataError> {
        open(root, Fit::First, Bad::Refuse)
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
        let set = open(dir.path(), Fit::Exact(5, 4), Bad::Refuse).unwrap();
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
        let set = open(dir.path(), Fit::First, Bad::Skip).unwrap();
        assert_eq!((&set.train, &set.test), (&whole.train, &whole.test));
        assert_eq!(set.warnings.len(), 1);
        let words = ["left out 2 images", "ant", "0.png", "empty"];
        assert!(words.iter().all(|word| set.warnings[0].contains(word)), "{}", set.warnings[0]);
        fs::write(dir.path().join("train/bee/0.JPEG"), b"x").unwrap();
        let error = open(dir.path(), Fit::First, Bad::Skip).unwrap_err().to_string();
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
        let set = open(dir.path(), Fit::Square(2), Bad::Refuse).unwrap();
        assert_eq!((set.height, set.width), (2, 2));
        assert_eq!(set.train.image(0), &[2, 0, 0, 3, 0, 0, 2, 1, 0, 3, 1, 0]);
        assert_eq!(set.train.image(1), &[0, 1, 0, 1, 1, 0, 0, 2, 0, 1, 2, 0]);
        // And resized.
        let set = open(dir.path(), Fit::Square(4), Bad::Refuse).unwrap();
        assert_eq!(set.train.image(0)[..12], [2, 0, 0, 2, 0, 0, 3, 0, 0, 3, 0, 0]);
    }

    #[test]
    fn sizes_have_bounds() {
        let dir = folder();
        assert!(open(dir.path(), Fit::Exact(0, 4), Bad::Refuse).unwrap_err().is_usage());
        put(&dir, "train/ant/3.png", 1, 1, [0; 3]);
        put(&dir, "train/ant/4.png", 1, 1, [0; 3]);
        put(&dir, "train/ant/5.png", 1, 1, [0; 3]);
        // Six images of 805 MB: refused before the first is made.
        let error = open(dir.path(), Fit::Exact(16_384, 16_384), Bad::Refuse).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
    }
}
