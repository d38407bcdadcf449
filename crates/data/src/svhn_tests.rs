use std::fs;
use std::io::Write;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Type, bytes and padding of an element.
fn element(kind: u32, bytes: &[u8], big: bool) -> Vec<u8> {
    let mut out = [word(kind, big), word(bytes.len() as u32, big), bytes.to_vec()].concat();
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

fn word(value: u32, big: bool) -> Vec<u8> {
    if big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
}

/// An array without compression: class, type of its values, sizes, bytes.
struct Array<'a> {
    name: &'a str,
    class: u32,
    kind: u32,
    dims: &'a [i32],
    values: Vec<u8>,
}

impl Array<'_> {
    fn body(&self, big: bool) -> Vec<u8> {
        let dims: Vec<u8> = self.dims.iter().flat_map(|dim| word(dim.cast_unsigned(), big)).collect();
        [
            element(6, &[word(self.class, big), word(0, big)].concat(), big),
            element(5, &dims, big),
            element(1, self.name.as_bytes(), big),
            element(self.kind, &self.values, big),
        ]
        .concat()
    }

    fn plain(&self, big: bool) -> Vec<u8> {
        element(14, &self.body(big), big)
    }

    fn compressed(&self) -> Vec<u8> {
        zlib_element(&self.plain(false))
    }
}

fn zlib_element(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    let bytes = encoder.finish().unwrap();
    [word(15, false), word(bytes.len() as u32, false), bytes].concat()
}

fn header(big: bool) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file, hand-made".to_vec();
    bytes.resize(124, b' ');
    bytes.extend(if big { *b"\x01\x00MI" } else { *b"\x00\x01IM" });
    bytes
}

/// Value of image `image` at row, column and channel; no two axes look alike.
fn value(image: usize, row: usize, column: usize, channel: usize) -> u8 {
    (image * 101 + row * 7 + column * 3 + channel * 50) as u8
}

/// Images in the file's order: the row fastest, then column, channel, image.
fn x(count: usize) -> Array<'static> {
    let mut values = Vec::new();
    for image in 0..count {
        for channel in 0..3 {
            for column in 0..32 {
                values.extend((0..32).map(|row| value(image, row, column, channel)));
            }
        }
    }
    let dims: &[i32] = match count {
        1 => &[32, 32, 3],
        2 => &[32, 32, 3, 2],
        3 => &[32, 32, 3, 3],
        _ => unreachable!("tests use up to three images"),
    };
    Array { name: "X", class: 9, kind: 2, dims, values }
}

fn y(labels: &[u8], dims: &'static [i32]) -> Array<'static> {
    Array { name: "y", class: 9, kind: 2, dims, values: labels.to_vec() }
}

fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    [header(false), elements.concat()].concat()
}

/// A whole file of three images.
fn three() -> Vec<u8> {
    file(&[x(3).compressed(), y(&[10, 1, 9], &[3, 1]).compressed()])
}

fn folder(train: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("train_32x32.mat"), train).unwrap();
    let test = file(&[y(&[10, 2], &[2, 1]).plain(false), x(2).plain(false)]);
    fs::write(dir.path().join("test_32x32.mat"), test).unwrap();
    dir
}

fn read(train: &[u8]) -> Result<Dataset, DataError> {
    open_core(folder(train).path())
}

