//! Runs cut to fewer bits than they were trained with.

use super::support::{SHORT, copy_of_run, run};

const EVAL: &str = "eval run --json --limit-test-batches 4";

#[test]
fn a_plain_run_is_cut_and_its_statistics_are_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{SHORT} --bits 3,3,4 --output-dir run")).expect(0, &[]);
    let [whole, same, cut, again] =
        ["", "--bits 3", "--bits 1", "--bits 1 --reestimate digits"].map(|more| {
            let ended = run(folder.path(), &format!("{EVAL} {more}")).expect(0, &[]);
            assert_eq!(ended.stderr.contains("not trained for it"), more.contains('1'), "{}", ended.stderr);
            ended.json()
        });
    assert_eq!(whole["loss"], same["loss"]);
    assert_eq!((&whole["bits"][0], &cut["bits"][0], &cut["bits"][1]), (&3.into(), &1.into(), &1.into()));
    let loss = |report: &serde_json::Value| report["loss"].as_f64().unwrap();
    assert!(loss(&again) < loss(&cut), "{again} is no better than {cut}");
    let pairs = |report: &serde_json::Value| {
        let layers = report["layers"].as_array().unwrap();
        layers.iter().find(|layer| layer["name"] == "conv1").unwrap()["plane_pairs"].as_u64().unwrap()
    };
    assert_eq!([pairs(&whole), pairs(&cut)], [9, 1]);
    // Layer by layer, and weights apart from activations.
    let mixed = run(folder.path(), &format!("{EVAL} --bits 3,2 --bits-map conv1=1")).expect(0, &[]).json();
    assert_eq!([&mixed["bits"][0], &mixed["bits"][1]], [3, 2]);
    assert_eq!(pairs(&mixed), 2);
}

#[test]
fn what_cannot_be_cut_is_refused_by_name() {
    let folder = copy_of_run();
    for (flags, words) in [
        ("--bits 3", "1 bits of weights and 2 of activations"),
        ("--bits 1,0", "--bits 1,0"),
        ("--bits-map conv9=1", "conv9"),
        ("--bits-map conv1=2", "has 1 bits, not 2"),
        ("--bits-map nowhere", "nowhere"),
        ("--reestimate digits", "--bits"),
    ] {
        let ended = run(folder.path(), &format!("eval run {flags}"));
        assert_ne!(ended.code, Some(0), "{flags}");
        assert!(ended.stderr.contains(words), "{flags}: {}", ended.stderr);
    }
}
