//! `--learn-bits` by flag: what a run keeps, a resume, its packed file, a sweep's table of average bits, and what is refused.

use std::fs;

use serde_json::Value;

use super::support::{last_checkpoint, run};

const LINE: &str = "train --limit-train-batches 6 --limit-test-batches 2 --batch-size 25 --lr-scheduler constant \
                    --learn-bits channel:16 --bits 4,4,4 --bits-gamma 6 --bits-lr 0.5 --bits-freeze-epoch 1";

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).expect("an object")
}

#[test]
fn groups_of_channels_learn_freeze_and_leave_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(folder.path(), &format!("{LINE} --epochs 2 --output-dir whole --json")).expect(0, &[]);
    let report = json(&report.stdout);
    let lengths = report["epochs"][1]["bits"]["lengths"].as_object().expect("lengths").clone();
    let of_weights = |name: &str| lengths.keys().filter(|key| key.starts_with(name)).count();
    assert_eq!(
        (of_weights("conv1.weight_length["), of_weights("conv2.weight_length[")),
        (2, 4),
        "{lengths:?}"
    );
    assert!(lengths.values().all(|length| length.as_f64().is_some_and(|length| length.fract() == 0.0)));
    for key in ["average_bits", "average_activation_bits"] {
        let bits = report[key].as_f64().unwrap_or_else(|| panic!("{key} in {report}"));
        assert!((1.0..4.0).contains(&bits), "{key} {bits}");
    }
    let cost = run(folder.path(), "summary whole").expect(0, &[]).stdout;
    assert!(cost.contains("learned bits"), "{cost}");
    run(folder.path(), "plot whole --of bits --output bits.svg").expect(0, &[]);
    assert!(fs::read_to_string(folder.path().join("bits.svg")).unwrap().contains("conv2[3]"));

    run(folder.path(), &format!("{LINE} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    let [all, part] = ["whole", "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(all, part);

    // Another training starts with the weights, and learns lengths of its own.
    let line = LINE.replace("channel:16", "layer").replace("--bits-freeze-epoch 1", "--bits-freeze-epoch 2");
    let line = line.replace("--bits-lr 0.5", "--bits-lr 0.1");
    let report = run(folder.path(), &format!("{line} --epochs 1 --init-from whole --output-dir next --json"));
    let next = json(&report.expect(0, &["starting with the weights"]).stdout);
    let next = next["epochs"][0]["bits"]["lengths"].as_object().expect("lengths").clone();
    let is_learned =
        |length: &Value| length.as_f64().is_some_and(|length| length < 4.0 && length.fract() > 0.0);
    assert!(next.contains_key("conv1.weight_length") && next.values().all(is_learned), "{next:?}");

    run(folder.path(), "export whole --output net.safetensors").expect(0, &[]);
    let [of_run, of_file] = ["whole", "net.safetensors"]
        .map(|what| json(&run(folder.path(), &format!("eval {what} --json")).expect(0, &[]).stdout));
    assert_eq!((&of_run["loss"], &of_run["correct"]), (&of_file["loss"], &of_file["correct"]));
}

#[test]
fn a_sweep_tells_average_bits() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[settings]\nepochs = 1\nlimit-train-batches = 2\nlimit-test-batches = 1\n\
                [[point]]\nbits = '8,8,32'\n[[point]]\nbits = '3,4,32'\nlearn-bits = 'channel:32'\nbits-freeze-epoch = 1\nbits-gamma = 0.5\n\
                [[baseline]]\nbits = '8,8,32'\nlearn-bits = ''\nbits-freeze-epoch = ''\nbits-gamma = ''\n";
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    run(folder.path(), "sweep plan.toml --output-dir out").expect(0, &[]);
    let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    let rows: Vec<Value> = read("results.jsonl").lines().map(json).collect();
    let bits =
        |row: &Value| ["weight", "activation"].map(|of| row[format!("average_{of}_bits")].as_f64().unwrap());
    assert_eq!((bits(&rows[0]), bits(&rows[1])), ([8.0, 8.0], [3.0, 4.0]), "{rows:?}");
    assert!(read("average-bits.svg").contains("mean of the average bits of weights and activations"));
    let table = read("results.md");
    for text in [
        "weight bits | activation bits",
        "Differences to bits 8,8,32, bits-freeze-epoch off, bits-gamma off, learn-bits off",
    ] {
        assert!(table.contains(text), "{text} is not in {table}");
    }
    let csv = read("results.csv");
    let header = csv.lines().next().expect("a header");
    assert!(header.contains("average_weight_bits,average_activation_bits,status"), "{header}");
}

#[test]
fn what_cannot_be_learned_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, said) in [
        ("--learn-bits channel:24", "groups of 24 channels do not divide"),
        ("--learn-bits channel:8 --model svhn-c", "layer `act0`: groups of 8 channels do not divide its 12"),
        ("--learn-bits channel:0", "channel:N"),
        ("--learn-bits channel:16 --bit-mix 2:1", "--bit-mix"),
        ("--learn-bits channel:16 --rounding floor", "--rounding floor"),
        ("--bits-gamma 1", "--bits-gamma goes with --learn-bits"),
    ] {
        run(folder.path(), &format!("train --output-dir run {flags}")).expect(2, &[said]);
        assert!(!folder.path().join("run").exists(), "{flags}");
    }
}
