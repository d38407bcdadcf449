//! CIFAR-10, binary version: records of 3,073 bytes, five training files and one test file.

use std::path::Path;

use crate::cifar::{self, Layout};
use crate::dataset::Dataset;
use crate::error::DataError;

pub(crate) const LAYOUT: Layout = Layout {
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    train_records: 10_000,
    test: "test_batch.bin",
    test_records: 10_000,
    labels: &[("label", 10)],
    names: "batches.meta.txt",
    classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
};

/// Reads the set from the folder `cifar-10-batches-bin`, the folder around it, or the `.tar.gz`: 32x32, three channels.
///
/// # Errors
/// [`DataError`] where a file is missing, is no whole number of records, has more of them than the published one,
/// or holds a label above 9.
pub fn open(path: &Path) -> Result<Dataset, DataError> {
    cifar::open(&LAYOUT, path)
}
