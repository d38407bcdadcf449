//! How pictures become input: by flag, by a model's recipe, in a run, and what goes with it.

use std::fs;
use std::path::Path;

use super::support::{last_checkpoint, run, run_with};

const LINE: &str =
    "train --limit-train-batches 2 --limit-test-batches 1 --batch-size 25 --lr-scheduler constant";

#[test]
fn a_run_keeps_how_its_pictures_became_input() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{LINE} --preprocess over-256");
    run(folder.path(), &format!("{line} --epochs 2 --output-dir whole")).expect(0, &[]);
    let settings = fs::read_to_string(folder.path().join("whole/config.toml")).unwrap();
    assert!(settings.contains("preprocess = \"over-256\""), "{settings}");
    run(folder.path(), &format!("{line} --epochs 1 --output-dir part")).expect(0, &[]);
    run(folder.path(), "train --resume part --epochs 2 --preprocess plain").expect(2, &["preprocess"]);
    run(folder.path(), "train --resume part --epochs 2").expect(0, &[]);
    run(folder.path(), &format!("{LINE} --epochs 2 --output-dir plain")).expect(0, &[]);
    let [whole, part, plain] =
        ["whole", "part", "plain"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert!(whole == part && whole != plain);
    run(folder.path(), "export whole --output net.safetensors").expect(0, &[]);
    let [run, file] = ["whole --checkpoint best", "net.safetensors"]
        .map(|what| run(folder.path(), &format!("eval {what} --json")).expect(0, &[]).json()["loss"].clone());
    assert_eq!(run, file);
}

#[test]
fn the_middle_of_pictures_is_exported_with_its_scale() {
    let folder = tempfile::tempdir().unwrap();
    for (class, light) in [("train/a", 30), ("train/b", 200), ("val/a", 40), ("val/b", 190)] {
        let class = folder.path().join("set").join(class);
        fs::create_dir_all(&class).unwrap();
        for image in 0..3 {
            let shade = |x: u32, y: u32| image::Rgb([light, (9 * x + 7 * y) as u8, 20 * image]);
            image::RgbImage::from_fn(20, 14, shade).save(class.join(format!("{image}.png"))).unwrap();
        }
    }
    let train = "train --model digits --data folder:set --preprocess imagenet --epochs 1 --batch-size 2 --augment alexnet";
    run(folder.path(), &format!("{train} --output-dir run")).expect(0, &[]);
    run(folder.path(), "export run --output net.safetensors").expect(0, &[]);
    let [run, file] = ["run", "net.safetensors --data folder:set"]
        .map(|what| run(folder.path(), &format!("eval {what} --json")).expect(0, &[]).json());
    assert_eq!((&run["loss"], &run["correct"]), (&file["loss"], &file["correct"]));
}

/// Pictures of 90x120 with lines of one pixel, which a network of 40x40 would see as another pattern if it took single pixels.
fn fine_lines(set: &Path) {
    for (class, shift) in [("train/a", 0), ("train/b", 60), ("val/a", 10), ("val/b", 70)] {
        let class = set.join(class);
        fs::create_dir_all(&class).unwrap();
        for image in 0..3 {
            let pixel = |x: u32, y: u32| {
                let dark = if (x + image).is_multiple_of(3) { 0 } else { 150 };
                image::Rgb([dark, shift + (y % 2 * 90) as u8, (x + y) as u8])
            };
            image::RgbImage::from_fn(120, 90, pixel).save(class.join(format!("{image}.png"))).unwrap();
        }
    }
}

#[test]
fn large_pictures_are_averaged_alike_wherever_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    fine_lines(&set);
    let train = "train --model svhn-d --data folder:set --batch-size 2 --lr-scheduler constant --augment svhn --output-dir";
    let says = "pictures of 90x120 are read as 40x40";
    run(folder.path(), &format!("{train} run --epochs 2")).expect(0, &[says]);
    let in_files = [("BITPLANE_PICTURES", "files")];
    run_with(folder.path(), &format!("{train} files --epochs 1"), &in_files).expect(0, &[says]);
    let part = last_checkpoint(&folder.path().join("files"));
    run(folder.path(), "export run --output net.safetensors").expect(0, &[]);

    // One picture and the same one as it is seen.
    let small = data::decode_image(&set.join("val/a/0.png"), 40, 40, 3).unwrap();
    image::RgbImage::from_raw(40, 40, small).unwrap().save(folder.path().join("small.png")).unwrap();
    let guesses = |what: &str, picture: &str| {
        let line = format!("predict {what} {picture} --json");
        run(folder.path(), &line).expect(0, &[]).json()["predictions"][0]["guesses"].clone()
    };
    let wanted = guesses("run", "small.png");
    for (what, picture) in
        [("run", "set/val/a/0.png"), ("net.safetensors", "small.png"), ("net.safetensors", "set/val/a/0.png")]
    {
        assert_eq!(guesses(what, picture), wanted, "{what} {picture}");
    }
    let loss = |line: &str| run(folder.path(), line).expect(0, &[]).json()["loss"].clone();
    let evaluated = loss("eval run --json");
    assert_eq!(evaluated, loss("eval net.safetensors --data folder:set --json"));

    // Another first picture changes the size of the set, and not what a run reads.
    let first = set.join("train/a/0.png");
    let small = image::open(&first).unwrap().resize_exact(40, 40, image::imageops::FilterType::Triangle);
    small.crop_imm(0, 0, 40, 40).save(&first).unwrap();
    run(folder.path(), "train --resume files --epochs 2").expect(0, &[]);
    let [whole, resumed] = ["run", "files"].map(|name| last_checkpoint(&folder.path().join(name)));
    assert!(whole == resumed && part != whole);
    image::RgbImage::new(9, 9).save(&first).unwrap();
    assert_eq!(loss("eval run --json"), evaluated);
}

#[test]
fn a_recipe_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |line: &str| run(folder.path(), &format!("config {line}")).expect(0, &[]).stdout;
    assert!(settings("--model alexnet").contains("preprocess = \"imagenet\""));
    assert!(settings("--model alexnet --preprocess plain").contains("preprocess = \"plain\""));
    assert!(settings("--model alexnet").contains("augment = \"alexnet\""));
    // What is not asked for is not part of the settings, so that those of old runs are still the same.
    assert!(!settings("--model svhn-a").contains("preprocess"));
    assert!(!settings("--model svhn-a --preprocess plain").contains("preprocess"));
}

#[test]
fn what_does_not_go_together_is_refused_first() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "train --preprocess over-256 --quantize-first")
        .expect(2, &["--quantize-first", "--preprocess plain"]);
    run(folder.path(), "train --model alexnet --quantize-first").expect(2, &["--preprocess plain"]);
    run(folder.path(), "train --preprocess imagenet --output-dir run")
        .expect(2, &["3 channels, these have 1"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
