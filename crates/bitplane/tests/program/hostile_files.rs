//! Data files that lie about what they hold, met with little memory. And what shows which fault of an input file; `data` is
//! the unit tests of that crate, the rest are program tests, by module.
//!
//! |  # | fault | shown by |
//! |---:|---|---|
//! |  1 | data folder missing | `bad_data::missing_files_are_named` |
//! |  2 | CIFAR file a byte short | `bad_data::a_file_one_byte_short_or_long_is_refused_with_both_sizes`, `data::cifar` |
//! |  3 | CIFAR file a byte long | the same |
//! |  4 | CIFAR label 10 or 100 | `bad_data::a_label_out_of_range_is_refused_with_its_record`, `data::cifar` |
//! |  5 | IDX magic wrong or little-endian | `data::idx::wrong_magic_says_what_it_may_be` |
//! |  6 | IDX count of 2^32 - 1 | `headers_that_promise_too_much_take_no_memory`, `data::idx::huge_counts_take_no_memory` |
//! |  7 | IDX images and labels of other counts | `headers_that_disagree_are_refused_with_both_counts`, `data::idx` |
//! |  8 | IDX sizes whose product overflows | `headers_that_promise_too_much_take_no_memory`, `data::idx` |
//! |  9 | gzip cut | `cut_and_endless_streams_are_refused`, `data::gzip::every_cut_is_refused_except_between_members` |
//! | 10 | gzip bomb | `cut_and_endless_streams_are_refused`, `data::gzip::a_bomb_stops_at_the_cap` |
//! | 11 | gzip of several members, or with a tail | `data::gzip::{members_are_joined, trailing_bytes_are_refused}` |
//! | 12 | tar with paths that lead elsewhere, links | `archives_write_nothing`, `data::archive::links_traversal_and_extensions_are_passed_over` |
//! | 13 | tar of many entries, PAX sizes | `data::archive::{caps_hold, links_traversal_and_extensions_are_passed_over}` |
//! | 14 | MATLAB 7.3 or 4 | `svhn::files_that_are_refused`, `data::svhn::other_versions_are_named_with_a_hint` |
//! | 15 | MATLAB big-endian | `data::svhn::other_variables_types_and_byte_orders` |
//! | 16 | MATLAB data shorter than its sizes | `svhn::files_that_are_refused`, `data::svhn::{every_cut_is_refused, sizes_that_do_not_fit_are_refused}` |
//! | 17 | MATLAB sizes negative, zero, five | `data::svhn::sizes_that_do_not_fit_are_refused` |
//! | 18 | MATLAB zlib bomb, nested | `data::svhn::bombs_and_nests_stop_at_the_cap` |
//! | 19 | SVHN labels 10 and 11 | `svhn::files_that_are_refused`, `data::svhn::{pixels_are_turned_and_ten_is_zero, labels_have_a_range}` |
//! | 20 | SVHN orientation | `data::svhn::pixels_are_turned_and_ten_is_zero`, `matlab` of the cross-crate suite, with scipy's files |
//! | 21 | image folder without classes, with strangers | `bad_data::image_folders_that_cannot_be_used_say_why`, `data::image_folder` |
//! | 22 | PNG bomb | `bad_data::image_folders_that_cannot_be_used_say_why`, `data::image_file::bombs_and_strangers_are_refused` |
//! | 23 | CMYK, 16 bits, gray with alpha | `data::image_file::{conversions_are_as_documented, inks_become_colors}` |
//! | 24 | `predict` on what is no image | `bad_data::an_image_that_is_none_is_refused_with_its_name_escaped` |
//! | 26 | downloads that go wrong | `fetch`; the redirect that leaves https in `bitplane::fetch::transfer` |
//! | 27 | two processes fetch one set | `fetch::two_processes_fetch_one_set_at_once` |
//! | 54 | checkpoint cut | `bitplane::store::a_checkpoint_cut_anywhere_is_passed_over`, `bitplane::checkpoint::hostile_files_are_refused` |
//! | 55 | a bit of a checkpoint flipped | `bad_checkpoint::one_flipped_bit_is_noticed_and_the_one_before_is_used` |
//! | 56 | safetensors headers | `bitplane::checkpoint::hostile_files_are_refused`, `packed::bad_files::hostile_headers_are_refused_with_a_reason` |
//! | 57 | checkpoint of another network or format | `bad_checkpoint::{a_checkpoint_of_another_model_is_refused_with_the_differences, another_format_or_a_foreign_file_is_refused}`, `bitplane::identity` |
//! | 58 | checkpoint with NaN | `bad_checkpoint::a_checkpoint_with_a_nan_is_refused_with_the_tensor`, `initial` |

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::{Compression, write::GzEncoder};

