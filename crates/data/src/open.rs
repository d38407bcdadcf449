use std::path::Path;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::files::SPLIT_LIMIT;
use crate::image_file::{decode_image, decode_middle};
use crate::image_folder::{self, Bad, Fit, is_within};
use crate::{cifar10, cifar100, digits, idx, svhn};

/// Every kind of data set, one line each.
const KINDS: &[Kind] = &[
    Kind { name: "digits", read: Read::Embedded(digits::load) },
    Kind { name: "idx", read: Read::Path(idx::open, "a folder with IDX files in the layout of MNIST") },
    Kind { name: "mnist", read: Read::Path(idx::open_mnist, "a folder with MNIST's four IDX files") },
    Kind {
        name: "fashion-mnist",
        read: Read::Path(idx::open_fashion_mnist, "a folder with Fashion-MNIST's four IDX files"),
    },
    Kind {
        name: "cifar10",
        read: Read::Path(cifar10::open, "the folder cifar-10-batches-bin or the binary version's .tar.gz"),
    },
    Kind {
        name: "cifar100",
        read: Read::Path(cifar100::open, "the folder cifar-100-binary or the binary version's .tar.gz"),
    },
    Kind { name: "svhn", read: Read::Path(svhn::open, "the folder with SVHN's *_32x32.mat") },
    Kind {
        name: "svhn-core",
        read: Read::Path(svhn::open_core, "the folder with SVHN's train_32x32.mat and test_32x32.mat"),
    },
    Kind {
        name: "folder",
        read: Read::Images(Fit::First, "a folder with train/CLASS/*.png|jpg|jpeg and test/ or val/ alike"),
    },
    Kind {
        name: "imagenet",
        read: Read::Images(Fit::Square(256), "a folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG"),
    },
];

struct Kind {
    name: &'static str,
    read: Read,
}

enum Read {
    Embedded(fn() -> Dataset),
    /// How images are brought to one size, and what the path must lead to.
    Images(Fit, &'static str),
    /// The reader, and what its path must lead to.
    Path(fn(&Path) -> Result<Dataset, DataError>, &'static str),
}

/// How folders of images are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What becomes of images that cannot be used.
    pub bad: Bad,
    /// Bytes of a split that are held in memory; the images of a larger one stay in their files and are decoded again and again.
    pub in_memory: u64,
}

impl Default for Reading {
    fn default() -> Self {
        Self { bad: Bad::Refuse, in_memory: SPLIT_LIMIT }
    }
}

/// How each known data set is written, such as `digits` or `cifar10:PATH`, for help texts.
pub fn known_specs() -> Vec<String> {
    KINDS
        .iter()
        .map(|kind| match kind.read {
            Read::Embedded(_) => kind.name.to_owned(),
            Read::Path(..) | Read::Images(..) => format!("{}:PATH", kind.name),
        })
        .collect()
}

/// Opens the data set that `spec` describes: `digits`, or `KIND:PATH` as [`known_specs`] lists them.
///
/// # Errors
/// [`DataError::UnknownKind`] lists the known kinds; the others say which file is missing or refused.
pub fn open(spec: &str) -> Result<Dataset, DataError> {
    open_with(spec, Reading::default())
}

/// The same; `reading` is about folders of images.
///
/// # Errors
/// As [`open`].
pub fn open_with(spec: &str, reading: Reading) -> Result<Dataset, DataError> {
    open_sized(spec, reading, &mut |[height, width, _]| [height, width])
}

/// The same with images in the height and width that `size` makes of the set's own height, width and channels, averaged where
/// they shrink as [`decode_image`] does. Images of a folder that are brought to the size of the first take any other; all
/// others only shrink, squares to squares, and stay as they are where `size` has something else.
///
/// # Errors
/// As [`open`].
pub fn open_sized(
    spec: &str,
    reading: Reading,
    size: &mut dyn FnMut([u32; 3]) -> [u32; 2],
) -> Result<Dataset, DataError> {
    let (name, path) = match spec.split_once(':') {
        Some((name, path)) => (name, Some(path)),
        None => (spec, None),
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        return Err(DataError::UnknownKind { kind: name.to_owned(), known: known_specs().join(", ") });
    };
    match (&kind.read, path) {
        (Read::Embedded(load), None) => Ok(shrunk(load(), size)),
        (Read::Embedded(_), Some(_)) => Err(DataError::PathRefused { kind: kind.name }),
        (Read::Path(read, _), Some(path)) if !path.is_empty() => {
            let set = read(Path::new(path)).map_err(|error| with_advice(error, kind.name))?;
            Ok(shrunk(set, size))
        }
        (Read::Images(fit, _), Some(path)) if !path.is_empty() => {
            let set = image_folder::open(Path::new(path), *fit, reading, size)?;
            Ok(Dataset { name: kind.name.to_owned(), ..set })
        }
        (Read::Path(_, wanted) | Read::Images(_, wanted), _) => {
            Err(DataError::PathNeeded { kind: kind.name, wanted })
        }
    }
}

/// A set in memory in the size that `size` wants, where that is smaller.
fn shrunk(set: Dataset, size: &mut dyn FnMut([u32; 3]) -> [u32; 2]) -> Dataset {
    let own = [set.height, set.width];
    let wanted = size([set.height, set.width, set.channels]);
    match wanted != own && is_within(wanted, own) {
        true => set.resized(wanted),
        false => set,
    }
}

/// Decodes an image as one of a data set of this kind is: for `imagenet` its middle, for others the whole, resized.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_as(kind: &str, path: &Path, [height, width, channels]: [u32; 3]) -> Result<Vec<u8>, DataError> {
    let is_square = |kind: &&Kind| matches!(kind.read, Read::Images(Fit::Square(_), _));
    match KINDS.iter().filter(is_square).any(|square| square.name == kind) && height == width {
        true => decode_middle(path, height, channels),
        false => decode_image(path, height, width, channels),
    }
}

