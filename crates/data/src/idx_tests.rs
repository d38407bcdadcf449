use std::fs;

use tempfile::TempDir;

use super::*;
use crate::gzip::compress;

fn file(magic: u32, dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    for dim in dims {
        bytes.extend(dim.to_be_bytes());
    }
    bytes.extend(body);
    bytes
}

/// Three training images and two test images of 2x3, with pixels 0, 1, 2 ...
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let counting: Vec<u8> = (0..18).collect();
    put(&dir, "train-images-idx3-ubyte", &file(0x803, &[3, 2, 3], &counting));
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[3], &[4, 0, 9]));
    put(&dir, "t10k-images-idx3-ubyte", &file(0x803, &[2, 2, 3], &counting[..12]));
    put(&dir, "t10k-labels-idx1-ubyte", &file(0x801, &[2], &[1, 2]));
    dir
}

fn put(dir: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(dir.path().join(name), bytes).unwrap();
}

#[test]
fn plain_and_compressed_agree() {
    let dir = folder();
    let set = open_mnist(dir.path()).unwrap();
    assert_eq!((set.height, set.width, set.channels, set.classes.len()), (2, 3, 1, 10));
    assert_eq!(set.train.labels, [4, 0, 9]);
    assert_eq!(set.train.image(1), &[6, 7, 8, 9, 10, 11]);
    assert_eq!(set.test.image(1)[4], 10);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().replace("-idx", ".idx");
        put(&dir, &format!("{name}.gz"), &compress(&fs::read(&path).unwrap()));
        fs::remove_file(path).unwrap();
    }
    assert_eq!(open_mnist(dir.path()).unwrap(), set);
    assert_eq!(open_fashion_mnist(dir.path()).unwrap().classes[9], "Ankle boot");
    let plain = open(dir.path()).unwrap();
    assert_eq!((plain.name.as_str(), plain.classes.len()), ("idx", 10));
}

#[test]
fn missing_files_are_named() {
    let dir = folder();
    let error = open(&dir.path().join("none")).unwrap_err();
    assert!(!error.is_io() && error.to_string().contains("none does not exist"), "{error}");
    fs::remove_file(dir.path().join("t10k-images-idx3-ubyte")).unwrap();
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("t10k-images-idx3-ubyte does not exist") && text.contains(".gz"), "{text}");
}

#[test]
fn every_cut_and_one_byte_more_are_refused() {
    let dir = folder();
    let good = fs::read(dir.path().join("train-images-idx3-ubyte")).unwrap();
    for cut in 0..good.len() {
        put(&dir, "train-images-idx3-ubyte", &good[..cut]);
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::WrongSize { .. }), "cut at {cut}: {error}");
    }
    let longer = [&good[..], &[0]].concat();
    put(&dir, "train-images-idx3-ubyte", &longer);
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("holds 35 bytes, wanted 34"), "{text}");
    fs::remove_file(dir.path().join("train-images-idx3-ubyte")).unwrap();
    for bytes in [&good[..33], &longer] {
        put(&dir, "train-images-idx3-ubyte.gz", &compress(bytes));
        assert!(matches!(open(dir.path()).unwrap_err(), DataError::WrongSize { .. }));
    }
}

#[test]
fn every_single_bit_of_the_header_matters() {
    let dir = folder();
    let good = fs::read(dir.path().join("train-images-idx3-ubyte")).unwrap();
    for bit in 0..16 * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        put(&dir, "train-images-idx3-ubyte", &bytes);
        assert!(open(dir.path()).is_err(), "bit {bit} flipped");
    }
}

#[test]
fn wrong_magic_says_what_it_may_be() {
    let dir = folder();
    let cases =
        [(0x801, "swapped"), (0x0308_0000, "little-endian"), (0xd03, "unsigned bytes"), (0x1234_5678, "")];
    for (magic, hint) in cases {
        put(&dir, "train-images-idx3-ubyte", &file(magic, &[3, 2, 3], &[0; 18]));
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::NotIdx { .. }) && error.to_string().contains(hint), "{error}");
    }
}

