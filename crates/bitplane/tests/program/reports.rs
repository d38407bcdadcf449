//! What the program prints when all goes well.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::support::{Ended, SHORT, command, copy_of_run, finished_run, run};

#[test]
fn train_reports_one_json_object_with_the_promised_fields() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &format!("{SHORT} --seed 3 --json")).expect(0, &["evaluate", "predict"]);
    let report = ended.json();
    assert_eq!(report["run"], "runs/digits-digits-1-2-4-s3");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["model"], "digits");
    assert_eq!(report["bits"], serde_json::json!([1, 2, 4]));
    assert_eq!(report["seed"], 3);
    for field in ["name", "backend", "type", "driver"] {
        assert!(report["device"][field].is_string(), "device.{field}");
    }
    assert!(
        report["parameters"].as_u64().unwrap() > 10_000 && report["gpu_bytes"].as_u64().unwrap() > 40_000
    );
    let epochs = report["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 3);
    for epoch in epochs {
        for field in ["epoch", "train_loss", "test_accuracy", "seconds", "images_per_second"] {
            assert!(epoch[field].as_f64().unwrap() > 0.0, "{field} in {epoch}");
        }
    }
    let best = epochs.iter().map(|epoch| epoch["test_accuracy"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(report["best_test_accuracy"], best);
    let layers = report["layers"].as_array().unwrap();
    for layer in ["conv1", "conv2"] {
        for pass in ["forward", "grad_input", "grad_weight"] {
            let note = layers.iter().find(|note| note["name"] == layer && note["pass"] == pass).unwrap();
            assert!(note["plane_pairs"].as_u64().unwrap() > 0 && note["kernel"].is_string(), "{note}");
        }
    }
    let metrics =
        fs::read_to_string(folder.path().join("runs/digits-digits-1-2-4-s3/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, epochs);
    run(folder.path(), &format!("{SHORT} --seed 3 --epochs 1 --json")).expect(2, &["--epochs"]);
    let again =
        run(folder.path(), "train --epochs 1 --limit-train-batches 1 --seed 3 --json").expect(0, &[]).json();
    assert_eq!(again["run"], "runs/digits-digits-1-2-4-s3-2");
}

#[test]
fn eval_agrees_with_what_training_measured() {
    let folder = copy_of_run();
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let report = run(folder.path(), "eval run --checkpoint last --json").expect(0, &[]).json();
    assert_eq!(report["total"], 297);
    assert_eq!(report["test_accuracy"], last["test_accuracy"]);
    let (correct, total) = (report["correct"].as_f64().unwrap(), report["total"].as_f64().unwrap());
    assert_eq!(report["test_accuracy"].as_f64().unwrap(), correct / total);
    assert!(report["device"]["name"].is_string() && report["top5"].as_u64() >= report["correct"].as_u64());
    let text = run(folder.path(), "eval run").expect(0, &[]).stdout;
    assert!(text.starts_with("test accuracy 0."), "{text}");
}

#[test]
fn predict_names_classes_with_probabilities() {
    let folder = copy_of_run();
    let digits = data::open("digits").unwrap();
    let names = ["first.png", "two words.png", "third.png"];
    for (index, name) in names.iter().enumerate() {
        let image = image::GrayImage::from_raw(8, 8, digits.test.image(index).to_vec()).unwrap();
        image.save(folder.path().join(name)).unwrap();
    }
    let ended = Ended::from(command(folder.path(), "predict run --json --top-k 3", names).output().unwrap());
    let report = ended.expect(0, &[]).json();
    for (prediction, name) in report["predictions"].as_array().unwrap().iter().zip(names) {
        assert_eq!(prediction["image"], name);
        let guesses = prediction["guesses"].as_array().unwrap();
        let probabilities: Vec<f64> =
            guesses.iter().map(|guess| guess["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), 3);
        assert!(probabilities.is_sorted_by(|a, b| a >= b) && probabilities.iter().sum::<f64>() <= 1.0 + 1e-9);
        assert!(digits.classes.contains(&guesses[0]["class"].as_str().unwrap().to_owned()));
    }
    let ended = Ended::from(command(folder.path(), "predict run", names).output().unwrap()).expect(0, &[]);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
}

#[test]
fn summary_devices_and_completions_answer() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(folder.path(), "summary --model svhn-a --json").expect(0, &[]).json();
    assert_eq!(report["parameters"], 2_082_378);
    assert_eq!(report["macs"], 41_735_424);
    let of_run = run(folder.path(), &format!("summary {}", finished_run().display())).expect(0, &[]).stdout;
    assert!(of_run.contains("digits at 1,2,4 bits") && of_run.contains("conv1"), "{of_run}");
    let listing = run(folder.path(), "devices --json").expect(0, &[]).json();
    assert_eq!(listing["devices"][0]["index"], 0);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(
            run(folder.path(), &format!("completions {shell}")).expect(0, &[]).stdout.contains("bitplane")
        );
    }
    assert!(run(folder.path(), "--help").expect(0, &[]).stdout.contains("train"));
    run(folder.path(), "").expect(2, &["Usage"]);
}

#[test]
fn summary_shows_precision_sizes_and_costs_of_every_layer() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(folder.path(), "summary --model svhn-a --bits 1,2,4 --json").expect(0, &[]).json();
    let layers = report["layers"].as_array().unwrap();
    let layer = |name: &str| layers.iter().find(|layer| layer["name"] == name).unwrap();
    let widths =
        |name: &str| ["input_bits", "weight_bits", "gradient_bits"].map(|key| layer(name)[key].as_u64());
    assert_eq!(widths("conv0"), [Some(32); 3]);
    assert_eq!(widths("conv1"), [Some(2), Some(1), Some(4)]);
    assert_eq!(widths("bn1"), [None; 3]);
    let pairs = |name: &str| layer(name)["plane_pairs"].clone();
    let json = |forward, grad_input, grad_weight| serde_json::json!({ "forward": forward, "grad_input": grad_input, "grad_weight": grad_weight });
    assert_eq!(pairs("conv1"), json(Some(2), Some(4), Some(8)));
    assert_eq!(pairs("conv6"), json(Some(2), Some(4), Some(0)), "one position a sample");
    assert_eq!(pairs("conv0"), json(Some(0), None, Some(0)), "images need no gradient");
    assert_eq!(pairs("pool0"), json(None, None, None));
    let conv6 = 5 * 5 * 128 * 512;
    assert_eq!(
        (layer("conv6")["stored_bytes"].as_u64(), layer("conv6")["float_bytes"].as_u64()),
        (Some(conv6 / 8), Some(conv6 * 4))
    );
    let costs = serde_json::json!({ "training": 6, "inference": 2, "storage": 1, "full": 14 });
    assert_eq!(report["complexity"], costs);
    let by_bits = serde_json::json!([
        { "weight_bits": 1, "input_bits": 2, "macs": 37_064_704 },
        { "weight_bits": 32, "input_bits": 32, "macs": 4_670_720 },
    ]);
    assert_eq!(report["macs_by_bits"], by_bits);
    assert!(report["ratio"].as_f64().unwrap() > 20.0);

    let full = run(folder.path(), "summary --bits 32,32,32 --json").expect(0, &[]).json();
    assert_eq!(full["quantized_macs"], 0.0);
    assert_eq!(full["complexity"]["training"], Value::Null);
    let plain = run(folder.path(), "summary --model svhn-a --bits 1,2,4").expect(0, &[]).stdout;
    assert!(plain.contains("training WA+WG = 6, inference WA = 2, storage W = 1"), "{plain}");
    let markdown = run(folder.path(), "summary --model svhn-a --bits 1,2,4 -o md").expect(0, &[]).stdout;
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), layers.len() + 3, "a header, its rule and the total: {markdown}");
    assert!(rows.iter().all(|row| row.matches('|').count() == 14), "{markdown}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["config", "completions zsh", "summary --model svhn-a", "devices", "--help"] {
        let mut child = command(folder.path(), line, [""; 0])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        Ended::from(child.wait_with_output().unwrap()).expect(0, &[]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_standard_output_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(folder.path(), "config", [""; 0]).stdout(full).output().unwrap();
    Ended::from(output).expect(7, &["standard output"]);
}
