//! Rules that the sources and the registry of kernels keep.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kernels::{REGISTRY, SHARED};
use recording::{MAX_LOOP_TRIPS, shader::compose};

/// Words that no source has.
const DENIED: [&str; 4] = ["unsafe", "todo!", "unimplemented!", "dbg!"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the root folder").to_path_buf()
}

/// Files below `folder` whose name ends in `ending`.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder).expect("a folder of the repository") {
        let path = item.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

fn sources() -> Vec<(String, String)> {
    let folders = ["crates", "tests", "xtask"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let name =
        |path: &Path| path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    files.map(|path| (name(&path), fs::read_to_string(&path).expect("text"))).collect()
}

/// `line` without comments and without what stands between quotation marks.
fn code(line: &str) -> String {
    let line = line.replace("\\\"", "");
    let outside = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    outside.split("//").next().unwrap_or_default().to_owned()
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !line[..at].ends_with(is_part) && (word.ends_with('!') || !after.starts_with(is_part))
    })
}

/// `path:line` of every line of code with one of `words`.
fn lines_with<'a>(sources: impl IntoIterator<Item = &'a (String, String)>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for (number, line) in (1..).zip(text.lines()) {
            if words.iter().any(|word| has_word(&code(line), word)) {
                found.push(format!("{path}:{number}"));
            }
        }
    }
    found
}

#[test]
fn no_source_is_unsafe_unfinished_or_left_from_debugging() {
    let sources = sources();
    assert!(sources.len() > 150, "{} files", sources.len());
    assert_eq!(lines_with(&sources, &DENIED), Vec::<String>::new());
}

#[test]
fn denied_words_are_noticed() {
    let text = "let a = 1;\n    todo!(\"later\")\nlet unsafe_code = 1; // unsafe\nunsafe { f() }\ndbg!(a);\n\"todo!\"";
    let sources = [("a.rs".to_owned(), text.to_owned())];
    assert_eq!(lines_with(&sources, &DENIED), ["a.rs:2", "a.rs:4", "a.rs:5"]);
    assert_eq!(lines_with(&sources, &["f"]), ["a.rs:4"]);
}

#[test]
fn the_graphics_api_is_named_in_one_crate_only() {
    let sources = sources();
    let (inside, outside): (Vec<_>, Vec<_>) =
        sources.iter().partition(|(path, _)| path.starts_with("crates/gpu/"));
    assert_eq!(lines_with(outside, &["wgpu"]), Vec::<String>::new());
    assert!(!lines_with(inside, &["wgpu"]).is_empty());
    for folder in ["crates", "tests", "xtask"] {
        for path in files(&root().join(folder), "Cargo.toml") {
            let text = fs::read_to_string(&path).expect("text");
            let depends = text.lines().any(|line| line.starts_with("wgpu"));
            assert_eq!(depends, path.ends_with("gpu/Cargo.toml"), "{}", path.display());
        }
    }
}

#[test]
fn crates_depend_downwards_only() {
    let allowed: [(&str, &[&str]); 6] = [
        ("reference", &[]),
        ("recording", &[]),
        ("kernels", &["recording", "reference"]),
        ("graph", &["kernels", "recording", "reference"]),
        ("gpu", &["recording"]),
        ("data", &[]),
    ];
    let own = ["reference", "recording", "kernels", "graph", "gpu", "data", "bitplane", "tests", "xtask"];
    for (name, allowed) in allowed {
        let path = root().join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(path).expect("a manifest");
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[dev-dependencies]").next().unwrap_or_default();
        let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        let found: BTreeSet<&str> = names.filter(|name| own.contains(name)).collect();
        assert_eq!(found, allowed.iter().copied().collect(), "{name}");
    }
}

#[test]
fn every_shader_file_is_registered_and_the_reverse() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let items = fs::read_dir(root().join(folder)).expect("the shaders").flatten();
        let names = items.map(|item| item.file_name().to_string_lossy().into_owned());
        names.filter_map(|name| name.strip_suffix(".wgsl").map(str::to_owned)).collect()
    };
    let registered: BTreeSet<String> = REGISTRY.iter().map(|entry| entry.shader.name.to_owned()).collect();
    assert_eq!(stems("shaders"), registered);
    assert_eq!(registered.len(), REGISTRY.len(), "names are unique");
    assert_eq!(stems("shaders/shared"), SHARED.iter().map(|(name, _)| (*name).to_owned()).collect());
    for name in &registered {
        let host = root().join(format!("crates/kernels/src/{name}.rs"));
        assert!(host.exists(), "{} is missing", host.display());
    }
}

#[test]
fn every_kernel_has_cases_and_mutations_that_mean_something() {
    for entry in REGISTRY {
        let name = entry.shader.name;
        // The token is one word that is one more than another.
        let (cases, mutations) = if name == "step_token" { (4, 2) } else { (5, 3) };
        let table = (entry.cases)();
        assert!(table.len() >= cases, "{name} has {} cases", table.len());
        assert!(entry.mutations.len() >= mutations, "{name} has {} mutations", entry.mutations.len());
        for case in &table {
            let trips = case.kernel.loop_trips();
            assert!(trips < MAX_LOOP_TRIPS, "{name} {}: {trips} iterations", case.label);
            assert_eq!(case.kernel.name(), name, "{}", case.label);
        }
        let labels: BTreeSet<&str> = table.iter().map(|case| case.label.as_str()).collect();
        assert!(labels.len() >= cases, "{name}: {} labels of {} cases", labels.len(), table.len());
        let text = compose(&entry.shader.source, SHARED).expect("composes");
        for mutation in entry.mutations {
            assert!(text.contains(mutation.from), "{name} {}: `{}`", mutation.rule, mutation.from);
            assert_ne!(mutation.from, mutation.to, "{name} {}", mutation.rule);
        }
    }
}
