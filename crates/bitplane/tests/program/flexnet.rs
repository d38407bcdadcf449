//! Networks that are trained once for several widths.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{last_checkpoint, run};

const TRAIN: &str = "train --limit-train-batches 6 --batch-size 25 --lr-scheduler constant";

/// The lines of a run's metrics.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_run_is_evaluated_at_every_width_as_it_was_in_training() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{TRAIN} --epochs 2 --widths 3,2,1 --output-dir run"))
        .expect(0, &["at 2 bits", "at 1 bits"]);
    let records = metrics(&folder.path().join("run"));
    let widths = records[1]["widths"].as_array().expect("three widths").clone();
    let mut pairs = Vec::new();
    for width in &widths {
        let bits = &width["bits"];
        let line = format!("eval run --json --checkpoint last --bits {bits}");
        let found = run(folder.path(), &line).expect(0, &[]).json();
        assert_eq!(found["loss"], width["test_loss"], "{bits} bits");
        assert_eq!(found["test_accuracy"], width["test_accuracy"], "{bits} bits");
        assert_eq!((&found["bits"][0], &found["bits"][2]), (bits, &4.into()));
        let layers = found["layers"].as_array().unwrap();
        pairs.push(layers.iter().find(|layer| layer["name"] == "conv1").unwrap()["plane_pairs"].clone());
    }
    assert_eq!(pairs, [9, 4, 1], "a narrower evaluation reads fewer planes");
    assert_eq!(widths[0]["test_loss"], records[1]["test_loss"]);
    let whole = run(folder.path(), "eval run --json --checkpoint last").expect(0, &[]).json();
    assert_eq!(whole["loss"], widths[0]["test_loss"]);

    // Widths that were never trained together have no statistics.
    for mix in ["--bits 3,1", "--bits 2 --bits-map conv1=3"] {
        run(folder.path(), &format!("eval run {mix}")).expect(2, &["3, 2, 1", "--reestimate digits"]);
        run(folder.path(), &format!("eval run {mix} --reestimate digits")).expect(0, &[]);
    }
    run(folder.path(), "eval run --bits 4").expect(2, &["3 bits of weights"]);

    // One file has the planes once, and all widths.
    run(folder.path(), "export run --checkpoint last --output all").expect(0, &[]);
    run(folder.path(), &format!("{TRAIN} --epochs 1 --bits 3,3,4 --output-dir one")).expect(0, &[]);
    run(folder.path(), "export one --output alone").expect(0, &[]);
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("all") < size("alone") * 3 / 2, "{} bytes beside {}", size("all"), size("alone"));
    fs::remove_dir_all(folder.path().join("run")).unwrap();
    for width in &widths {
        let bits = &width["bits"];
        let found = run(folder.path(), &format!("eval all --json --bits {bits}")).expect(0, &[]).json();
        assert_eq!(found["loss"], width["test_loss"], "{bits} bits");
    }
    let found = run(folder.path(), "eval all --json").expect(0, &[]).json();
    assert_eq!(found["loss"], widths[0]["test_loss"], "the widest");
    // The processor and the adapter agree at every width, and each has a row of its own.
    let line = "bench infer all -r 1 -b 3 -o json --threads 1";
    let rows: Value = serde_json::from_str(&run(folder.path(), line).expect(0, &[]).stdout).unwrap();
    let bits: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["bits"]).collect();
    assert_eq!(bits, ["3,3,4", "3,3,4", "2,2,4", "2,2,4", "1,1,4", "1,1,4"]);
    let number = |field: &str, at: usize| rows[at][field].as_f64().expect(field);
    assert_eq!([0, 1].map(|at| number("first_ratio", at)), [1.0, 1.0]);
    assert!((2..6).all(|at| number("first_ratio", at) > 0.0));
    // What a narrower network does not read is not on the device.
    assert!(
        number("gpu_bytes", 0) > number("gpu_bytes", 2) && number("gpu_bytes", 2) > number("gpu_bytes", 4)
    );
    for row in rows.as_array().unwrap().iter().step_by(2) {
        assert!(row["checked"].as_str().unwrap().starts_with("the processor"), "{row}");
    }
    run(folder.path(), "eval all --bits 3,1").expect(2, &["all has no network", "3,3 and 2,2 and 1,1"]);
}

#[test]
fn a_resumed_training_of_several_widths_is_the_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "{TRAIN} --widths 3,2,1 --flex-training sampled --nested-form shift --flex-batch-norm single"
    );
    run(folder.path(), &format!("{line} --epochs 2 --output-dir whole")).expect(0, &[]);
    run(folder.path(), &format!("{line} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    let [whole, part] = ["whole", "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(whole, part);
    run(folder.path(), "train --resume part --widths 3,2,1 --flex-training recursive")
        .expect(2, &["flex-training"]);
    let settings = fs::read_to_string(folder.path().join("part/config.toml")).unwrap();
    for line in ["widths = [3, 2, 1]", "bits = \"3,3,4\"", "nested-form = \"shift\""] {
        assert!(settings.contains(line), "{line} is not in {settings}");
    }
    // A plain run starts one of several widths, whose narrower batch norms start as its own.
    run(folder.path(), &format!("{TRAIN} --bits 2,2,4 --epochs 1 --output-dir plain")).expect(0, &[]);
    run(folder.path(), &format!("{TRAIN} --widths 3,1 --epochs 1 --init-from plain"))
        .expect(0, &["2,2,4 bits"]);
}

#[test]
fn what_does_not_go_with_several_widths_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, words) in [
        ("--widths 1,2", "the widest first"),
        ("--widths 2", "at least two"),
        ("--widths 9,1", "1 to 8"),
        ("--widths 3,2 --bits 2,2,4", "--bits 3,3,4"),
        ("--widths 3,2 --rounding floor", "--rounding floor"),
        ("--widths 3,2 --max-gradient", "--max-gradient"),
        ("--flex-training joint", "--widths"),
        ("--nested-form shift", "--widths"),
    ] {
        run(folder.path(), &format!("config {flags}")).expect(2, &[words]);
    }
    let plain = run(folder.path(), "config").expect(0, &[]).stdout;
    assert!(!plain.contains("widths") && !plain.contains("flex") && !plain.contains("nested"), "{plain}");
}
