//! Group-Net's quantizers by flag: what a run keeps of them, and what is refused.

use std::fs;

use super::support::{last_checkpoint, run};

const LINE: &str = "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant --bits 1,1,4";
const SIGNS: &str = "--weight-scale channel --binary-activations sign --ste polynomial --activation-scale";

#[test]
fn the_quantizers_are_kept_by_their_run() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{LINE} {SIGNS} --epochs 2 --output-dir whole")).expect(0, &[]);
    let settings = fs::read_to_string(folder.path().join("whole/config.toml")).unwrap();
    for line in [
        "weight-scale = \"channel\"",
        "binary-activations = \"sign\"",
        "ste = \"polynomial\"",
        "activation-scale = true",
    ] {
        assert!(settings.contains(line), "{line} is not in {settings}");
    }
    run(folder.path(), &format!("{LINE} {SIGNS} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    let [whole, part] = ["whole", "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(whole, part);
    run(folder.path(), "train --resume part --ste identity").expect(2, &["ste"]);
    run(folder.path(), "eval part --limit-test-batches 1").expect(0, &[]);

    let range = "--limit-train-batches 2 --limit-test-batches 1 --bits 1,2,4 --clip 2.5 --epochs 1";
    run(folder.path(), &format!("train {range} --output-dir range")).expect(0, &[]);
    let settings = fs::read_to_string(folder.path().join("range/config.toml")).unwrap();
    assert!(settings.contains("clip = 2.5"), "{settings}");
    let plain = run(folder.path(), "config").expect(0, &[]).stdout;
    assert!(
        !plain.contains("\nste") && !plain.contains("\nclip") && !plain.contains("weight-scale"),
        "{plain}"
    );
}

#[test]
fn what_cannot_be_combined_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, names) in [
        ("--bits 2,2,4 --weight-scale channel", ["--weight-scale channel", "2,2,4"]),
        ("--bits 1,2,4 --binary-activations sign", ["--binary-activations sign", "1 bit"]),
        ("--bits 1,1,4 --binary-activations sign --activation-form cabs", ["--binary-activations", "cabs"]),
        ("--bits 1,1,4 --binary-activations sign --clip 2", ["--binary-activations sign", "--clip"]),
        ("--bits 1,1,4 --ste polynomial", ["--ste polynomial", "--binary-activations sign"]),
        ("--bits 1,1,4 --activation-scale", ["--activation-scale", "--binary-activations sign"]),
        ("--bits 1,2,4 --clip 0", ["clip", "0.001 to 1000"]),
    ] {
        run(folder.path(), &format!("config {flags}")).expect(2, &names);
    }
}
