//! The binary layout shared by CIFAR-10 and CIFAR-100: records of one or two label bytes and 32x32 pixels in three
//! planes (red, green, blue), with nothing before or between them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::archive::{Caps, Wanted, read_tar_gz};
use crate::dataset::{Dataset, Split};
use crate::error::{DataError, access_error};
use crate::files::{is_folder, open_file, read_file};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
/// Largest file of class names.
const NAMES_LIMIT: u64 = 64 * 1024;
/// The published archives inflate to 176 MiB; neither has more than a dozen entries.
const CAPS: Caps = Caps { entries: 1024, bytes: 256 << 20 };

/// What one of the two sets looks like.
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    /// The folder in the published archive.
    pub(crate) folder: &'static str,
    /// Files of the training split, in order; each holds the same number of records.
    pub(crate) train: &'static [&'static str],
    /// Most records in one training file.
    pub(crate) train_records: usize,
    pub(crate) test: &'static str,
    pub(crate) test_records: usize,
    /// Name and number of classes of each label byte; the last one is the label.
    pub(crate) labels: &'static [(&'static str, u32)],
    /// Text file with a class name in each line; may be missing.
    pub(crate) names: &'static str,
    pub(crate) classes: &'static [&'static str],
}

/// Bytes of each file, in the order `train.., test, names`.
type Content = Vec<Option<Vec<u8>>>;

/// Reads the set from the unpacked folder, the folder around it, or the archive.
pub(crate) fn open(layout: &Layout, path: &Path) -> Result<Dataset, DataError> {
    let wanted = format!(
        "the folder {}, the folder around it, or the .tar.gz of the binary version, \
         which https://www.cs.toronto.edu/~kriz/cifar.html offers",
        layout.folder
    );
    let metadata = std::fs::metadata(path).map_err(|source| access_error(path, &wanted, source))?;
    let (base, content) = if metadata.is_dir() {
        read_folder(layout, path)?
    } else {
        let (files, names) = layout.files();
        let mut list: Vec<Wanted> =
            files.iter().map(|&(name, records)| Wanted { name, limit: layout.file_limit(records) }).collect();
        list.push(Wanted { name: names, limit: NAMES_LIMIT });
        (path.to_owned(), read_tar_gz(path, &list, &CAPS)?)
    };
    assemble(layout, &base, content)
}

impl Layout {
    fn record(&self) -> usize {
        self.labels.len() + 3 * PLANE
    }

    /// Bytes of a file with `records` records; the constants keep it far below 2^32.
    fn file_limit(&self, records: usize) -> u64 {
        (records * self.record()) as u64
    }

    /// The data files with the most records of each, and the file of class names.
    fn files(&self) -> (Vec<(&'static str, usize)>, &'static str) {
        let train = self.train.iter().map(|&name| (name, self.train_records));
        (train.chain([(self.test, self.test_records)]).collect(), self.names)
    }

    fn describe(&self, records: usize) -> String {
        format!("a file of {} with up to {records} records of {} bytes", self.folder, self.record())
    }

    /// A file holds whole records, at least one, and no more than the published one.
    fn check_size(&self, path: &Path, len: u64, records: usize) -> Result<(), DataError> {
        let record = self.record() as u64;
        let limit = self.file_limit(records);
        if len != 0 && len.is_multiple_of(record) && len <= limit {
            return Ok(());
        }
        Err(DataError::WrongSize {
            path: path.to_owned(),
            found: format!("{len} bytes"),
            wanted: format!("{limit} ({records} records of {record} bytes) or fewer whole records"),
        })
    }
}

fn read_folder(layout: &Layout, path: &Path) -> Result<(PathBuf, Content), DataError> {
    let inner = path.join(layout.folder);
    let base = if is_folder(&inner, "the unpacked folder")? { inner } else { path.to_owned() };
    let (files, names) = layout.files();
    let mut content = Content::new();
    for (name, records) in files {
        let path = base.join(name);
        let (file, len) = open_file(&path, &layout.describe(records))?;
        layout.check_size(&path, len, records)?;
        content.push(Some(read_whole(file, &path, layout.file_limit(records))?));
    }
    content.push(match read_file(&base.join(names), "a list of class names", NAMES_LIMIT) {
        Ok(bytes) => Some(bytes),
        Err(DataError::Missing { .. }) => None,
        Err(error) => return Err(error),
    });
    Ok((base, content))
}

fn read_whole(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    match file.take(limit + 1).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(DataError::Unreadable { path: path.to_owned(), source }),
    }
}

