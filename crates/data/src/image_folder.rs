//! Folders of images: `root/train/CLASS/*` and `root/test/CLASS/*` (or `root/val`), PNG or JPEG.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::files::{SPLIT_LIMIT, is_folder};
use crate::image_file::{check_shape, decode, fit};

const CHANNELS: u32 = 3;

/// Reads all images as RGB, resized to `size` (height, width) or, where that is `None`, to the size of the first
/// training image. Classes are the folders of `train`, sorted by name, images in the order of their names; `test`
/// goes before `val` where both exist. Hidden files are passed over; other files that are not named `.png`, `.jpg`
/// or `.jpeg` are left out with a warning. Pixels are converted as [`crate::decode_image`] does.
///
/// # Errors
/// [`DataError`] where a folder is missing, there are fewer than two classes, a training class or the test split is
/// empty, the test split has a class that `train` has not, an image cannot be used, or a split takes over 4 GiB.
pub fn open(root: &Path, size: Option<(u32, u32)>) -> Result<Dataset, DataError> {
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
    let (height, width) = match size {
        Some(size) => size,
        None => {
            let first = decode(&train[0].files[0])?;
            (first.height(), first.width())
        }
    };
    check_shape(height, width, CHANNELS)?;
    Ok(Dataset {
        name: "folder".to_owned(),
        train: read(&train_root, &train, &classes, height, width)?,
        test: read(&test_root, &test, &classes, height, width)?,
        classes,
        height,
        width,
        channels: CHANNELS,
        warnings,
    })
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

fn read(
    root: &Path,
    folders: &[Class],
    classes: &[String],
    height: u32,
    width: u32,
) -> Result<Split, DataError> {
    let count = folders.iter().map(|class| class.files.len() as u64).sum::<u64>();
    let image = u64::from(height) * u64::from(width) * u64::from(CHANNELS);
    if count.checked_mul(image).is_none_or(|bytes| bytes > SPLIT_LIMIT) {
        return Err(DataError::TooLarge {
            path: root.to_owned(),
            what: format!("its {count} images of {height}x{width}"),
            limit: format!("{SPLIT_LIMIT} bytes"),
        });
    }
    let mut split = Split::default();
    for folder in folders {
        let label = classes.iter().position(|class| *class == folder.name).expect("strangers were refused");
        for file in &folder.files {
            split.pixels.extend(fit(decode(file)?, height, width, CHANNELS));
            split.labels.push(label as u32);
        }
    }
    Ok(split)
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
        let set = open(dir.path(), None).unwrap();
        assert_eq!(set.classes, ["ant", "bee"]);
        assert_eq!((set.height, set.width, set.channels), (2, 3, 3));
        assert_eq!((set.train.labels.as_slice(), set.test.labels.as_slice()), (&[0, 0, 1][..], &[1][..]));
        assert_eq!(set.train.image(0), [10, 0, 0].repeat(6));
        assert_eq!(set.train.image(1), [20, 0, 0].repeat(6));
        assert_eq!(set.train.image(2), [0, 0, 30].repeat(6));
        assert_eq!(set.test.image(0), [7, 8, 9].repeat(6));
        let set = open(dir.path(), Some((5, 4))).unwrap();
        assert_eq!((set.height, set.width, set.test.pixels.len()), (5, 4, 60));
        assert!(set.warnings.is_empty());
    }

    #[test]
    fn test_goes_before_val() {
        let dir = folder();
        put(&dir, "test/ant/y.png", 1, 1, [0, 0, 0]);
        assert_eq!(open(dir.path(), None).unwrap().test.labels, [0]);
    }

    #[test]
    fn other_files_are_counted_and_hidden_ones_passed_over() {
        let dir = folder();
        for name in ["train/ant/notes.txt", "train/loose.png", "train/ant/.DS_Store"] {
            fs::write(dir.path().join(name), "text").unwrap();
        }
        fs::create_dir(dir.path().join("train/bee/deeper")).unwrap();
        let set = open(dir.path(), None).unwrap();
        assert_eq!((set.train.len(), set.warnings.len()), (3, 1));
        assert!(set.warnings[0].contains("left out 3 entries"), "{}", set.warnings[0]);
    }

    #[test]
    fn missing_parts_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = |dir: &TempDir| open(dir.path(), None).unwrap_err().to_string();
        let error = open(&dir.path().join("none"), None).unwrap_err();
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
        let error = open(dir.path(), None).unwrap_err();
        assert!(matches!(error, DataError::BadImage { .. }) && !error.is_io(), "{error}");
        assert!(error.to_string().contains("1.png cannot be used as an image: the file is empty"), "{error}");
    }

    #[test]
    fn sizes_have_bounds() {
        let dir = folder();
        assert!(open(dir.path(), Some((0, 4))).unwrap_err().is_usage());
        put(&dir, "train/ant/3.png", 1, 1, [0; 3]);
        put(&dir, "train/ant/4.png", 1, 1, [0; 3]);
        put(&dir, "train/ant/5.png", 1, 1, [0; 3]);
        // Six images of 805 MB: refused before the first is made.
        let error = open(dir.path(), Some((16_384, 16_384))).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
    }
}
