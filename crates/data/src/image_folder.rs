//! Folders of images: `root/train/CLASS/*` and `root/test/CLASS/*` (or `root/val`), PNG or JPEG.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::files::is_folder;
use crate::image_file::{check_shape, decode};
use crate::image_files::ImageFiles;
use crate::open::Reading;

const CHANNELS: u32 = 3;
/// Images that are decoded before their pixels are put together.
const PORTION: u32 = 256;

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

impl Fit {
    /// Height and width that images are brought to where `wanted` is asked for in place of `own`.
    fn brought(self, own: [u32; 2], wanted: [u32; 2]) -> [u32; 2] {
        let can_be = match self {
            Self::First => true,
            Self::Exact(..) => is_within(wanted, own),
            Self::Square(_) => is_within(wanted, own) && wanted[0] == wanted[1],
        };
        if can_be { wanted } else { own }
    }
}

/// True where images of `own` size need not grow to become those of the size `wanted`.
pub(crate) fn is_within(wanted: [u32; 2], own: [u32; 2]) -> bool {
    (0..2).all(|axis| (1..=own[axis]).contains(&wanted[axis]))
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
/// or `.jpeg` are left out with a warning. Pixels are converted as [`crate::decode_image`] does. `size` is that of
/// [`crate::open_sized`].
///
/// # Errors
/// [`DataError`] where a folder is missing, there are fewer than two classes, a training class or the test split is
/// empty, the test split has a class that `train` has not, or an image cannot be used. Of a split that is not held in
/// memory images are only looked at here where bad ones are to be left out.
pub fn open(
    root: &Path,
    fit: Fit,
    reading: Reading,
    size: &mut dyn FnMut([u32; 3]) -> [u32; 2],
) -> Result<Dataset, DataError> {
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
    let own = match fit {
        Fit::First => first_size(&train, reading.bad)?,
        Fit::Exact(height, width) => [height, width],
        Fit::Square(side) => [side, side],
    };
    let [height, width] = fit.brought(own, size([own[0], own[1], CHANNELS]));
    check_shape(height, width, CHANNELS)?;
    let square = matches!(fit, Fit::Square(_));
    let mut reader = Reader { classes: &classes, square, height, width, reading, skipped: Vec::new() };
    let train = reader.read(&train)?;
    let test = reader.read(&test)?;
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
fn first_size(train: &[Class], bad: Bad) -> Result<[u32; 2], DataError> {
    let mut refused = None;
    for file in train.iter().flat_map(|class| &class.files) {
        match decode(file) {
            Ok(image) => return Ok([image.height(), image.width()]),
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
    square: bool,
    height: u32,
    width: u32,
    reading: Reading,
    /// Why images were left out.
    skipped: Vec<DataError>,
}

impl Reader<'_> {
    fn read(&mut self, folders: &[Class]) -> Result<Split, DataError> {
        let Self { square, height, width, .. } = *self;
        let paths: Vec<PathBuf> = folders.iter().flat_map(|class| &class.files).cloned().collect();
        let labels = folders.iter().flat_map(|folder| {
            let known = self.classes.iter().position(|class| *class == folder.name);
            let label = known.expect("strangers were refused") as u32;
            folder.files.iter().map(move |_| label)
        });
        let all = Split { labels: labels.collect(), ..Split::default() };
        let files = ImageFiles { paths, square, height, width };
        let bytes = (files.paths.len() as u64).saturating_mul(files.image_len() as u64);
        let stays = bytes > self.reading.in_memory;
        if stays && self.reading.bad == Bad::Refuse {
            return Ok(Split { files: Some(Arc::new(files)), ..all });
        }
        let (pixels, used) = self.decode(&files, !stays)?;
        check_used(folders, &used)?;
        let labels = used.iter().map(|&at| all.labels[at as usize]).collect();
        let files = stays.then(|| {
            let paths = used.iter().map(|&at| files.paths[at as usize].clone()).collect();
            Arc::new(ImageFiles { paths, ..files })
        });
        Ok(Split { pixels, labels, files })
    }

    /// The pixels of all images that can be used, if they are to be kept, and which those are.
    fn decode(&mut self, files: &ImageFiles, keep: bool) -> Result<(Vec<u8>, Vec<u32>), DataError> {
        let (mut pixels, mut used) = (Vec::new(), Vec::new());
        let count = u32::try_from(files.paths.len()).expect("fewer files than 2^32");
        for first in (0..count).step_by(PORTION as usize) {
            let portion: Vec<u32> = (first..count.min(first + PORTION)).collect();
            for (at, image) in portion.iter().zip(files.decode_each(&portion)) {
                match image {
                    Ok(image) => {
                        used.push(*at);
                        pixels.extend(image.iter().filter(|_| keep));
                    }
                    Err(error) if self.reading.bad == Bad::Skip && !error.is_io() => self.skipped.push(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((pixels, used))
    }

    fn warning(&self) -> Option<String> {
        let first = self.skipped.first()?;
        Some(format!("left out {} images that cannot be used; the first: {first}", self.skipped.len()))
    }
}

/// Refuses a class none of whose images can be used.
fn check_used(folders: &[Class], used: &[u32]) -> Result<(), DataError> {
    let mut first = 0;
    for folder in folders {
        let end = first + folder.files.len() as u32;
        let is_used = used.iter().any(|at| (first..end).contains(at));
        if !is_used && !folder.files.is_empty() {
            return Err(DataError::TooFew {
                path: folder.path.clone(),
                found: format!("has {} images, none of which can be used", folder.files.len()),
                wanted: "at least one PNG or JPEG that can be decoded".to_owned(),
            });
        }
        first = end;
    }
    Ok(())
}

#[cfg(test)]
#[path = "image_folder_tests.rs"]
mod tests;
