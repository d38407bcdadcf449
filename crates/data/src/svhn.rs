//! The Street View House Numbers, cropped digits: `train_32x32.mat`, `test_32x32.mat` and `extra_32x32.mat` as published,
//! in MATLAB's version 5. Each holds `X`, bytes `[32][32][3][N]` with the row as the fastest axis, and `y`, a label from 1
//! to 10 an image, where 10 is the digit 0.

use std::path::Path;

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::files::{SPLIT_LIMIT, is_folder};
use crate::mat::{self, Fault, Variable};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;
/// Most images of a file; the largest published one has 531,131.
const IMAGES: u64 = 1 << 20;
const DIGITS: u32 = 10;

/// Reads the set from the folder of its files: 32x32, three channels. Where `extra_32x32.mat` lies there, its images come
/// behind those of `train_32x32.mat`, as DoReFa-Net was trained; where it does not, a warning says so.
///
/// # Errors
/// [`DataError`] where a file is missing, truncated, damaged, of another version or of other sizes, or holds a label
/// outside 1 to 10.
pub fn open(folder: &Path) -> Result<Dataset, DataError> {
    let extra = folder.join("extra_32x32.mat");
    let has_extra = std::fs::exists(&extra).unwrap_or(false);
    let mut set = open_core(folder)?;
    set.name = "svhn".to_owned();
    if has_extra {
        append(&extra, &mut set.train)?;
        if set.train.pixels.len() as u64 > SPLIT_LIMIT {
            let what = format!("its {} training images", set.train.len());
            let limit = format!("{SPLIT_LIMIT} bytes");
            return Err(DataError::TooLarge { path: folder.to_owned(), what, limit });
        }
    } else {
        set.warnings.push(format!("{} is not there, training goes without it", extra.display()));
    }
    Ok(set)
}

/// The same without the extra images.
///
/// # Errors
/// As [`open`].
pub fn open_core(folder: &Path) -> Result<Dataset, DataError> {
    let wanted = "a folder with train_32x32.mat, test_32x32.mat and, if wanted, extra_32x32.mat";
    if !is_folder(folder, wanted)? {
        return Err(DataError::Missing { path: folder.to_owned(), wanted: wanted.to_owned() });
    }
    let (mut train, mut test) = (Split::default(), Split::default());
    append(&folder.join("test_32x32.mat"), &mut test)?;
    append(&folder.join("train_32x32.mat"), &mut train)?;
    Ok(Dataset {
        name: "svhn-core".to_owned(),
        train,
        test,
        classes: (0..DIGITS).map(|digit| digit.to_string()).collect(),
        height: SIDE as u32,
        width: SIDE as u32,
        channels: 3,
        warnings: Vec::new(),
    })
}

/// Appends the images of a file and their labels to `split`.
fn append(path: &Path, split: &mut Split) -> Result<(), DataError> {
    let before = split.len();
    let (mut images, mut labels) = (None, None);
    mat::read(path, "a file of the cropped digits of SVHN", |variable| {
        let is_new = match variable.name.as_str() {
            "X" => images.replace(read_images(variable, split)?).is_none(),
            "y" => labels.replace(read_labels(variable, path, split)?).is_none(),
            _ => true,
        };
        if is_new { Ok(()) } else { Err(Fault::Bad(format!("it holds {} twice", variable.name))) }
    })?;
    let bad = |reason: String| Err(DataError::BadMat { path: path.to_owned(), reason });
    match (images, labels) {
        (Some(images), Some(labels)) if images == labels => {
            debug_assert_eq!((split.len() - before) as u64, images);
            Ok(())
        }
        (Some(images), Some(labels)) => bad(format!("it has {images} images but {labels} labels")),
        (None, _) => bad("it holds no variable X with images".to_owned()),
        (_, None) => bad("it holds no variable y with labels".to_owned()),
    }
}

/// Appends the images, turned to `[H, W, C]`, and counts them.
fn read_images(variable: &mut Variable<'_>, split: &mut Split) -> Result<u64, Fault> {
    let count = match *variable.dims {
        [32, 32, 3, count] if (1..=IMAGES).contains(&count) => count,
        // MATLAB drops the last axis of a single image.
        [32, 32, 3] => 1,
        [32, 32, 3, count] if count > IMAGES => {
            let what = format!("the number of its images, {count},");
            return Err(Fault::TooLarge { what, limit: IMAGES.to_string() });
        }
        _ => return Err(Fault::Bad(format!("X has the sizes {:?}, wanted [32, 32, 3, N]", variable.dims))),
    };
    variable.bytes(IMAGE, |image| {
        // The row is the fastest axis of a plane, then the column, then the channel.
        for row in 0..SIDE {
            let pixel = |column: usize| {
                let at = column * SIDE + row;
                [image[at], image[PLANE + at], image[2 * PLANE + at]]
            };
            split.pixels.extend((0..SIDE).flat_map(pixel));
        }
    })?;
    Ok(count)
}

/// Appends the labels and counts them.
fn read_labels(variable: &mut Variable<'_>, path: &Path, split: &mut Split) -> Result<u64, Fault> {
    let count = variable.count().filter(|count| (1..=IMAGES).contains(count));
    let Some(count) = count else {
        return Err(Fault::Bad(format!("y has the sizes {:?}, wanted [N, 1]", variable.dims)));
    };
    for (record, value) in variable.numbers()?.into_iter().enumerate() {
        if value.fract() != 0.0 || !(1.0..=1e9).contains(&value) {
            return Err(Fault::Bad(format!("record {record}: label {value} is none of 1 to {DIGITS}")));
        }
        let label = value as u32;
        if label > DIGITS {
            return Err(Fault::Data(DataError::LabelOutOfRange {
                path: path.to_owned(),
                record,
                what: "label",
                label,
                largest: DIGITS,
            }));
        }
        split.labels.push(label % DIGITS);
    }
    Ok(count)
}

#[cfg(test)]
#[path = "svhn_tests.rs"]
mod tests;