/// Says how to get a public set of which something is missing.
fn with_advice(error: DataError, kind: &str) -> DataError {
    let set = match kind {
        "svhn-core" => "svhn",
        "svhn" | "cifar10" | "cifar100" | "mnist" | "fashion-mnist" => kind,
        _ => return error,
    };
    match error {
        DataError::Missing { path, wanted } => {
            DataError::Missing { path, wanted: format!("{wanted}; `bitplane data fetch {set}` gets the set") }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reaches_its_reader() {
        assert_eq!(open("digits").unwrap().train.len(), 1500);
        for kind in KINDS {
            let name = kind.name;
            if matches!(kind.read, Read::Embedded(_)) {
                assert!(open(&format!("{name}:x")).unwrap_err().is_usage());
                continue;
            }
            for spec in [name.to_owned(), format!("{name}:")] {
                let error = open(&spec).unwrap_err();
                assert!(matches!(error, DataError::PathNeeded { .. }) && error.is_usage(), "{error}");
            }
            // Only the first colon separates, so a drive letter stays in the path.
            let error = open(&format!("{name}:C:/none/of this")).unwrap_err();
            assert!(matches!(error, DataError::Missing { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("C:/none/of this"), "{text}");
            assert_eq!(text.contains("data fetch"), !["idx", "folder", "imagenet"].contains(&name), "{text}");
        }
    }

    #[test]
    fn a_picture_is_shown_as_those_of_its_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.png");
        image::RgbImage::from_fn(6, 2, |x, _| image::Rgb([40 * x as u8, 0, 0])).save(&path).unwrap();
        let red = |kind: &str| -> Vec<u8> {
            decode_as(kind, &path, [2, 2, 3]).unwrap().chunks(3).map(|pixel| pixel[0]).collect()
        };
        assert_eq!(red("imagenet"), [80, 120, 80, 120], "the middle");
        let whole = red("folder");
        assert!(whole[0] < 60 && whole[1] > 140, "{whole:?}");
    }

    #[test]
    fn sets_in_memory_shrink_as_single_pictures_do() {
        let in_size = |size| open_sized("digits", Reading::default(), &mut |_| size).unwrap();
        let (whole, small) = (open("digits").unwrap(), in_size([4, 5]));
        assert_eq!((small.height, small.width, small.train.len()), (4, 5, whole.train.len()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digit.png");
        for (split, of) in [(&small.train, &whole.train), (&small.test, &whole.test)] {
            let last = of.len() - 1;
            image::GrayImage::from_raw(8, 8, of.image(last).to_vec()).unwrap().save(&path).unwrap();
            assert_eq!(split.image(last), decode_as("digits", &path, [4, 5, 1]).unwrap());
        }
        for other in [[8, 8], [9, 4], [4, 9], [0, 4]] {
            assert_eq!(in_size(other), whole, "{other:?} would have to grow, or is what they have");
        }
    }

    #[test]
    fn unknown_kinds_list_the_known() {
        let error = open("svh\u{1b}m:x").unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        assert!(text.starts_with("unknown data set `svh\\u{1b}m`; known are digits, idx:PATH,"), "{text}");
        assert!(text.ends_with("imagenet:PATH"), "{text}");
    }
}
