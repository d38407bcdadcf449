//! Exported files: they stand for their run, and what is wrong with one is said.

use std::fs;
use std::path::Path;

use super::support::{copy_of_run, finished_run, run};

const RESULTS: [&str; 5] = ["test_accuracy", "correct", "top5", "total", "loss"];

#[test]
fn a_packed_file_stands_for_its_run() {
    let folder = copy_of_run();
    let picture = folder.path().join("picture.png");
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 20 + y * 9) as u8])).save(&picture).unwrap();
    let of_run = run(folder.path(), "eval run --json").expect(0, &[]).json();
    let guess = run(folder.path(), "predict run picture.png --json").expect(0, &[]).json();
    let report = run(folder.path(), "export run --output network.safetensors --json").expect(0, &[]).json();
    let size = fs::metadata(folder.path().join("network.safetensors")).unwrap().len();
    assert_eq!(report["bytes"], size);
    assert!(size as f64 <= 1.03 * report["counted_bytes"].as_f64().unwrap() + 16384.0);
    fs::remove_dir_all(folder.path().join("run")).unwrap();
    let of_file = run(folder.path(), "eval network.safetensors --json").expect(0, &[]).json();
    for result in RESULTS {
        assert_eq!(of_file[result], of_run[result], "{result}");
    }
    assert!(of_file["total"].as_u64().unwrap() >= 256);
    assert_eq!(of_file["bits"], of_run["bits"]);
    let guessed = run(folder.path(), "predict network.safetensors picture.png --json").expect(0, &[]).json();
    assert_eq!(guessed["predictions"], guess["predictions"]);
    let line = "bench infer network.safetensors -r 1 -b 3 -o json --threads 2";
    let rows: serde_json::Value =
        serde_json::from_str(&run(folder.path(), line).expect(0, &[]).stdout).unwrap();
    let of = |at: usize, field: &str| rows[at][field].clone();
    assert_eq!((of(0, "kernel"), of(1, "kernel")), ("auto".into(), "processor, 2 threads".into()));
    assert!(of(0, "checked").as_str().unwrap().starts_with("the processor"), "{rows}");
    assert!(of(1, "images_per_second_median").as_f64().unwrap() > 0.0);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".tmp")), "{left:?}");
}

#[test]
fn what_cannot_be_exported_or_written_is_said() {
    let folder = copy_of_run();
    run(folder.path(), "export none --output x").expect(3, &["none", "not a run folder"]);
    run(folder.path(), "export run --output run").expect(7, &["run", "cannot write"]);
    run(folder.path(), "export run --output none/x").expect(7, &["none/x", "cannot write"]);
    run(folder.path(), "export run --output network").expect(0, &[]);
    run(folder.path(), "export network --output x").expect(2, &["packed already"]);
    run(folder.path(), "eval network --checkpoint last").expect(2, &["no --checkpoint"]);
    assert!(!folder.path().join("x").exists());
    let line = "train --bits 1,32,32 --epochs 1 --limit-train-batches 1 --limit-test-batches 1 -b 2 --output-dir wide";
    run(folder.path(), line).expect(0, &[]);
    let of_run = run(folder.path(), "eval wide --json").expect(0, &[]).json();
    run(folder.path(), "export wide --output x").expect(0, &[]);
    let of_file = run(folder.path(), "eval x --bits 1,32 --json");
    assert_ne!(of_file.code, Some(0), "f32 is no width to cut to");
    let of_file = run(folder.path(), "eval x --json").expect(0, &[]).json();
    RESULTS.iter().for_each(|result| assert_eq!(of_file[result], of_run[result], "{result}"));
    run(folder.path(), "eval network --bits 1")
        .expect(2, &["no network of 1 bits of weights and 1", "but 1,2"]);
    run(folder.path(), "eval network --bits 1,2").expect(0, &[]);
    run(folder.path(), "eval network --bits-map conv1=1").expect(2, &["packed file"]);
}

/// Weights with masks, pictures in planes, magnitudes: the file's results are the run's.
#[test]
fn runs_of_other_methods_are_exported_too() {
    let folder = tempfile::tempdir().unwrap();
    for (name, flags) in [
        ("mixed", "--bit-mix 1:0.7,2:0.2,3:0.1"),
        ("words", "--bit-mix 1:0.6,2:0.4 --mask-granularity word"),
        ("channels", "--bit-mix 1:0.7,2:0.3 --activation-mix 1:0.5,2:0.5"),
        ("layers", "--structure layer-wise --bases 2 --bits 1,1,4 --binary-activations sign"),
        ("blocks", "--structure v1 --bases 2 --bits 1,2,4 --clip 1.7 --weight-scale channel"),
        ("mixed-bases", "--structure v1 --bases 2 --bit-mix 1:0.7,2:0.3"),
        ("factors", "--structure v1 --bases 2 --bits 1,1,4 --binary-activations sign --activation-scale"),
        ("first", "--bits 1,2,4 --quantize-first --quantize-last"),
        ("cabs", "--bits 2,2,4 --activation-form cabs --rounding floor"),
    ] {
        let line = format!("train {flags} --epochs 1 --limit-train-batches 3 --output-dir {name}");
        run(folder.path(), &line).expect(0, &[]);
        let of_run = run(folder.path(), &format!("eval {name} --json")).expect(0, &[]).json();
        run(folder.path(), &format!("export {name} --output {name}.file")).expect(0, &[]);
        let of_file = run(folder.path(), &format!("eval {name}.file --json")).expect(0, &[]).json();
        RESULTS.iter().for_each(|result| assert_eq!(of_file[result], of_run[result], "{name}: {result}"));
    }
}

#[test]
fn a_damaged_packed_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.safetensors");
    let line = format!("export {} --output n.safetensors", finished_run().display());
    run(folder.path(), &line).expect(0, &[]);
    let bytes = fs::read(&file).unwrap();
    let verbs = ["eval n.safetensors", "predict n.safetensors x.png", "bench infer n.safetensors"];
    let refuse = |contents: &[u8], words: &[&str]| {
        fs::write(&file, contents).unwrap();
        for verb in verbs {
            run(folder.path(), verb).expect(3, words);
        }
    };
    refuse(&bytes[..bytes.len() / 2], &["n.safetensors", "tensors"]);
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refuse(&flipped, &["n.safetensors is damaged", "SHA-256"]);
    refuse(b"", &["n.safetensors is not a packed network"]);
    refuse(&fs::read(first_checkpoint(finished_run())).unwrap(), &["n.safetensors is not a packed network"]);
    let mut newer = bytes;
    let at = newer.windows(12).position(|found| found == b"\\\"format\\\":1").expect("a version");
    newer[at + 11] = b'7';
    refuse(&newer, &["packed format 7", "reads 1 to 4"]);
}

fn first_checkpoint(run: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "safetensors")).unwrap()
}
