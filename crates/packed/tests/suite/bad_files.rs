//! Files that are cut, flipped, hostile or foreign: each is refused with a reason, quickly, and without memory that the file
//! itself does not take.

use packed::{Error, File};
use proptest::prelude::*;

use super::support::sample;

fn refused(bytes: &[u8]) -> String {
    match File::decode(bytes) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    }
}

/// A file of a header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = sample().encode();
    for percent in 0..100 {
        refused(&bytes[..bytes.len() * percent / 100]);
    }
    refused(&bytes[..bytes.len() - 1]);
    refused(&[&bytes[..], &[0]].concat());
    assert!(File::decode(&bytes).is_ok());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = sample().encode();
    let header = 8 + u64::from_le_bytes(*bytes.first_chunk().expect("a length")) as usize;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match File::decode(&damaged) {
                Err(Error::Digest) => {}
                Err(error) => assert!(at < header, "byte {at}: {error}, not the digest"),
                Ok(_) => panic!("bit {bit} of byte {at} of {header} + {}", bytes.len() - header),
            }
        }
    }
}

#[test]
fn hostile_headers_are_refused_with_a_reason() {
    let bytes = sample().encode();
    let with_length = |length: u64| [&length.to_le_bytes()[..], &bytes[8..]].concat();
    for length in [1 << 63, u64::MAX, bytes.len() as u64 - 7, 1 << 20] {
        assert!(refused(&with_length(length)).contains("header claims"), "{length}");
    }
    let entry =
        |shape: &str, offsets: &str| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
    let metadata = r#""__metadata__":{"packed_network":"{}","sha256":""}"#;
    let many: Vec<String> = (0..6000).map(|at| format!(r#""{at}":{}"#, entry("[0]", "[0,0]"))).collect();
    let (long, deep) = ("n".repeat(300), "[".repeat(100_000));
    for (header, reason) in [
        ("{".to_owned(), "cannot be understood"),
        ("[]".to_owned(), "an object of tensors"),
        ("{}".to_owned(), "another program"),
        (deep, "cannot be understood"),
        (format!("{{{metadata},{metadata}}}"), "twice"),
        (format!(r#"{{{metadata},"a":{0},"a":{0}}}"#, entry("[0]", "[0,0]")), "twice"),
        (format!(r#"{{{metadata},"{long}":{}}}"#, entry("[0]", "[0,0]")), "too long"),
        (format!(r#"{{{metadata},"a":{}}}"#, entry("[1]", "[0,4]").replace("F32", "F99")), "F99"),
        (
            format!(r#"{{{metadata},"a":{}}}"#, entry("[4294967296,4294967296,4294967296]", "[0,4]")),
            "overflows",
        ),
        (format!(r#"{{{metadata},"a":{}}}"#, entry("[1]", "[8,4]")), "lies at"),
        (format!(r#"{{{metadata},"a":{},"b":{}}}"#, entry("[1]", "[0,4]"), entry("[1]", "[2,6]")), "lies at"),
        (
            format!(r#"{{{metadata},"a":{},"b":{}}}"#, entry("[1]", "[0,4]"), entry("[1]", "[8,12]")),
            "lies at",
        ),
        (format!(r#"{{{metadata},"a":{}}}"#, entry("[2]", "[0,4]")), "lies at"),
        (format!(r#"{{{metadata},"a":{}}}"#, entry("[-1]", "[0,4]")), "cannot be understood"),
        (format!("{{{metadata},{}}}", many.join(",")), "more than 4096 tensors"),
    ] {
        let message = refused(&file(&header, &[0; 12]));
        assert!(message.contains(reason), "{:.80}: {message}", header);
        assert!(message.len() < 1000, "a short message");
    }
    let invalid = [&3u64.to_le_bytes()[..], &[0xff, 0xfe, 0xfd]].concat();
    assert!(refused(&invalid).contains("UTF-8"));
    let hundred_thousand: String =
        (0..100_000).map(|at| format!(r#""{at}":{},"#, entry("[0]", "[0,0]"))).collect();
    assert!(refused(&file(&format!("{{{hundred_thousand}{metadata}}}"), &[])).contains("header claims"));
}

#[test]
fn other_formats_and_foreign_files_are_named() {
    let text = |description: &str| {
        let quoted = serde_json::to_string(description).expect("text");
        file(&format!(r#"{{"__metadata__":{{"packed_network":{quoted},"sha256":""}}}}"#), &[])
    };
    assert!(refused(&text(r#"{"format":5,"other":[]}"#)).contains("packed format 5"));
    assert!(refused(&text(r#"{"format":1}"#)).contains("missing field"));
    assert!(refused(&text("{}")).contains("missing field `format`"));
    assert!(refused(b"not a network, but long enough").contains("header claims"));
}

#[test]
fn missing_files_and_folders_say_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = File::open(folder.path().join("no\u{1b}ne")).expect_err("missing");
    assert!(missing.is_io() && missing.to_string().contains("no\\u{1b}ne"), "{missing}");
    let is_folder = File::open(folder.path()).expect_err("a folder");
    assert!(!is_folder.is_io(), "{is_folder}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a header, there is no panic; and what is still read is the same network.
    #[test]
    fn mutated_headers_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6)) {
        let bytes = sample().encode();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().expect("a length")) as usize;
        let mut text = bytes[8..header].to_vec();
        for (place, byte, kind) in edits {
            let at = place.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, b"0123456789[]{},\":-"[usize::from(byte) % 18]),
                _ => drop(text.remove(at)),
            }
        }
        let damaged = [&(text.len() as u64).to_le_bytes()[..], &text, &bytes[header..]].concat();
        if let Ok(file) = File::decode(&damaged) {
            prop_assert_eq!(file.encode(), bytes);
        }
    }
}
