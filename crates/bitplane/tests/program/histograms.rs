//! What training collects on the side: it changes nothing, goes on where a run goes on, and is drawn.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{SHORT, command, copy, copy_of_run, finished_run, manifest, run};

/// JSON lines of a file of a run.
fn lines(run: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join(name)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn sum(counts: &Value) -> u64 {
    counts.as_array().expect("counts").iter().map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn collecting_changes_no_bit_of_the_training_and_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{SHORT} --histograms all --tensorboard --output-dir run");
    run(folder.path(), &line).expect(0, &[]);
    let path = folder.path().join("run");
    assert_eq!(manifest(&path), manifest(finished_run()), "names, sizes and SHA-256 of all checkpoints");
    for (with, without) in lines(&path, "metrics.jsonl").iter().zip(lines(finished_run(), "metrics.jsonl")) {
        for field in ["epoch", "step", "train_loss", "test_loss", "test_accuracy", "train_accuracy"] {
            assert_eq!(with[field], without[field], "{field}");
        }
    }

    let histograms = lines(&path, "histograms.jsonl");
    assert_eq!(histograms.len(), 3 * 4 * 3, "three epochs, four layers, three quantities");
    let find = |epoch: u32, layer: &str, of: &str| {
        let fits = |line: &&Value| line["epoch"] == epoch && line["layer"] == layer && line["of"] == of;
        histograms.iter().find(fits).expect("a histogram")
    };
    let (pixels, batch) = (64, 25);
    for epoch in 1..=3 {
        let weights = find(epoch, "conv1", "weights");
        assert_eq!(weights["step"], 6 * epoch);
        for counts in [&weights["values"]["counts"], &weights["codes"]["counts"]] {
            assert_eq!(sum(counts), 32 * 9 * 32);
        }
        assert_eq!(weights["codes"]["bits"], 1);
        let activations = find(epoch, "conv1", "activations");
        assert_eq!(sum(&activations["codes"]["counts"]), batch * pixels * 32);
        assert_eq!(activations["codes"]["counts"].as_array().unwrap().len(), 4);
        assert!(activations["values"].is_null(), "codes are all there is");
        let gradients = find(epoch, "conv1", "gradients");
        for counts in [&gradients["values"]["counts"], &gradients["codes"]["counts"]] {
            assert_eq!(sum(counts), batch * pixels * 32);
        }
        let float = find(epoch, "conv0", "activations");
        assert_eq!(sum(&float["values"]["counts"]), batch * pixels);
        assert!(float["codes"].is_null(), "the image is in f32");
        assert_eq!(sum(&find(epoch, "fc1", "gradients")["values"]["counts"]), batch * 10);
    }

    let diagnostics = lines(&path, "diagnostics.jsonl");
    assert_eq!(diagnostics.len(), 3 * 4);
    for line in &diagnostics {
        let share = |field: &str| line[field].as_f64().filter(|share| (0.0..=1.0).contains(share));
        assert!(share("sign_flips").is_some() && line["gradient_scale"].as_f64().unwrap() > 0.0, "{line}");
        let reads_codes = ["conv1", "conv2"].contains(&line["layer"].as_str().unwrap());
        assert_eq!(share("saturated_low").is_some(), reads_codes, "{line}");
        if reads_codes {
            let epoch = u32::try_from(line["epoch"].as_u64().unwrap()).unwrap();
            let counts = &find(epoch, line["layer"].as_str().unwrap(), "activations")["codes"]["counts"];
            let low = counts[0].as_f64().unwrap() / sum(counts) as f64;
            assert_eq!(share("saturated_low"), Some(low));
            assert!(share("saturated_low").unwrap() + share("saturated_high").unwrap() <= 1.0);
        }
    }

    draws(folder.path());
    goes_on(folder.path());
}

/// Every kind of picture of the run, and the words for what it does not hold.
fn draws(folder: &Path) {
    for of in ["weights", "activations", "gradients"] {
        let line = format!("plot run --histogram conv1 --of {of} --epochs 1,3 -o {of}.svg --data {of}.jsonl");
        run(folder, &line).expect(0, &[]);
        let svg = fs::read_to_string(folder.join(format!("{of}.svg"))).unwrap();
        assert!(svg.contains(&format!(">{of} of conv1</text>")) && svg.contains(">epoch 3"), "{svg}");
        let codes = [("weights", 2), ("activations", 4), ("gradients", 16)];
        let codes = codes.iter().find(|(name, _)| *name == of).unwrap().1;
        assert_eq!(svg.matches("<rect").count(), 2 * codes, "a bar for each code of two epochs");
        assert_eq!(lines(folder, &format!("{of}.jsonl")).len(), 2);
    }
    run(folder, "plot run --histogram conv0 --of weights -o f32.png").expect(0, &[]);
    for of in ["saturation", "sign-flips", "gradient-scale"] {
        run(folder, &format!("plot run --of {of} -o {of}.svg")).expect(0, &[]);
        let svg = fs::read_to_string(folder.join(format!("{of}.svg"))).unwrap();
        assert!(svg.contains(">conv2</text>"), "{svg}");
        assert_eq!(svg.contains(">conv0</text>"), of != "saturation", "{svg}");
    }
    let plot = |words: &str| run(folder, &format!("plot run {words} -o x.svg"));
    plot("--histogram conv9 --of weights").expect(3, &["none of `conv9`", "conv0, conv1, conv2, fc1"]);
    plot("--histogram conv1 --of weights --epochs 1,7").expect(3, &["epochs 1, 2, 3, none of epoch 7"]);
    plot("--histogram conv1").expect(2, &["--of"]);
    plot("--of weights").expect(2, &["--histogram LAYER"]);
    plot("--of saturation --histogram conv1").expect(2, &["--histogram"]);
    plot("--epochs 1").expect(2, &["--histogram"]);
    plot("run --of saturation").expect(2, &["one run"]);
    copy(finished_run(), &folder.join("plain"));
    for words in ["--histogram conv1 --of weights", "--of saturation"] {
        run(folder, &format!("plot plain {words} -o x.svg")).expect(3, &["train with --histograms"]);
    }
    assert!(!folder.join("x.svg").exists());
}

/// A run that is taken up again from an earlier checkpoint, with damaged files, ends with the same.
fn goes_on(folder: &Path) {
    let path = folder.join("run");
    let names = ["histograms.jsonl", "diagnostics.jsonl"];
    let whole = names.map(|name| fs::read_to_string(path.join(name)).unwrap());
    let events = path.join("tensorboard/events.out.tfevents.bitplane");
    let records = |bytes: &[u8]| bitplane::tensorboard::records::whole(bytes).count();
    let before = fs::read(&events).unwrap();
    fs::write(&events, &before[..before.len() - 100]).unwrap();
    fs::write(path.join(names[0]), &whole[0][..whole[0].len() - 9]).unwrap();
    run(folder, "train --resume run/checkpoints/epoch-0002.safetensors").expect(0, &["epoch 3"]);
    assert!(names.map(|name| fs::read_to_string(path.join(name)).unwrap()) == whole, "the same lines again");
    let after = fs::read(&events).unwrap();
    assert_eq!((records(&after), after.len()), (records(&before), before.len()));
}

#[test]
fn settings_of_collection_are_checked() {
    let folder = copy_of_run();
    run(folder.path(), &format!("{SHORT} --histograms conv1,conv7 --output-dir a"))
        .expect(2, &["`conv7`", "conv0, conv1, conv2, fc1"]);
    run(folder.path(), &format!("{SHORT} --histogram-every 0 --output-dir a"))
        .expect(2, &["histogram-every"]);
    assert!(!folder.path().join("a").exists());
    // A run may begin to collect, and then does so where its turn is.
    run(folder.path(), "train --resume run --histograms conv2 --histogram-every 2 --epochs 4").expect(0, &[]);
    let path = folder.path().join("run");
    let lines = lines(&path, "diagnostics.jsonl");
    assert_eq!(lines.iter().map(|line| &line["epoch"]).collect::<Vec<_>>(), [4]);
    assert!(lines[0]["sign_flips"].as_f64().is_some() && lines[0]["layer"] == "conv2");
    let config = fs::read_to_string(path.join("config.toml")).unwrap();
    assert!(
        config.contains("histograms = [\"conv2\"]") && config.contains("histogram-every = 2"),
        "{config}"
    );
}

#[test]
fn event_files_of_two_runs_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let short = "train --epochs 1 --limit-train-batches 2 --batch-size 25 --lr-scheduler constant";
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), &format!("{short} --tensorboard file --output-dir c/run"))
        .expect(7, &["file/run", "--tensorboard"]);
    assert!(!folder.path().join("c/run").exists(), "nothing was trained");
    run(folder.path(), &format!("{short} --tensorboard boards --output-dir a/run")).expect(0, &[]);
    let file = folder.path().join("boards/run/events.out.tfevents.bitplane");
    let before = fs::read(&file).unwrap();
    run(folder.path(), &format!("{short} --tensorboard boards --output-dir b/run"))
        .expect(2, &["exists already", "--tensorboard"]);
    assert!(fs::read(&file).unwrap() == before && !folder.path().join("b/run").exists());
    // The folder is found again from anywhere.
    let mut resume = command(&folder.path().join("boards"), "train --resume ../a/run --epochs 2", [""; 0]);
    assert!(resume.status().unwrap().success());
    let after = fs::read(&file).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
}
