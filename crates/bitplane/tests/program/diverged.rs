//! Trainings that leave the finite, with exit code 6.

use std::fs;

use bitplane::checkpoint::Checkpoint;

use super::bad_checkpoint::vouch;
use super::support::{SHORT, manifest, run, run_with};

#[test]
fn a_nan_in_a_weight_is_noticed_in_its_step_and_the_layer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for layer in ["conv0", "conv1", "bn2", "fc1"] {
        let line = format!("{SHORT} --output-dir {layer}");
        // A clip hides the NaN of a batch norm from the layers after it; the backward pass meets it.
        let named = if layer == "bn2" { "layer `".to_owned() } else { format!("layer `{layer}`") };
        let words = ["diverged at step 8", "non-finite", &named, "--lr", "epoch-0001.safetensors"];
        run_with(folder.path(), &line, &[("BITPLANE_FAULT", &format!("nan:{layer}@8"))]).expect(6, &words);
        assert_eq!(manifest(&folder.path().join(layer))["last"], "epoch-0001.safetensors");
    }
    run(folder.path(), "eval conv1").expect(0, &[]);
}

#[test]
fn a_huge_learning_rate_diverges_at_once_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    for opt in ["adam", "sgd"] {
        let line = format!("{SHORT} --opt {opt} --lr 1e6 --output-dir {opt}");
        run(folder.path(), &line).expect(6, &["diverged at step 1", "try a smaller --lr", "no checkpoint"]);
    }
}

/// Between the last step of an epoch and its evaluation, weights become so large that the test loss overflows.
#[test]
fn a_test_loss_that_is_not_finite_is_divergence_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    // Without calibration nothing looks at the weights before the evaluation does.
    let line = format!("{SHORT} --output-dir run --checkpoint-interval 0 --calibration-batches 0");
    run(folder.path(), &line).expect(0, &[]);
    let path = folder.path().join("run");
    let before = "checkpoints/step-00000018.safetensors";
    for file in [before, "checkpoints/epoch-0003.safetensors"] {
        let mut checkpoint = Checkpoint::decode(&fs::read(path.join(file)).unwrap()).unwrap();
        let last = checkpoint.tensors.iter_mut().find(|tensor| tensor.name == "fc1.weight").unwrap();
        last.values
            .iter_mut()
            .enumerate()
            .for_each(|(at, value)| *value = if at % 2 == 0 { 3e38 } else { -3e38 });
        fs::write(path.join(file), checkpoint.encode().unwrap()).unwrap();
    }
    vouch(&path);
    run(folder.path(), "eval run --checkpoint last --json").expect(6, &["mean loss over the test set is"]);
    let words =
        ["diverged at step 18", "mean loss over the test set is", "--lr", "step-00000018.safetensors"];
    run(folder.path(), &format!("train --resume run/{before}")).expect(6, &words);
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 2, "{metrics}");
    assert!(!metrics.contains("null"), "{metrics}");
}
