//! Data set readers and the embedded handwritten digits.
//!
//! [`open()`] takes a description such as `digits`, `cifar10:PATH` or `folder:PATH` and returns a [`Dataset`]:
//! a training and a test [`Split`] of `u8` images in NHWC order with one label each. There is one file per reader.
//!
//! Files are treated as hostile. Sizes are computed with checked arithmetic, a header's word never decides how much
//! memory is taken before the bytes exist, every stream is read under a cap, and nothing is written anywhere. What is
//! refused is named in a [`DataError`] with the file and what to do about it.

mod archive;
mod cifar;
pub mod cifar10;
pub mod cifar100;
mod dataset;
pub mod digits;
mod error;
mod files;
mod gzip;
pub mod idx;
mod image_file;
mod image_files;
pub mod image_folder;
mod mat;
mod open;
pub mod svhn;

pub use dataset::{Dataset, Split};
pub use error::{DataError, printable};
pub use files::SPLIT_LIMIT;
pub use image_file::{decode_image, decode_middle};
pub use image_files::{Ahead, ImageFiles};
pub use image_folder::Bad;
pub use open::{Reading, decode_as, known_specs, open, open_sized, open_with};
