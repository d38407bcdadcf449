//! `--bit-mix` by flag: what a run says and keeps, a resume, levels cut, and what is refused.

use std::fs;

use super::support::{last_checkpoint, run};

const LINE: &str = "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant \
                    --activation-mix 1:0.6,2:0.4 --bit-mix 3:0.1,1:0.7,2:0.2 --bit-order top-down --mask-granularity word";

#[test]
fn masks_are_chosen_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), &format!("{LINE} --epochs 2 --output-dir whole --json"));
    let whole = whole.expect(0, &["digits at 3,2,4 bits", "bits a weight on average", "planes executed"]);
    let report: serde_json::Value = serde_json::from_str(whole.stdout.trim()).unwrap();
    let (bits, planes) =
        (report["average_bits"].as_f64().unwrap(), report["executed_planes"].as_f64().unwrap());
    assert!((1.3..1.5).contains(&bits) && (1.3..1.5).contains(&planes), "{bits} bits, {planes} planes");
    let settings = fs::read_to_string(folder.path().join("whole/config.toml")).unwrap();
    for line in [
        "activation-mix = \"1:0.6,2:0.4\"",
        "bit-mix = \"1:0.7,2:0.2,3:0.1\"",
        "bit-order = \"top-down\"",
        "mask-granularity = \"word\"",
    ] {
        assert!(settings.contains(line), "{line} is not in {settings}");
    }
    run(folder.path(), &format!("{LINE} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &["bits a weight on average"]);
    let [all, part] = ["whole", "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(all, part);
    run(folder.path(), "train --resume part --bit-order random").expect(2, &["bit-order"]);

    let cost = run(folder.path(), "summary whole").expect(0, &[]).stdout;
    for text in
        ["1:0.7,2:0.2,3:0.1, top-down, by word", "planes executed", "XNORs", "of 3 bits", "signs and masks"]
    {
        assert!(cost.contains(text), "{text} is not in {cost}");
    }
    for levels in 1..=3 {
        let line = format!("eval whole --bits {levels},2 --limit-test-batches 2 --json");
        let report: serde_json::Value =
            serde_json::from_str(run(folder.path(), &line).expect(0, &[]).stdout.trim()).unwrap();
        assert_eq!(report["bits"], serde_json::json!([levels, 2, 4]));
    }
    let line = format!("{LINE} --epochs 1 --init-from whole --output-dir from");
    run(folder.path(), &line).expect(0, &["starting with the weights"]);
    run(folder.path(), "train --limit-train-batches 1 --limit-test-batches 1 --epochs 1 --output-dir plain")
        .expect(0, &[]);
    let line = format!("{LINE} --epochs 1 --init-from plain --output-dir of-plain");
    run(folder.path(), &line).expect(0, &["starting with the weights"]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, said) in [
        ("--bit-mix 1:0.5", "add up to 0.5"),
        ("--bit-mix 9:1", "outside 1 to 8"),
        ("--bit-mix 1", "BITS:SHARE"),
        ("--bit-order random", "--bit-mix"),
        ("--mask-granularity word", "--bit-mix"),
        ("--bit-mix 1:0.5,2:0.5 --bits 3,2,4", "write 2 there"),
        ("--bit-mix 1:0.5,2:0.5 --bits 32,2,4", "write 2 there"),
        ("--bit-mix 2:1 --max-gradient", "--max-gradient"),
        ("--bit-mix 1:1 --bit-order sideways", "middle-out"),
        ("--activation-mix 1:0.5,2:0.5 --bits 1,4,4", "write 2 there"),
        ("--activation-mix 2:0.5,3:0.5", "does not divide 3"),
        ("--activation-mix 1:0.5,2:0.5 --rounding floor", "--rounding"),
        ("--activation-mix x", "BITS:SHARE"),
        ("--bit-mix 2:1 --widths 2,1", "--widths"),
    ] {
        run(folder.path(), &format!("config {flags}")).expect(2, &[said]);
    }
    // Of activations the paper counts the mean, and products read the widest.
    let cost = |more: &str| -> serde_json::Value {
        let line = format!("summary --bit-mix 1:0.5,2:0.5 --json {more}");
        run(folder.path(), &line).expect(0, &[]).json()
    };
    let [plain, mixed] = ["--bits 2,2,4", "--activation-mix 1:0.5,2:0.5"].map(cost);
    let xnors = |report: &serde_json::Value| report["heterogeneous"]["xnor_ops"].as_f64().unwrap();
    assert!((xnors(&mixed) - 0.75 * xnors(&plain)).abs() <= 1.0, "{mixed}");
    let of = |key: &str| mixed["activation_mix"][key].as_f64().unwrap();
    assert_eq!((of("average_bits"), of("executed_planes")), (1.5, 2.0));
    assert!(plain.get("activation_mix").is_none());
    let shown =
        run(folder.path(), "summary --bit-mix 1:0.7,2:0.2,3:0.1 --bit-order random --json").expect(0, &[]);
    let report: serde_json::Value = serde_json::from_str(shown.stdout.trim()).unwrap();
    let cost = &report["heterogeneous"];
    assert!((cost["average_bits"].as_f64().unwrap() - 1.4).abs() < 1e-9, "{cost}");
    assert!((cost["of_homogeneous"][1].as_f64().unwrap() - 0.7).abs() < 1e-9, "{cost}");
    assert_eq!(cost["mask_bytes"], 0);
    assert_eq!(report["bits"], serde_json::json!([3, 2, 4]));
}
