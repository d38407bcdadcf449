//! Adapters that are missing, unknown or lost.

use std::fs;

use super::support::{SHORT, finished_run, last_checkpoint, run, run_with};

#[test]
fn an_unknown_device_is_refused_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    for device in ["99", "voodoo3"] {
        run(folder.path(), &format!("train --device {device}"))
            .expect(4, &["no adapter matches", device, "0: "]);
    }
    assert_eq!(fs::read_dir(folder.path().join("runs")).unwrap().count(), 0, "no run is left behind");
    run(folder.path(), &format!("eval {} --device 99", finished_run().display()))
        .expect(4, &["no adapter matches"]);
}

#[cfg(target_os = "linux")]
#[test]
fn without_any_adapter_the_program_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let none = [("VK_DRIVER_FILES", "/dev/null"), ("VK_ICD_FILENAMES", "/dev/null")];
    for line in ["train", "devices"] {
        run_with(folder.path(), line, &none).expect(4, &["no Vulkan", "mesa-vulkan-drivers"]);
    }
    let words = ["no Vulkan", "mesa-vulkan-drivers"];
    let listing = run_with(folder.path(), "devices --json", &none).expect(4, &words).json();
    assert_eq!(listing["devices"].as_array().unwrap().len(), 0);
    // What was given is looked at before a device is.
    let trained = finished_run().display();
    fs::write(folder.path().join("broken.png"), "no picture").unwrap();
    run_with(folder.path(), &format!("predict {trained} broken.png"), &none).expect(3, &["broken.png"]);
    run_with(folder.path(), &format!("eval {trained} --data folder:none"), &none).expect(3, &["none"]);
}

#[test]
fn a_lost_device_is_replaced_and_the_result_is_the_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, fault) in [("a", "destroy@0"), ("b", "destroy@8x2"), ("c", "destroy@17")] {
        let line = format!("{SHORT} --json --output-dir {name}");
        let ended =
            run_with(folder.path(), &line, &[("BITPLANE_FAULT", fault)]).expect(0, &["on a new device"]);
        let report = ended.json();
        assert_eq!(report["recoveries"], if name == "b" { 2 } else { 1 });
        assert_eq!(report["epochs"].as_array().unwrap().len(), 3);
        assert_eq!(last_checkpoint(&folder.path().join(name)), last_checkpoint(finished_run()), "{fault}");
    }
}

#[test]
fn a_device_that_stays_away_ends_training_with_the_checkpoint_named() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{SHORT} --output-dir run");
    let words = ["4 times in a row", "lost", "checkpoints/epoch-0001.safetensors"];
    let ended = run_with(folder.path(), &line, &[("BITPLANE_FAULT", "destroy@7x9")]).expect(5, &words);
    assert_eq!(ended.stderr.matches("on a new device").count(), 3, "{}", ended.stderr);
    run(folder.path(), "train --resume run").expect(0, &[]);
    assert_eq!(last_checkpoint(&folder.path().join("run")), last_checkpoint(finished_run()));
}
