//! Pictures of runs, and the words for what cannot be drawn.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{copy, copy_of_run, finished_run, run, run_with};

/// JSON lines of a file.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn accuracy_and_loss_are_drawn_for_several_runs() {
    let folder = copy_of_run();
    copy(finished_run(), &folder.path().join("other"));
    let ended = run(folder.path(), "plot run other --output a.svg --data a.jsonl").expect(0, &[]);
    assert_eq!(ended.stdout, "wrote a.svg\n");
    let svg = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    for words in
        ["digits on digits", "1,2,4 bits, seed 0 (run)", "1,2,4 bits, seed 0 (other)", "accuracy", "loss"]
    {
        assert!(svg.contains(&format!(">{words}</text>")), "{words}: {svg}");
    }
    let curve = "stroke-width=\"2\" stroke-linejoin=\"round\"/>";
    assert_eq!(svg.matches(curve).count(), 4, "two runs in two panels");
    let data = lines(&folder.path().join("a.jsonl"));
    let mut metrics = lines(&folder.path().join("run/metrics.jsonl"));
    assert_eq!(data.len(), 6);
    for (found, wanted) in data.iter().zip(&mut metrics) {
        wanted["run"] = Value::from("run");
        assert_eq!(found, wanted);
    }
    let title = ["a < b"];
    let mut command = super::support::command(folder.path(), "plot run -o a.svg --title", title);
    assert!(command.status().unwrap().success());
    assert!(fs::read_to_string(folder.path().join("a.svg")).unwrap().contains(">a &lt; b</text>"));
}

#[test]
fn a_png_needs_no_font_of_the_machine() {
    let folder = copy_of_run();
    let none = folder.path().join("none").display().to_string();
    let fonts = [("FONTCONFIG_FILE", none.as_str()), ("FONTCONFIG_PATH", &none), ("HOME", &none)];
    run_with(folder.path(), "plot run --output a.png", &fonts).expect(0, &[]);
    let picture = image::open(folder.path().join("a.png")).expect("a picture").to_rgb8();
    assert!(picture.width() > 1600 && picture.height() > 600, "{:?}", picture.dimensions());
    // The title's letters are the only dark dots at the upper left.
    let dark = |x: u32, y: u32| picture.get_pixel(x, y).0.iter().all(|part| *part < 100);
    let ink = (0..300).flat_map(|x| (30..66).map(move |y| (x, y))).filter(|(x, y)| dark(*x, *y)).count();
    assert!((300..5000).contains(&ink), "{ink} dark dots");
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let folder = copy_of_run();
    run(folder.path(), "plot run").expect(2, &["--output"]);
    run(folder.path(), "plot --output a.svg").expect(2, &["RUN"]);
    for name in ["a.jpg", "a", "a.svg.bak"] {
        run(folder.path(), &format!("plot run --output {name}")).expect(2, &[name, ".svg or .png"]);
    }
    run(folder.path(), "plot nothing --output a.svg").expect(3, &["nothing is not a run folder"]);
    run(folder.path(), "plot run nothing --output a.svg").expect(3, &["nothing is not a run folder"]);
    run(folder.path(), "plot run --output missing/a.svg").expect(7, &["missing/a.svg"]);
    run(folder.path(), "plot run --output a.svg --data missing/a.jsonl").expect(7, &["missing/a.jsonl"]);
    run(folder.path(), "plot run --output a.svg --data ./a.svg")
        .expect(2, &["--output and --data", "same file"]);
    let metrics = folder.path().join("run/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, text.replace("\"epoch\":2", "\"epoch\":9")).unwrap();
    run(folder.path(), "plot run --output a.svg").expect(3, &["metrics.jsonl", "line 2"]);
    for nothing in ["", "{\"epoch\":1,"] {
        fs::write(&metrics, nothing).unwrap();
        run(folder.path(), "plot run --output a.svg")
            .expect(3, &["run is not usable: no epoch is finished yet"]);
    }
    fs::remove_file(&metrics).unwrap();
    run(folder.path(), "plot run --output a.svg").expect(3, &["no epoch is finished yet"]);
    assert!(!folder.path().join("a.svg").exists() && !folder.path().join("a.svg.tmp").exists());
    // A line that training is writing has no end yet.
    fs::write(&metrics, &text[..text.len() - 20]).unwrap();
    run(folder.path(), "plot run --output a.svg --data a.jsonl").expect(0, &[]);
    assert_eq!(lines(&folder.path().join("a.jsonl")).len(), 2);
}
