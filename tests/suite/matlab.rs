//! SVHN's reader on files that scipy writes.

use std::path::Path;

use data::{Dataset, Split};

/// The formula of `tests/python/matlab.py`.
fn value(image: usize, row: usize, column: usize, channel: usize) -> u8 {
    ((image * 101 + row * 7 + column * 3 + channel * 50) % 256) as u8
}

/// Checks every pixel and label of `split`, whose images are those from `first` on.
fn assert_images(split: &Split, first: usize, what: &str) {
    for at in 0..split.len() {
        let image = first + at;
        for row in 0..32 {
            for column in 0..32 {
                let pixel = &split.image(at)[(row * 32 + column) * 3..][..3];
                let wanted = [0, 1, 2].map(|channel| value(image, row, column, channel));
                assert_eq!(pixel, wanted, "{what}: image {image}, row {row}, column {column}");
            }
        }
        // Label 10 is the digit 0.
        assert_eq!(split.labels[at], (image as u32 % 10 + 1) % 10, "{what}: image {image}");
    }
}

fn open(kind: &str, path: &Path) -> Result<Dataset, data::DataError> {
    data::open(&format!("{kind}:{}", path.display()))
}

#[test]
fn files_of_scipy_are_read_pixel_for_pixel() {
    let folder = tempfile::tempdir().expect("a folder");
    tests::python("matlab.py", &[folder.path()]);
    for form in ["packed", "plain"] {
        let set = open("svhn-core", &folder.path().join(form)).expect(form);
        assert_eq!((set.train.len(), set.test.len()), (7, 4), "{form}");
        assert_images(&set.train, 0, form);
        assert_images(&set.test, 7, form);
        // The extra images follow those for training.
        let set = open("svhn", &folder.path().join(form)).expect(form);
        assert_eq!(set.train.len(), 12, "{form}");
        let size = set.image_len();
        let extra = Split {
            pixels: set.train.pixels[7 * size..].to_vec(),
            labels: set.train.labels[7..].to_vec(),
            ..Split::default()
        };
        assert_images(&extra, 11, form);
    }
    let error = open("svhn", &folder.path().join("old")).expect_err("version 4");
    assert!(error.to_string().contains("version 4"), "{error}");
}
