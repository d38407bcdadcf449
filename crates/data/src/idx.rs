//! IDX files, the format of MNIST and its family: big-endian words `magic, count[, rows, columns]`, then bytes.
//!
//! A set is a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
//! `t10k-labels-idx1-ubyte`, each plain or with `.gz`, also spelled with a dot before `idx`.

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::files::{STREAM_LIMIT, Source, is_folder};

const IMAGES: Kind = Kind { what: "images", stem: "images", idx: "idx3", magic: 0x0803, header: 16 };
const LABELS: Kind = Kind { what: "labels", stem: "labels", idx: "idx1", magic: 0x0801, header: 8 };

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Any set in the layout of MNIST. Classes are named by number, up to the largest training label.
///
/// # Errors
/// [`DataError`] where a file is missing, of a wrong size or format, or does not fit the others, and where all training
/// labels are the same.
pub fn open(folder: &Path) -> Result<Dataset, DataError> {
    read("idx", folder, None)
}

/// MNIST: ten digits.
///
/// # Errors
/// As [`open`], and where a label is above 9.
pub fn open_mnist(folder: &Path) -> Result<Dataset, DataError> {
    read("mnist", folder, Some((0..10).map(|digit| digit.to_string()).collect()))
}

/// Fashion-MNIST: ten kinds of clothing.
///
/// # Errors
/// As [`open`], and where a label is above 9.
pub fn open_fashion_mnist(folder: &Path) -> Result<Dataset, DataError> {
    read("fashion-mnist", folder, Some(FASHION.map(str::to_owned).to_vec()))
}

/// One of the two kinds of file in a set.
struct Kind {
    what: &'static str,
    stem: &'static str,
    idx: &'static str,
    magic: u32,
    header: u64,
}

/// The content of one file.
struct Array {
    path: PathBuf,
    dims: Vec<u64>,
    bytes: Vec<u8>,
}

fn read(name: &str, folder: &Path, classes: Option<Vec<String>>) -> Result<Dataset, DataError> {
    let wanted = "a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                  t10k-labels-idx1-ubyte, plain or .gz";
    if !is_folder(folder, wanted)? {
        return Err(DataError::Missing { path: folder.to_owned(), wanted: wanted.to_owned() });
    }
    let train_labels = read_array(folder, "train", &LABELS, STREAM_LIMIT)?;
    let test_labels = read_array(folder, "t10k", &LABELS, STREAM_LIMIT)?;
    let classes = classes.map_or_else(|| numbered(&train_labels), Ok)?;
    check_labels(&train_labels, classes.len())?;
    check_labels(&test_labels, classes.len())?;
    let train_images = read_array(folder, "train", &IMAGES, STREAM_LIMIT)?;
    let test_images = read_array(folder, "t10k", &IMAGES, STREAM_LIMIT)?;
    if train_images.dims[1..] != test_images.dims[1..] {
        return Err(DataError::Inconsistent {
            found: size_text(&test_images),
            path: test_images.path,
            wanted: size_text(&train_images),
            other: train_images.path,
        });
    }
    let [height, width] = [train_images.dims[1] as u32, train_images.dims[2] as u32];
    Ok(Dataset {
        name: name.to_owned(),
        train: join(train_images, train_labels)?,
        test: join(test_images, test_labels)?,
        classes,
        height,
        width,
        channels: 1,
        warnings: Vec::new(),
    })
}

/// Class names `0..=largest` of a file of labels, which must hold at least two different ones.
fn numbered(labels: &Array) -> Result<Vec<String>, DataError> {
    let largest = labels.bytes.iter().copied().max().unwrap_or(0);
    if labels.bytes.iter().all(|&label| label == largest) {
        return Err(DataError::TooFew {
            path: labels.path.clone(),
            found: format!("holds the label {largest} only"),
            wanted: "at least two classes".to_owned(),
        });
    }
    Ok((0..=largest).map(|class| class.to_string()).collect())
}

fn size_text(images: &Array) -> String {
    format!("images of {}x{}", images.dims[1], images.dims[2])
}

