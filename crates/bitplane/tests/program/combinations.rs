//! Which methods go together, as docs/combinations.md says.

use std::fs;
use std::path::Path;

use bitplane::config::Config;
use bitplane::flexnet;
use bitplane::models::{self, ModelInput};
use bitplane::settings::Settings;

use super::support::{copy_of_run, run};

/// The flags of a method, by its name in the table.
fn flags(name: &str) -> &'static str {
    match name {
        "--widths" => "--widths 2,1",
        "--structure" => "--structure layer-wise --bases 2",
        "--bit-mix" => "--bit-mix 1:0.7,2:0.3",
        "--activation-mix" => "--activation-mix 1:0.5,2:0.5",
        "--learn-bits" => "--learn-bits layer",
        "--teacher" => "--teacher run",
        "--weight-scale channel" => "--weight-scale channel",
        "--binary-activations sign" => "--binary-activations sign",
        "--clip" => "--clip 2",
        other => panic!("the table has a method that this test does not know: {other}"),
    }
}

/// The widths that a pair of methods asks for; `--widths` says them itself.
fn bits([one, other]: [&str; 2]) -> String {
    let either = |name: &str| one == name || other == name;
    if either("--widths") {
        return String::new();
    }
    let weight = if either("--bit-mix") { 2 } else { 1 };
    let activation = if either("--binary-activations sign") { 1 } else { 2 };
    format!("--bits {weight},{activation},4")
}

/// Names of the columns, and of each row its name and cells.
fn table() -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/combinations.md");
    let text = fs::read_to_string(path).expect("the page");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let is_row = |line: &&str| line.starts_with('|');
    let mut lines = text.lines().skip_while(|line| !is_row(line)).take_while(is_row).map(cells);
    let header = lines.next().expect("a table").split_off(1);
    let rows = lines.skip(1).map(|mut row| (row.remove(0), row)).collect();
    (header, rows)
}

#[test]
fn pairs_of_methods_are_what_the_page_says() {
    let folder = copy_of_run();
    let (columns, rows) = table();
    assert_eq!(columns, rows.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let mut pairs = [0, 0];
    for (at, (one, cells)) in rows.iter().enumerate() {
        assert_eq!(cells.len(), columns.len());
        for (to, (other, cell)) in columns.iter().zip(cells).enumerate() {
            assert_eq!(*cell, rows[to].1[at], "{one} and {other} are one pair");
            if to <= at {
                assert_eq!(cell.is_empty(), to == at, "{one} and {other}");
                continue;
            }
            let line = format!("config {} {} {}", bits([one, other]), flags(one), flags(other));
            let ended = run(folder.path(), &line);
            match cell.as_str() {
                "yes" => {
                    let ended = ended.expect(0, &[]);
                    let settings = Settings::parse(&ended.stdout, "").expect("settings");
                    let config = Config::resolve(settings, &models::recipe("digits").expect("a model"));
                    let input = ModelInput::usual("digits", None, None);
                    let built = flexnet::trained(&config, &input);
                    assert!(built.is_ok(), "{one} and {other}: {:?}", built.err());
                    pairs[0] += 1;
                }
                "no" => {
                    let ended = ended.expect(2, &[]);
                    let named =
                        |name: &String| ended.stderr.contains(name.split(' ').next().expect("a flag"));
                    assert!(named(one) && named(other), "{one} and {other}: {}", ended.stderr);
                    pairs[1] += 1;
                }
                cell => panic!("{one} and {other}: `{cell}` is neither yes nor no"),
            }
        }
    }
    assert!(pairs[0] > 15 && pairs[1] > 10, "{pairs:?}");
}