use super::support::{Ended, command};

/// Address space of the program in KiB: its own size and little more.
const MEMORY: u32 = 300_000;

/// Runs the program with little memory.
fn run(folder: &Path, line: &str) -> Ended {
    let program = command(folder, line, [""; 0]);
    let mut shell = Command::new("sh");
    shell.current_dir(folder).arg("-c").arg(format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""));
    shell.arg(program.get_program()).args(program.get_args());
    Ended::from(shell.output().expect("a shell"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of zeros behind its header.
fn idx(magic: u32, sizes: &[u32], zeros: usize) -> Vec<u8> {
    let mut content: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
    content.resize(content.len() + zeros, 0);
    content
}

const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A set of 60 and 10 images of 2x2, in which `name` holds `bytes`.
fn set_with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, count) in FILES.iter().zip([60, 60, 10, 10]) {
        let content = match file.contains("images") {
            true => idx(0x803, &[count, 2, 2], 4 * count as usize),
            false => idx(0x801, &[count], count as usize),
        };
        if !name.starts_with(file) {
            fs::write(folder.path().join(file), content).unwrap();
        }
    }
    fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

#[track_caller]
fn refused(name: &str, bytes: &[u8], words: &[&str]) {
    let folder = set_with(name, bytes);
    run(folder.path(), "data stats mnist:.").expect(3, words);
    run(folder.path(), "train --data mnist:.").expect(3, words);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES.len(), "nothing is left behind");
}

#[test]
fn little_memory_is_enough_for_what_is_there() {
    let folder = set_with(FILES[1], &idx(0x801, &[60], 60));
    run(folder.path(), "data stats mnist:.").expect(0, &[]);
}

#[test]
fn headers_that_promise_too_much_take_no_memory() {
    let [images, labels, ..] = FILES;
    refused(images, &idx(0x803, &[u32::MAX, 28, 28], 100), &[images, "by its header", "refused"]);
    refused(images, &idx(0x803, &[1 << 20, 28, 28], 100), &[images, "holds 116 bytes, wanted 822083600"]);
    refused(images, &idx(0x803, &[1 << 31, 1 << 31, 4], 100), &[images, "by its header", "refused"]);
    refused(labels, &idx(0x801, &[u32::MAX], 92), &[labels, "by its header", "refused"]);
    refused(labels, &idx(0x801, &[1 << 30], 92), &[labels, "wanted 1073741832"]);
}

#[test]
fn headers_that_disagree_are_refused_with_both_counts() {
    refused(FILES[1], &idx(0x801, &[59], 59), &["60 images", "59 labels"]);
}

#[test]
fn cut_and_endless_streams_are_refused() {
    let name = format!("{}.gz", FILES[0]);
    let whole = gzip(&idx(0x803, &[60, 2, 2], 240));
    refused(&name, &whole[..whole.len() - 5], &[&name, "truncated"]);
    // Ten gigabytes of zeros in ten megabytes: the member of 64 MiB again and again.
    let zeros = gzip(&vec![0; 64 << 20]);
    let bomb = [gzip(&idx(0x803, &[60, 2, 2], 0)), zeros.repeat(160)].concat();
    refused(&name, &bomb, &[&name, "bytes, wanted 256"]);
}

/// A tar archive of one entry.
fn tar(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(124, &format!("{:011o}", content.len()));
    put(257, "ustar\0");
    header[156] = kind;
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let padding = vec![0; content.len().next_multiple_of(512) - content.len() + 1024];
    [&header[..], content, &padding].concat()
}

#[test]
fn archives_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let record = [7; 3073];
    for (name, kind) in [
        ("../data_batch_1.bin", b'0'),
        ("/tmp/bitplane-test/data_batch_1.bin", b'0'),
        ("data_batch_1.bin", b'2'),
        ("data_batch_1.bin", b'5'),
    ] {
        let content = if kind == b'0' { &record[..] } else { &[] };
        fs::write(inner.join("set.tar.gz"), gzip(&tar(name, kind, content))).unwrap();
        run(&inner, "train --data cifar10:set.tar.gz").expect(3, &["data_batch_1.bin", "does not exist"]);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "{name}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}");
        assert!(!Path::new("/tmp/bitplane-test").exists());
    }
}
