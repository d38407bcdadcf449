//! Trainings that leave the finite, with exit code 6.

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
