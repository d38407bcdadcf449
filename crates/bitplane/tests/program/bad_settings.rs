//! Flags and settings that are refused with exit code 2.

use std::fs;
use std::path::Path;

use super::support::{run, run_with};

#[test]
fn flags_out_of_range_name_flag_and_range() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, words) in [
        ("--bits 0,2,4", ["bits", "1 to 8 or 32", "weights of 0 bits"]),
        ("--bits 1,2,33", ["bits", "1 to 8 or 32", "gradients of 33 bits"]),
        ("--bits 1,2", ["bits", "W,A,G", ""]),
        ("--lr -1", ["--lr = -1", "above 0", ""]),
        ("--lr NaN", ["--lr = NaN", "above 0", ""]),
        ("--lr 1e400", ["--lr = inf", "up to 1e9", ""]),
        ("--batch-size 0", ["--batch-size = 0", "1 to 32768", ""]),
        ("--batch-size 32769", ["--batch-size = 32769", "1 to 32768", ""]),
        ("--config .", ["is a folder", "TOML file", ""]),
        ("--batch-size 2000", ["--batch-size 2000", "1500 training images", "digits"]),
        ("--epochs 0", ["--epochs = 0", "1 to", ""]),
        ("--model lenet", ["unknown model `lenet`", "svhn-a", "resnet20"]),
        ("--data mnits:x", ["unknown data set `mnits`", "cifar10:PATH", ""]),
        ("--data idx", ["needs a path", "idx:PATH", ""]),
        ("--opt adamw", ["adamw", "sgd", "adam"]),
        ("--learning-rate 1", ["--learning-rate", "", ""]),
        ("--overwrite", ["--output-dir", "", ""]),
        ("--bits-gamma 1", ["--bits-gamma", "--learn-bits", ""]),
        ("--config none.toml", ["none.toml", "does not exist", ""]),
        ("--resume", ["no run", "runs", "--resume RUN"]),
    ] {
        run(folder.path(), &format!("train {flags}")).expect(2, &words);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_model_that_does_not_fit_the_images_names_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "summary --model digits --image 2x2x1").expect(2, &["conv2"]);
}

#[test]
fn a_file_is_refused_with_key_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    for (text, words) in [
        ("lr = 0.1\nmodle = \"digits\"\n", ["line 2", "modle"]),
        ("lr = 0.1\n\nbits = \"0,2,4\"\n", ["my.toml, line 3: bits", "1 to 8 or 32"]),
        ("bits = \"1,2,33\"\n", ["my.toml, line 1: bits", "1 to 8 or 32"]),
        ("lr = nan\n", ["my.toml, line 1: lr", "above 0"]),
        ("epochs = \"many\"\n", ["line 1", "epochs"]),
        ("lr = \n", ["line 1", "my.toml"]),
    ] {
        fs::write(&file, text).unwrap();
        run(folder.path(), "train --config my.toml").expect(2, &words);
        run(folder.path(), "config my.toml").expect(2, &words);
    }
}

#[test]
fn flags_win_over_the_file_and_the_printed_settings_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    fs::write(&file, "lr = 0.25\nepochs = 7\ndata = \"cifar10:some/where\"\n").unwrap();
    let first = run(folder.path(), "config my.toml --lr 0.5 --bits 2,3,6").expect(0, &[]).stdout;
    for line in ["lr = 0.5", "epochs = 7", "bits = \"2,3,6\"", "model = \"digits\"", "seed = 0"] {
        assert!(first.lines().any(|found| found == line), "{line} is not in {first}");
    }
    let absolute = folder.path().canonicalize().unwrap().join("some/where");
    assert!(first.contains(&format!("cifar10:{}", absolute.display())), "{first}");
    fs::write(&file, &first).unwrap();
    assert_eq!(run(Path::new("/"), &format!("config {}", file.display())).expect(0, &[]).stdout, first);
}

#[test]
fn a_folder_is_no_file_of_settings() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "config .").expect(2, &["is a folder", "TOML file"]);
}

#[test]
fn an_unknown_fault_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run_with(folder.path(), "train --epochs 1", &[("BITPLANE_FAULT", "boom@3")]).expect(2, &["boom@3"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
