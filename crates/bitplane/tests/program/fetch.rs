//! `data fetch` against a server on the loopback interface: only whole files of the pinned sum ever lie in the folder.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::server::{Request, Server, file, response};
use super::support::{Ended, run, start};

/// Bytes that do not repeat soon.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A manifest `pins.toml` with the given files.
pub fn pin(folder: &Path, files: &[(&str, &[u8])]) {
    let entry = |(name, bytes): &(&str, &[u8])| {
        let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[file]]\nname = \"{name}\"\nbytes = {}\nsha256 = \"{sum}\"\n", bytes.len())
    };
    fs::write(folder.join("pins.toml"), files.iter().map(entry).collect::<String>()).unwrap();
}

/// A folder with the pins of one file `a.bin`, and its bytes.
fn one_file(len: usize) -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(len);
    pin(folder.path(), &[("a.bin", &bytes)]);
    (folder, bytes)
}

fn line(server: &Server, more: &str) -> String {
    format!("data fetch mnist --to set --mirror {} --manifest pins.toml {more}", server.url)
}

fn fetch(folder: &TempDir, server: &Server, more: &str) -> Ended {
    run(folder.path(), &line(server, more))
}

/// Names in the folder of the set but the lock.
fn left(folder: &TempDir) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.path().join("set")) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".fetch-lock").collect();
    names.sort();
    names
}

#[test]
fn a_whole_file_is_kept_and_not_fetched_again() {
    let (folder, bytes) = one_file(300_000);
    let served = bytes.clone();
    let server = Server::start(move |_, request| file(&served, request));
    fetch(&folder, &server, "--offline").expect(3, &["set/a.bin does not exist", "data fetch mnist"]);
    assert!(server.requests().is_empty() && left(&folder).is_empty());
    let report = fetch(&folder, &server, "--json").expect(0, &[]).json();
    assert_eq!(
        (report["set"].as_str(), report["files"][0]["bytes"].as_u64()),
        (Some("mnist"), Some(300_000))
    );
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == bytes);
    fetch(&folder, &server, "").expect(0, &["is there"]);
    fetch(&folder, &server, "--offline").expect(0, &[]);
    assert_eq!(server.requests(), [Request { path: "/a.bin".to_owned(), from: None }]);
    assert_eq!(left(&folder), ["a.bin"]);
    // A file that was changed later is noticed, also offline, and fetched again.
    let mut changed = bytes.clone();
    changed[7] ^= 1;
    fs::write(folder.path().join("set/a.bin"), &changed).unwrap();
    fetch(&folder, &server, "--offline").expect(3, &["has the SHA-256"]);
    fetch(&folder, &server, "").expect(0, &["fetching it anew"]);
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == bytes);
}

#[test]
fn a_cut_connection_goes_on_where_it_stopped() {
    let (folder, bytes) = one_file(400_000);
    let served = bytes.clone();
    let server = Server::start(move |number, request| {
        let mut answer = file(&served, request);
        if number < 2 {
            answer.truncate(answer.len() / 2);
        }
        answer
    });
    fetch(&folder, &server, "").expect(0, &["trying again"]);
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == bytes);
    let starts: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert!(starts.len() == 3 && starts[0].is_none() && starts[1] < starts[2], "{starts:?}");
    assert_eq!(left(&folder), ["a.bin"]);
}

#[test]
fn a_later_run_goes_on_too_and_servers_without_ranges_start_over() {
    let (folder, bytes) = one_file(100_000);
    let served = bytes.clone();
    let server = Server::start(move |number, request| match number {
        0 => file(&served, request)[..60_000].to_vec(),
        _ => response("200 OK", "", &served, served.len()),
    });
    let more = "--tries 1";
    // The first half arrives, then a server that knows no ranges sends everything from the start.
    fetch(&folder, &server, more).expect(0, &[]);
    assert_eq!(server.requests().len(), 2);
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == bytes);
    // What another run left is used; here it is wrong, which the sum shows, and the file is fetched from its start.
    fs::remove_file(folder.path().join("set/a.bin")).unwrap();
    fs::write(folder.path().join("set/a.bin.part"), vec![0; 100_000]).unwrap();
    fetch(&folder, &server, more).expect(0, &["has the SHA-256", "once more from its start"]);
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == bytes);
    assert_eq!((left(&folder), server.requests().len()), (vec!["a.bin".to_owned()], 3));
}