/// The message of a refused file, which is no failure of the disk.
#[track_caller]
fn refused(train: &[u8], words: &[&str]) {
    let error = read(train).expect_err("refused");
    assert!(!error.is_io() && !error.is_usage(), "{error}");
    let text = error.to_string();
    assert!(text.contains("train_32x32.mat"), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn pixels_are_turned_and_ten_is_zero() {
    let set = read(&three()).unwrap();
    assert_eq!((set.height, set.width, set.channels, set.classes.len()), (32, 32, 3, 10));
    assert_eq!((set.train.labels.as_slice(), set.test.labels.as_slice()), (&[0, 1, 9][..], &[0, 2][..]));
    for (image, row, column) in [(0, 0, 1), (0, 1, 0), (2, 5, 30), (1, 31, 31)] {
        let pixel = &set.train.image(image)[(row * 32 + column) * 3..][..3];
        let wanted: Vec<u8> = (0..3).map(|channel| value(image, row, column, channel)).collect();
        assert_eq!(pixel, wanted, "image {image}, row {row}, column {column}");
    }
    assert_eq!(set.train.pixels.len(), 3 * IMAGE);
    let one = read(&file(&[x(1).plain(false), y(&[4], &[1, 1]).plain(false)])).unwrap();
    assert_eq!((one.train.len(), one.train.labels[0]), (1, 4));
}

#[test]
fn other_variables_types_and_byte_orders() {
    let wanted = read(&three()).unwrap();
    let other = Array { name: "note", class: 4, kind: 4, dims: &[1, 2], values: vec![b'h', 0, b'i', 0] };
    // Labels of doubles that are stored as shorter numbers, as MATLAB does.
    let double: Vec<u8> = [10f64, 1.0, 9.0].iter().flat_map(|label| label.to_le_bytes()).collect();
    let labels = Array { name: "y", class: 6, kind: 9, dims: &[1, 3], values: double };
    let mixed = file(&[other.compressed(), labels.compressed(), x(3).plain(false), other.plain(false)]);
    assert_eq!(read(&mixed).unwrap(), wanted);
    let short: Vec<u8> = [10i16, 1, 9].iter().flat_map(|label| label.to_be_bytes()).collect();
    let labels = Array { name: "y", class: 6, kind: 3, dims: &[3, 1], values: short };
    let big = [header(true), x(3).plain(true), labels.plain(true)].concat();
    assert_eq!(read(&big).unwrap(), wanted);
}

#[test]
fn a_short_tag_holds_its_bytes() {
    // Name and labels within their tags: type in the low half, size in the high one.
    let flags = element(6, &[word(9, false), word(0, false)].concat(), false);
    let sizes = element(5, &[word(3, false), word(1, false)].concat(), false);
    let name = [word(1 << 16 | 1, false), b"y\0\0\0".to_vec()].concat();
    let values = [word(3 << 16 | 2, false), vec![10, 1, 9, 0]].concat();
    let labels = element(14, &[flags, sizes, name, values].concat(), false);
    assert_eq!(read(&file(&[x(3).plain(false), labels])).unwrap(), read(&three()).unwrap());
}

#[test]
fn extra_images_come_last_and_their_absence_is_said() {
    let dir = folder(&three());
    let without = open(dir.path()).unwrap();
    assert_eq!((without.train.len(), without.warnings.len()), (3, 1));
    assert!(without.warnings[0].contains("extra_32x32.mat is not there"), "{:?}", without.warnings);
    let extra = file(&[x(2).compressed(), y(&[7, 8], &[2, 1]).compressed()]);
    fs::write(dir.path().join("extra_32x32.mat"), extra).unwrap();
    let set = open(dir.path()).unwrap();
    assert_eq!(set.train.labels, [0, 1, 9, 7, 8]);
    assert_eq!(set.train.image(3), set.train.image(0));
    assert!(set.warnings.is_empty());
    assert_eq!(open_core(dir.path()).unwrap().train.len(), 3);
}

#[test]
fn labels_have_a_range() {
    let with = |labels: &[u8]| file(&[x(3).plain(false), y(labels, &[3, 1]).plain(false)]);
    refused(&with(&[1, 11, 1]), &["record 1", "label 11", "largest is 10"]);
    refused(&with(&[1, 1, 0]), &["record 2", "label 0"]);
    let half: Vec<u8> = [1.0, 2.5, f64::NAN].iter().flat_map(|label: &f64| label.to_le_bytes()).collect();
    let labels = Array { name: "y", class: 6, kind: 9, dims: &[3, 1], values: half };
    refused(&file(&[x(3).plain(false), labels.plain(false)]), &["record 1", "label 2.5"]);
}

#[test]
fn counts_must_agree() {
    refused(&file(&[x(3).plain(false), y(&[1, 2], &[2, 1]).plain(false)]), &["3 images but 2 labels"]);
    refused(&file(&[x(3).plain(false)]), &["no variable y"]);
    refused(&file(&[y(&[1, 2], &[2, 1]).plain(false)]), &["no variable X"]);
    let labels = y(&[1, 2, 3], &[3, 1]).plain(false);
    refused(&file(&[x(3).plain(false), x(3).plain(false), labels]), &["X twice"]);
}

#[test]
fn other_versions_are_named_with_a_hint() {
    let mut hdf5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec();
    hdf5.resize(512, b' ');
    refused(&hdf5, &["7.3 (HDF5)", "only version 5", "-v7"]);
    refused(b"\x89HDF\r\n\x1a\n...", &["7.3 (HDF5)"]);
    // Version 4 begins with a word below 5000.
    let v4 = [word(50, false), word(2, false), word(2, false), word(0, false), vec![0; 40]].concat();
    refused(&v4, &["version 4", "scipy.io.savemat"]);
    let mut strange = three();
    strange[126..128].copy_from_slice(b"XY");
    refused(&strange, &["no mark of a MATLAB file"]);
    let mut later = three();
    later[125] = 2;
    refused(&later, &["another version"]);
    refused(b"text", &["4 bytes"]);
    refused(b"", &["0 bytes"]);
}

#[test]
fn every_cut_is_refused() {
    let whole = three();
    for cut in (0..whole.len()).step_by(37).chain(whole.len() - 9..whole.len()) {
        // Between the variables the first one stands alone.
        assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
    }
    refused(&whole[..whole.len() - 1], &["truncated"]);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let labels = || y(&[1, 2, 3], &[3, 1]).plain(false);
    let sized = |dims: &'static [i32]| file(&[Array { dims, ..x(3) }.plain(false), labels()]);
    refused(&sized(&[32, 32, 3, 4]), &["12288 bytes", "9216"]);
    refused(&sized(&[32, 32, 3, 2]), &["6144 bytes", "9216"]);
    refused(&sized(&[32, 32, 3, -3]), &["size -3"]);
    refused(&sized(&[32, 32, 3, 0]), &["[32, 32, 3, 0]"]);
    refused(&sized(&[32, 32, 3, 3, 1]), &["[32, 32, 3, 3, 1]", "wanted [32, 32, 3, N]"]);
    refused(&sized(&[3, 32, 32, 3]), &["wanted [32, 32, 3, N]"]);
    refused(&sized(&[32, 32, 3, i32::MAX]), &["2147483647", "limit"]);
    refused(&sized(&[1; 9]), &["sizes", "36 bytes"]);
    let few = Array { dims: &[i32::MAX, i32::MAX, i32::MAX], ..y(&[1, 2, 3], &[]) };
    refused(&file(&[x(3).plain(false), few.plain(false)]), &["y has the sizes"]);
    let float = Array { class: 6, kind: 9, ..x(3) };
    refused(&file(&[float.plain(false), labels()]), &["X is no array of uint8"]);
    // The array says it is shorter than its values.
    let mut body = x(3).body(false);
    body.truncate(200);
    refused(&file(&[element(14, &body, false), labels()]), &["longer than the variable"]);
}

#[test]
fn bombs_and_nests_stop_at_the_cap() {
    let labels = || y(&[1, 2, 3], &[3, 1]).plain(false);
    let nested = zlib_element(&x(3).compressed());
    refused(&file(&[nested, labels()]), &["another compressed element"]);
    // By its header it inflates to 3 GiB.
    let mut huge = x(3).plain(false);
    huge[4..8].copy_from_slice(&(3u32 << 30).to_le_bytes());
    refused(&file(&[zlib_element(&huge), labels()]), &["3221225472 bytes", "limit of 67108864 bytes"]);
    let long = [x(3).plain(false), vec![0; 1 << 20]].concat();
    refused(&file(&[zlib_element(&long), labels()]), &["goes on behind its end"]);
    let many = vec![Array { name: "z", ..x(1) }.compressed(); 65];
    refused(&file(&many), &["number of its variables", "64"]);
}

#[test]
fn damage_is_noticed() {
    let mut wrong_sum = file(&[x(3).compressed()]);
    *wrong_sum.last_mut().unwrap() ^= 1;
    refused(&wrong_sum, &["damaged"]);
    let mut noise = three();
    noise[200..260].fill(0xff);
    assert!(read(&noise).is_err());
}

#[test]
fn missing_files_are_named() {
    let dir = folder(&three());
    let error = open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
    fs::remove_file(dir.path().join("test_32x32.mat")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, DataError::Missing { path, .. } if path.ends_with("test_32x32.mat")), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes are, they are read or refused.
    #[test]
    fn no_bytes_make_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_plain in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let labels = y(&[10, 1, 9], &[3, 1]);
        let mut bytes = if is_plain { file(&[labels.plain(false), x(3).plain(false)]) } else { three() };
        for (at, value) in edits {
            // Headers and tags lie at the beginning; that is where most edits go.
            let range = if value % 4 == 0 { bytes.len() } else { 300.min(bytes.len()) };
            bytes[at.index(range)] = value;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 8);
        if let Ok(set) = read(&bytes) {
            prop_assert_eq!(set.train.pixels.len(), set.train.len() * IMAGE);
        }
    }

    /// The same for bytes that are all drawn, behind a header that passes.
    #[test]
    fn no_elements_make_it_panic(noise in prop::collection::vec(any::<u8>(), 0..200), kind in 14u32..16) {
        let read_all = [header(false), word(kind, false), word(noise.len() as u32, false), noise].concat();
        prop_assert!(read(&read_all).is_err());
    }
}
