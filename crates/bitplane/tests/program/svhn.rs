//! SVHN from a server to a trained network, with a generated set in the format that the publisher uses.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::fetch::pin;
use super::server::{Server, file};
use super::support::run;

/// An element of a MATLAB file: type, size, bytes up to a multiple of eight.
fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = [kind.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// A variable of bytes, compressed.
fn variable(name: &str, dims: &[i32], values: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let parts = [
        element(6, &[9, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &sizes),
        element(1, name.as_bytes()),
        element(2, values),
    ];
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&element(14, &parts.concat())).unwrap();
    let bytes = encoder.finish().unwrap();
    [15u32.to_le_bytes().to_vec(), (bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat()
}

/// `count` images with labels 1 to 10 in turn: stripes whose width, direction and color belong to the class, with noise.
fn mat(count: usize, seed: usize) -> Vec<u8> {
    let mut header = b"MATLAB 5.0 MAT-file, generated".to_vec();
    header.resize(124, b' ');
    header.extend(*b"\x00\x01IM");
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..count {
        let class = image % 10;
        labels.push(class as u8 + 1);
        for channel in 0..3 {
            for column in 0..32 {
                for row in 0..32 {
                    let along = if class < 5 { row } else { column };
                    let light = along / (1 + class % 5) % 2 == 0 && channel != class % 3;
                    let noise = (image * 31 + seed + channel * 17 + column * 13 + row * 7) * 2_654_435;
                    pixels.push((if light { 180 } else { 20 } + (noise >> 7) % 64) as u8);
                }
            }
        }
    }
    let count = count as i32;
    [header, variable("X", &[32, 32, 3, count], &pixels), variable("y", &[count, 1], &labels)].concat()
}

fn set() -> [(&'static str, Vec<u8>); 3] {
    [("test_32x32.mat", mat(60, 5)), ("train_32x32.mat", mat(200, 0)), ("extra_32x32.mat", mat(120, 9))]
}

#[test]
fn from_a_server_to_a_trained_network() {
    let folder = tempfile::tempdir().unwrap();
    let served = set();
    pin(folder.path(), &served.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())));
    // Before anything is fetched, the folder and the way to get it are named.
    let train = "train --data svhn --model svhn-d --bits 1,2,4 --augment svhn --epochs 2 --batch-size 32 --calibration-batches 2 \
                 --output-dir run --json";
    run(folder.path(), train).expect(3, &["data/svhn does not exist", "bitplane data fetch svhn"]);
    let server = Server::start(move |_, request| {
        let (_, bytes) =
            served.iter().find(|(name, _)| request.path[1..] == **name).expect("a file of the set");
        file(bytes, request)
    });
    let fetch = format!("data fetch svhn --mirror {} --manifest pins.toml", server.url);
    run(folder.path(), &fetch).expect(0, &["extra_32x32.mat is complete"]);
    let stats = run(folder.path(), "data stats svhn --json").expect(0, &[]).json();
    assert_eq!((stats["train"]["images"].as_u64(), stats["test"]["images"].as_u64()), (Some(320), Some(60)));
    assert_eq!(stats["train"]["per_class"], serde_json::json!([32, 32, 32, 32, 32, 32, 32, 32, 32, 32]));
    let table = run(folder.path(), "data stats svhn-core").expect(0, &[]).stdout;
    assert!(table.contains("| train | ") && table.contains("200"), "{table}");
    run(folder.path(), "data show svhn --output sheet.png").expect(0, &[]);
    let sheet = image::open(folder.path().join("sheet.png")).expect("a PNG").into_rgb8();
    // Ten classes of ten images of 32 pixels, with a margin of 4.
    assert_eq!(sheet.height(), 10 * 36 + 4);
    assert!(sheet.width() > 360, "{}", sheet.width());
    let report = run(folder.path(), train).expect(0, &[]).json();
    assert_eq!(report["epochs"].as_array().map(Vec::len), Some(2));
    assert_eq!((report["data"].as_str(), report["model"].as_str()), (Some("svhn"), Some("svhn-d")));
    let eval = run(folder.path(), "eval run --checkpoint last --json").expect(0, &[]).json();
    assert_eq!(eval["test_accuracy"], report["epochs"][1]["test_accuracy"]);
}

/// Every refusal of the reader ends the program with 3, before anything is trained.
#[test]
fn files_that_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let [(test, test_bytes), (train, train_bytes), _] = set();
    put(test, &test_bytes);
    let refused = |bytes: &[u8], words: &[&str]| {
        put(train, bytes);
        run(folder.path(), "train --model svhn-d --data svhn:.").expect(3, words);
        assert!(!Path::new(folder.path()).join("runs").exists());
    };
    refused(&train_bytes[..train_bytes.len() - 1], &["train_32x32.mat", "truncated"]);
    refused(b"MATLAB 7.3 MAT-file", &["7.3 (HDF5)", "only version 5"]);
    let header = &train_bytes[..128];
    let bad_label = [variable("X", &[32, 32, 3, 2], &[0; 6144]), variable("y", &[2, 1], &[10, 11])].concat();
    refused(&[header, bad_label.as_slice()].concat(), &["record 1", "label 11"]);
    let five = variable("X", &[32, 32, 3, 1, 2], &[0; 6144]);
    refused(&[header, five.as_slice()].concat(), &["[32, 32, 3, 1, 2]"]);
    run(folder.path(), "data stats svhn:nowhere").expect(3, &["nowhere", "data fetch svhn"]);
}
