//! Variants of the method by flag, by file, and after a resume.

use std::fs;

use super::support::{last_checkpoint, run};

const LINE: &str =
    "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant";
const VARIANT: &str = "--bits 2,2,4 --activation-form cabs --rounding floor --max-gradient --wgrad-scale batch \
                       --quantize-first --quantize-last";

#[test]
fn a_variant_is_kept_by_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), &format!("{LINE} {VARIANT} --epochs 2 --output-dir whole"));
    whole.expect(0, &["not by integer thresholds", "conv0        grad_weight  "]);
    let settings = fs::read_to_string(folder.path().join("whole/config.toml")).unwrap();
    for line in [
        "activation-form = \"cabs\"",
        "rounding = \"floor\"",
        "max-gradient = true",
        "wgrad-scale = \"batch\"",
        "quantize-first = true",
        "quantize-last = true",
    ] {
        assert!(settings.contains(line), "{line} is not in {settings}");
    }
    let shown = run(folder.path(), "config whole/config.toml").expect(0, &[]);
    assert_eq!(shown.stdout.trim(), settings.trim());

    run(folder.path(), &format!("{LINE} {VARIANT} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    let [whole, part] = ["whole", "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(whole, part);
    run(folder.path(), "train --resume part --rounding even").expect(2, &["rounding"]);
    run(folder.path(), "eval part --limit-test-batches 1").expect(0, &[]);
    run(folder.path(), "config --wgrad-scale best").expect(2, &["sample", "pow2", "batch"]);
    // What is not asked for is not part of the settings, so that those of old runs are still the same.
    let plain = run(folder.path(), "config").expect(0, &[]).stdout;
    assert!(!plain.contains("rounding") && !plain.contains("quantize-first"), "{plain}");
}

#[test]
fn weights_of_a_float_training_start_one_with_low_bit_first_and_last_layers() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("{LINE} --bits 32,32,32 --epochs 1 --output-dir float")).expect(0, &[]);
    let line = format!("{LINE} --bits 1,2,4 --quantize-first --quantize-last --init-from float --epochs 1");
    run(folder.path(), &line).expect(0, &["32,32,32 bits"]);
}