fn assemble(layout: &Layout, base: &Path, mut content: Content) -> Result<Dataset, DataError> {
    let names = content.pop().flatten();
    let (files, _) = layout.files();
    let mut parts = Vec::new();
    for ((name, records), bytes) in files.into_iter().zip(content) {
        let path = base.join(name);
        let Some(bytes) = bytes else {
            return Err(DataError::Missing { path, wanted: layout.describe(records) });
        };
        // Once more on what was read: the file may have changed, and an archive's entry was not checked.
        layout.check_size(&path, bytes.len() as u64, records)?;
        parts.push((path, bytes));
    }
    let (test_path, test_bytes) = parts.pop().expect("the test file is the last of the list");
    check_equal_sizes(layout, &parts)?;
    let mut train = Split::default();
    train.pixels.reserve_exact(parts.iter().map(|(_, bytes)| bytes.len()).sum());
    for (path, bytes) in parts {
        append(layout, &path, &bytes, &mut train)?;
    }
    let mut test = Split::default();
    append(layout, &test_path, &test_bytes, &mut test)?;
    Ok(Dataset {
        name: layout.name.to_owned(),
        train,
        test,
        classes: match names {
            Some(bytes) => parse_names(&base.join(layout.names), &bytes, layout.classes.len())?,
            None => layout.classes.iter().map(|&class| class.to_owned()).collect(),
        },
        height: SIDE as u32,
        width: SIDE as u32,
        channels: 3,
        warnings: Vec::new(),
    })
}

/// The training files are equal shares of one set, so one cut between two records is seen beside the others.
fn check_equal_sizes(layout: &Layout, parts: &[(PathBuf, Vec<u8>)]) -> Result<(), DataError> {
    let records = |bytes: &[u8]| format!("{} records", bytes.len() / layout.record());
    let Some((largest_path, largest)) = parts.iter().max_by_key(|(_, bytes)| bytes.len()) else {
        return Ok(());
    };
    match parts.iter().find(|(_, bytes)| bytes.len() != largest.len()) {
        None => Ok(()),
        Some((path, bytes)) => Err(DataError::Inconsistent {
            path: path.clone(),
            found: records(bytes),
            other: largest_path.clone(),
            wanted: records(largest),
        }),
    }
}

/// Appends the records of a file: the last label byte, and the planes turned to `[H, W, C]`.
fn append(layout: &Layout, path: &Path, bytes: &[u8], split: &mut Split) -> Result<(), DataError> {
    for (record, content) in bytes.chunks_exact(layout.record()).enumerate() {
        let (labels, planes) = content.split_at(layout.labels.len());
        for (&label, &(what, classes)) in labels.iter().zip(layout.labels) {
            if u32::from(label) >= classes {
                return Err(DataError::LabelOutOfRange {
                    path: path.to_owned(),
                    record,
                    what,
                    label: u32::from(label),
                    largest: classes - 1,
                });
            }
        }
        split.labels.push(u32::from(labels[labels.len() - 1]));
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = red.iter().zip(green).zip(blue);
        split.pixels.extend(pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]));
    }
    Ok(())
}

fn parse_names(path: &Path, bytes: &[u8], count: usize) -> Result<Vec<String>, DataError> {
    let bad = |reason: String| DataError::BadNames { path: path.to_owned(), reason };
    let text =
        std::str::from_utf8(bytes).map_err(|_| bad("the class names are not UTF-8 text".to_owned()))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != count {
        return Err(bad(format!("holds {} class names, wanted {count}, one a line", names.len())));
    }
    Ok(names)
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
