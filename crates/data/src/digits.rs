//! The embedded set: 1,797 handwritten digits of 8x8 gray values, first 1,500 for training, last 297 for the test.
//!
//! From E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
//! (CC BY 4.0); see `digits/ATTRIBUTION.md`.

use crate::dataset::{Dataset, Split};

/// The credit that the data's licence asks for.
pub const ATTRIBUTION: &str = "Handwritten digits: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten \
    Digits, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0; rewritten as bytes.";

const BYTES: &[u8] = include_bytes!("../digits/digits.bin");
const TRAIN: usize = 1500;
const VALUES: usize = 64;
const RECORD: usize = VALUES + 1;

/// The set, with its values 0..=16 scaled to 0..=255 by `round(value * 255 / 16)`; 8x8, one channel.
pub fn load() -> Dataset {
    let (train, test) = BYTES.split_at(TRAIN * RECORD);
    Dataset {
        name: "digits".to_owned(),
        train: split(train),
        test: split(test),
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        height: 8,
        width: 8,
        channels: 1,
        warnings: Vec::new(),
    }
}

fn split(records: &[u8]) -> Split {
    let mut split = Split::default();
    for record in records.chunks_exact(RECORD) {
        split.pixels.extend(record[..VALUES].iter().map(|&value| scale(value)));
        split.labels.push(u32::from(record[VALUES]));
    }
    split
}

/// `round(value * 255 / 16)`, the half (value 8) upwards.
fn scale(value: u8) -> u8 {
    ((u16::from(value) * 255 + 8) / 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_publisher_counts() {
        assert_eq!(BYTES.len(), 1797 * RECORD);
        let mut counts = [0; 10];
        let mut sum = 0;
        for record in BYTES.chunks_exact(RECORD) {
            counts[usize::from(record[VALUES])] += 1;
            assert!(record[..VALUES].iter().all(|&value| value <= 16));
            sum += record[..VALUES].iter().map(|&value| u64::from(value)).sum::<u64>();
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(sum, 561_718);
    }

    #[test]
    fn splits_and_golden_pixels() {
        let set = load();
        assert_eq!((set.train.len(), set.test.len(), set.image_len()), (1500, 297, 64));
        assert_eq!((set.train.pixels.len(), set.test.pixels.len()), (1500 * 64, 297 * 64));
        assert_eq!(&set.train.labels[..12], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        assert_eq!((set.test.labels[0], set.test.labels[296]), (1, 8));
        // First image, first row: 0 0 5 13 9 1 0 0; first test image, second row: 0 0 7 15 16 16 0 0.
        assert_eq!(&set.train.image(0)[..8], &[0, 0, 80, 207, 143, 16, 0, 0]);
        assert_eq!(&set.test.image(0)[8..16], &[0, 0, 112, 239, 255, 255, 0, 0]);
    }

    #[test]
    fn scale_rounds_to_nearest() {
        for value in 0..=16u8 {
            assert_eq!(f64::from(scale(value)), (f64::from(value) * 255.0 / 16.0).round());
        }
    }
}
