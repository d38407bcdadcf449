//! Networks made of bases: by flag, by file, after a resume, in a summary, and as a search.

use std::fs;

use super::support::{last_checkpoint, run};

const LINE: &str =
    "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant";
const BASES: &str = "--structure v1 --bases 2";

#[test]
fn a_structure_is_kept_by_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), &format!("{LINE} {BASES} --epochs 2 --json"));
    let whole = whole.expect(0, &["block1.base1.conv2 grad_input"]);
    let run_folder = whole.json()["run"].as_str().expect("a folder").to_owned();
    assert!(run_folder.ends_with("digits-v1-k2-digits-1-2-4-s0"), "{run_folder}");
    let settings = fs::read_to_string(folder.path().join(&run_folder).join("config.toml")).unwrap();
    assert!(settings.contains("structure = \"v1\"\nbases = 2\n"), "{settings}");
    run(folder.path(), &format!("{LINE} {BASES} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    let [whole, part] = [run_folder.as_str(), "part"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert_eq!(whole, part);
    run(folder.path(), "train --resume part --bases 3").expect(2, &["bases"]);
    run(folder.path(), "eval part --limit-test-batches 1").expect(0, &[]);
    let plain = run(folder.path(), "config").expect(0, &[]).stdout;
    assert!(!plain.contains("bases") && !plain.contains("structure"), "{plain}");
}

#[test]
fn packed_files_of_bases_evaluate_as_their_runs() {
    let folder = tempfile::tempdir().unwrap();
    for structure in ["v1", "layer-wise"] {
        let line = format!("{LINE} --structure {structure} --bases 2 --epochs 1 --output-dir {structure}");
        run(folder.path(), &line).expect(0, &[]);
        run(folder.path(), &format!("export {structure} --output {structure}.safetensors")).expect(0, &[]);
        let eval = |what: &str| run(folder.path(), &format!("eval {what} --json")).expect(0, &[]).json();
        let [ours, file] = [structure.to_owned(), format!("{structure}.safetensors")].map(|what| eval(&what));
        assert_eq!((&ours["correct"], &ours["top5"]), (&file["correct"], &file["top5"]), "{structure}");
    }
}

#[test]
fn structures_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, words) in [
        ("--structure v9", "layer-wise, v1, v2, v3"),
        ("--structure v1 --bases 0", "--bases = 0"),
        ("--bases 3", "--bases counts the bases of a --structure"),
        ("--base-scales average", "--base-scales"),
        ("--structure layer-wise --shortcut own", "--shortcut"),
        ("--structure 1,1", "1,1 makes 2 blocks, and this model has 1"),
    ] {
        run(folder.path(), &format!("{LINE} {flags}")).expect(2, &[words]);
    }
    run(folder.path(), "groupnet search --structure v1").expect(2, &["--structure"]);
    run(folder.path(), "groupnet search --model resnet8 --budget 0.001").expect(2, &["--budget"]);
}

#[test]
fn a_summary_estimates_the_speed_up() {
    let folder = tempfile::tempdir().unwrap();
    let line = "summary --model resnet8 --bits 1,1,32 --structure layer-wise --bases 5";
    let report = run(folder.path(), &format!("{line} --json")).expect(0, &[]).json();
    let layers = report["speed_up"]["layers"].as_array().expect("layers").clone();
    let of =
        |name: &str| layers.iter().find(|layer| layer["layer"] == name).expect("a layer")["speed_up"].clone();
    // 3x3 taps of 16 channels.
    for (at, word) in [64.0, 32.0].into_iter().enumerate() {
        let want = word / 5.0 * 144.0 / (144.0 + word);
        let got = of("group0.0.conv1")[at].as_f64().expect("a number");
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }
    assert_eq!(layers.len(), 6 + 2, "each layer of the f32 network once");
    let text = run(folder.path(), line).expect(0, &[]).stdout;
    assert!(text.contains("equation 4") && text.contains("quantized layers"), "{text}");
    let plain = run(folder.path(), "summary --model resnet8 --json").expect(0, &[]).json();
    assert!(plain.get("speed_up").is_none());
}

#[test]
fn a_search_trains_every_partition_once() {
    let folder = tempfile::tempdir().unwrap();
    let line = "groupnet search --try-bases 1,2 --epochs 1 --limit-train-batches 2 --limit-test-batches 1 \
                --batch-size 25 --lr-scheduler constant --output-dir found";
    let listed = run(folder.path(), &format!("{line} --list")).expect(0, &["2 of 2 candidates"]).stdout;
    assert!(listed.contains("1 of 2 bases: 5.01 million pairs of bits an image"), "{listed}");
    assert_eq!(listed.matches("open").count(), 2, "{listed}");
    run(folder.path(), line).expect(0, &["2 points, 0 of them done"]);
    let again = run(folder.path(), &format!("{line} --json")).expect(0, &["2 points, 2 of them done"]);
    let table = fs::read_to_string(folder.path().join("found/results.md")).unwrap();
    assert!(table.contains("bitplane groupnet search --candidates 32"), "{table}");
    assert!(again.stdout.contains("digits-1-k2"), "{}", again.stdout);
}