fn check_labels(labels: &Array, classes: usize) -> Result<(), DataError> {
    match labels.bytes.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(()),
        Some(record) => Err(DataError::LabelOutOfRange {
            path: labels.path.clone(),
            record,
            what: "label",
            label: u32::from(labels.bytes[record]),
            largest: classes as u32 - 1,
        }),
    }
}

fn join(images: Array, labels: Array) -> Result<Split, DataError> {
    if images.dims[0] != labels.dims[0] {
        return Err(DataError::CountMismatch {
            images_path: images.path,
            images: images.dims[0],
            labels_path: labels.path,
            labels: labels.dims[0],
        });
    }
    Ok(Split {
        pixels: images.bytes,
        labels: labels.bytes.into_iter().map(u32::from).collect(),
        ..Split::default()
    })
}

/// The path of the first spelling that exists; where none does, an error that names the usual one.
fn find(folder: &Path, part: &str, kind: &Kind) -> Result<PathBuf, DataError> {
    for separator in ["-", "."] {
        for suffix in ["", ".gz"] {
            let path = folder.join(format!("{part}-{}{separator}{}-ubyte{suffix}", kind.stem, kind.idx));
            // A file that cannot be looked at is found here and reported when it is opened.
            if path.try_exists().unwrap_or(true) {
                return Ok(path);
            }
        }
    }
    let path = folder.join(format!("{part}-{}-{}-ubyte", kind.stem, kind.idx));
    Err(DataError::Missing { path, wanted: format!("an IDX file of {}, plain or with .gz added", kind.what) })
}

fn read_array(folder: &Path, part: &str, kind: &Kind, limit: u64) -> Result<Array, DataError> {
    let path = find(folder, part, kind)?;
    let mut source = Source::open(&path, "an IDX file", limit)?;
    let header = source.read_up_to(kind.header)?;
    let words: Vec<u32> =
        header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect();
    if let Some(&found) = words.first().filter(|&&word| word != kind.magic) {
        return Err(DataError::NotIdx {
            path,
            wanted: kind.what,
            found,
            magic: kind.magic,
            hint: hint(found, kind),
        });
    }
    let wrong = |found: u64, wanted: String| {
        Err(DataError::WrongSize { path: path.clone(), found: format!("{found} bytes"), wanted })
    };
    if (header.len() as u64) < kind.header {
        return wrong(header.len() as u64, format!("a header of {} bytes", kind.header));
    }
    let dims: Vec<u64> = words[1..].iter().map(|&word| u64::from(word)).collect();
    let product = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let Some(length) = product.filter(|&length| length <= limit) else {
        return Err(DataError::TooLarge {
            path,
            what: format!("{} by its header ({dims:?})", kind.what),
            limit: format!("{limit} bytes"),
        });
    };
    if length == 0 {
        return Err(DataError::TooFew {
            path,
            found: format!("holds nothing by its header ({dims:?})"),
            wanted: format!("at least one of its {}", kind.what),
        });
    }
    let total = kind.header + length;
    // A plain file's length is known before its bytes are read; a stream's only by reading one byte too many.
    if let Some(found) = source.plain_len().filter(|&found| found != total) {
        return wrong(found, format!("{total} by its header ({dims:?})"));
    }
    let bytes = source.read_up_to(length + 1)?;
    if bytes.len() as u64 != length {
        return wrong(kind.header + bytes.len() as u64, format!("{total} by its header ({dims:?})"));
    }
    Ok(Array { path, dims, bytes })
}

fn hint(found: u32, kind: &Kind) -> &'static str {
    let other = if kind.magic == IMAGES.magic { LABELS.magic } else { IMAGES.magic };
    if found == other {
        "; images and labels are swapped"
    } else if found == kind.magic.swap_bytes() {
        "; it is little-endian, IDX is big-endian"
    } else if found & 0xffff_0000 == 0 && (found & 0xff) == (kind.magic & 0xff) {
        "; only unsigned bytes are read"
    } else {
        ""
    }
}

#[cfg(test)]
#[path = "idx_tests.rs"]
mod tests;