#[test]
fn huge_counts_take_no_memory() {
    let dir = folder();
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[u32::MAX], &[0; 92]));
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::TooLarge { .. }));
    // Below the cap, but far above what is there.
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[1 << 30], &[0; 92]));
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::WrongSize { .. }));
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte")).unwrap();
    put(&dir, "train-labels-idx1-ubyte.gz", &compress(&file(0x801, &[1 << 30], &[0; 92])));
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::WrongSize { .. }));
}

#[test]
fn a_product_beyond_64_bits_is_refused() {
    let dir = folder();
    // 2^31 * 2^31 * 4 wraps to 0 in 64 bits; the second case wraps to 2^32.
    for dims in [[1 << 31, 1 << 31, 4], [1 << 31, 1 << 31, u32::MAX], [u32::MAX; 3]] {
        put(&dir, "train-images-idx3-ubyte", &file(0x803, &dims, &[0; 100]));
        assert!(matches!(open(dir.path()).unwrap_err(), DataError::TooLarge { .. }), "{dims:?}");
    }
    put(&dir, "train-images-idx3-ubyte", &file(0x803, &[3, 0, 3], &[]));
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::TooFew { .. }));
}

#[test]
fn counts_sizes_and_labels_must_agree() {
    let dir = folder();
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[2], &[4, 0]));
    let text = open_mnist(dir.path()).unwrap_err().to_string();
    assert!(text.contains("3 images") && text.contains("2 labels"), "{text}");
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[3], &[4, 10, 0]));
    let text = open_mnist(dir.path()).unwrap_err().to_string();
    assert!(text.contains("record 1: label 10 is out of range, largest is 9"), "{text}");
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[3], &[0, 1, 1]));
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("t10k-labels") && text.contains("record 1: label 2"), "{text}");
    put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[3], &[4, 9, 0]));
    put(&dir, "t10k-images-idx3-ubyte", &file(0x803, &[2, 3, 2], &[0; 12]));
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("images of 3x2") && text.contains("images of 2x3"), "{text}");
}

#[test]
fn one_class_is_nothing_to_learn() {
    let dir = folder();
    for label in [0, 7] {
        put(&dir, "train-labels-idx1-ubyte", &file(0x801, &[3], &[label; 3]));
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::TooFew { .. }) && !error.is_usage(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("holds the label {label} only")) && text.contains("two classes"),
            "{text}"
        );
    }
    // The classes of MNIST are known whatever a part of it holds.
    assert_eq!(open_mnist(dir.path()).unwrap().classes.len(), 10);
}

#[test]
fn broken_streams_are_refused() {
    let dir = folder();
    let good = compress(&fs::read(dir.path().join("train-images-idx3-ubyte")).unwrap());
    fs::remove_file(dir.path().join("train-images-idx3-ubyte")).unwrap();
    put(&dir, "train-images-idx3-ubyte.gz", &good[..good.len() - 3]);
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::TruncatedGzip { .. }));
    put(&dir, "train-images-idx3-ubyte.gz", &[&good[..], b"tail"].concat());
    assert!(matches!(open(dir.path()).unwrap_err(), DataError::TrailingGarbage { .. }));
}

#[test]
fn a_bomb_stops_at_what_the_header_says_or_at_the_cap() {
    let dir = folder();
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte")).unwrap();
    let zeros = vec![0; 1 << 20];
    put(&dir, "train-labels-idx1-ubyte.gz", &compress(&file(0x801, &[100], &zeros)));
    let error = read_array(dir.path(), "train", &LABELS, 1 << 10).err().unwrap();
    assert!(matches!(error, DataError::WrongSize { .. }), "{error}");
    put(&dir, "train-labels-idx1-ubyte.gz", &compress(&file(0x801, &[1 << 20], &zeros)));
    let error = read_array(dir.path(), "train", &LABELS, 1 << 10).err().unwrap();
    assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
}