#[test]
fn what_a_server_gets_wrong_is_said_and_nothing_is_kept() {
    let (folder, bytes) = one_file(50_000);
    let mut other = bytes.clone();
    other[49_999] ^= 0x80;
    let longer = [bytes.as_slice(), b"!"].concat();
    let cases: [(&str, Vec<u8>, &[&str]); 5] = [
        ("404", response("404 Not Found", "", b"no", 2), &["the server answered 404"]),
        ("sum", response("200 OK", "", &other, 50_000), &["has the SHA-256", "wanted"]),
        ("long", response("200 OK", "", &longer, 50_001), &["more than 50000 bytes"]),
        ("scheme", response("302 Found", "Location: ftp://x/a.bin\r\n", b"", 0), &["ftp://x", "refused"]),
        ("circle", response("302 Found", "Location: /a.bin\r\n", b"", 0), &["more than 5 times"]),
    ];
    for (what, answer, words) in cases {
        let server = Server::start(move |_, _| answer.clone());
        fetch(&folder, &server, "--tries 3").expect(3, words).expect(3, &["a.bin could not be fetched"]);
        let wanted = if what == "circle" { 6 } else { 1 };
        assert_eq!(server.requests().len(), wanted, "{what}: such an answer is not asked for again");
        let kept: Vec<String> = left(&folder).into_iter().filter(|name| name != "a.bin.part").collect();
        assert!(kept.is_empty(), "{what}: {kept:?}");
    }
    run(folder.path(), "data fetch mnist --to set --offline").expect(3, &["train-images-idx3-ubyte.gz"]);
}

#[test]
fn what_may_pass_is_tried_again_and_then_a_failure_of_the_network() {
    let (folder, bytes) = one_file(50_000);
    let short = bytes[..40_000].to_vec();
    let server = Server::start(move |_, request| {
        let from = request.from.unwrap_or(0);
        response("200 OK", "", &short[..40_000 - from.min(1)], 40_000 - from.min(1))
    });
    fetch(&folder, &server, "--tries 2").expect(7, &["of 50000 bytes", "run the command again"]);
    assert!(!folder.path().join("set/a.bin").exists() && server.requests().len() >= 2);
    let server = Server::start(move |number, request| match number {
        0 => response("503 Service Unavailable", "", b"", 0),
        _ => file(&bytes, request),
    });
    fetch(&folder, &server, "").expect(0, &["answered 503", "trying again"]);
    // Nobody listens on the port of discard.
    let gone = "data fetch mnist --to other --mirror http://127.0.0.1:9 --manifest pins.toml --tries 1";
    run(folder.path(), gone).expect(7, &["127.0.0.1:9"]);
}

#[test]
fn a_redirect_is_followed() {
    let (folder, bytes) = one_file(1000);
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/a.bin" => response("302 Found", "Location: /elsewhere/a.bin\r\n", b"", 0),
        _ => file(&bytes, request),
    });
    fetch(&folder, &server, "").expect(0, &[]);
    assert_eq!(server.requests()[1].path, "/elsewhere/a.bin");
}

#[test]
fn two_processes_fetch_one_set_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (content(2_000_000), content(1_000_000));
    pin(folder.path(), &[("a.bin", &a), ("b.bin", &b)]);
    let served = [a.clone(), b.clone()];
    let server =
        Server::start(move |_, request| file(&served[usize::from(request.path == "/b.bin")], request));
    let both = [0, 1].map(|_| start(folder.path(), &line(&server, "")));
    for process in both {
        Ended::from(process.wait_with_output().unwrap()).expect(0, &["b.bin is"]);
    }
    assert_eq!(server.requests().len(), 2, "each file once: {:?}", server.requests());
    assert!(fs::read(folder.path().join("set/a.bin")).unwrap() == a);
    assert_eq!(left(&folder), ["a.bin", "b.bin"]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "data fetch imagenet").expect(2, &["`imagenet`", "svhn, cifar10, cifar100, mnist"]);
    run(folder.path(), "data fetch mnist --manifest pins.toml").expect(2, &["--mirror"]);
    fs::write(folder.path().join("pins.toml"), "[[file]]\nname = \"../a\"\nbytes = 1\nsha256 = \"\"")
        .unwrap();
    let line = "data fetch mnist --mirror http://127.0.0.1:9 --manifest pins.toml";
    run(folder.path(), line).expect(2, &["pins.toml", "../a"]);
    assert!(!folder.path().join("data").exists());
}
