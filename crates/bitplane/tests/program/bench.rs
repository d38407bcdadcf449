//! `bench`: rows that parse in every format, grids, and arguments that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use super::support::{Ended, run, run_with, start};

/// Every subcommand at sizes that take a moment.
const SMALL: [&str; 7] = [
    "roof",
    "product -m 33 -n 17 -k 65 --kernels auto,f32",
    "layer --layer conv1,conv2 --batch-size 8",
    "train --batch-size 8",
    "infer --batch-size 8 --profile",
    "masks -m 33 -n 10 -k 100",
    "crossover -m 33 -n 17 -k 65 --widths 1-2x1",
];

/// Fields that scripts may rely on in every row.
const PROMISED: [&str; 18] = [
    "what",
    "m",
    "n",
    "k",
    "bits",
    "kernel",
    "gops_median",
    "roof_share",
    "images_per_second_median",
    "f32_ratio",
    "singles_ratio",
    "bases",
    "gpu_bytes",
    "device",
    "driver",
    "repetitions",
    "ms_min",
    "ms_max",
];

fn bench(arguments: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &format!("bench {arguments}"))
}

#[track_caller]
fn check_rows(rows: &[Value], what: &str) {
    assert!(!rows.is_empty(), "{what}");
    for row in rows {
        let row = row.as_object().unwrap();
        for field in PROMISED {
            assert!(row.contains_key(field), "{what} lacks {field}");
        }
        assert_eq!(row["repetitions"], 1, "{what}");
        for field in ["device", "driver", "checked", "timed_by"] {
            assert_ne!(row[field].as_str().unwrap(), "", "{what} {field}");
        }
        for field in ["ms_median", "gops_median", "roof_share", "images_per_second_median", "f32_ratio"] {
            assert!(row[field].is_null() || row[field].as_f64().unwrap() > 0.0, "{what} {field}: {row:?}");
        }
    }
}

/// The value of `field` in rows of kind `what`.
fn column<'a>(rows: &'a [Value], what: &str, field: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["what"] == what).map(|row| &row[field]).collect()
}

#[test]
fn every_subcommand_gives_json_rows_with_the_promised_fields() {
    for line in SMALL {
        let array = bench(&format!("{line} -r 1 -o json")).expect(0, &["adapter"]);
        let rows: Vec<Value> = serde_json::from_str(&array.stdout).expect("a JSON array");
        check_rows(&rows, line);
        let lines = bench(&format!("{line} -r 1 -o jsonl")).expect(0, &[]);
        let parsed: Vec<Value> =
            lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_rows(&parsed, line);
        assert_eq!(parsed.len(), rows.len(), "{line}");
        let kernels = |rows: &[Value]| rows.iter().map(|row| row["kernel"].to_string()).collect::<Vec<_>>();
        if line.starts_with("infer") {
            let classes = column(&rows, "kernel", "time_share");
            let all: f64 = classes.iter().map(|share| share.as_f64().unwrap()).sum();
            assert!((all - 2.0).abs() < 1e-6, "shares of bits and of f32 are each 1 in all: {all}");
            let bytes = column(&rows, "infer", "gpu_bytes");
            assert_eq!((bytes.len(), bytes.iter().all(|bytes| bytes.as_u64().unwrap() > 0)), (2, true));
        } else {
            assert_eq!(kernels(&parsed), kernels(&rows), "{line}");
        }
    }
}

#[test]
fn bases_are_measured_beside_one_base() {
    let line = "train --structure layer-wise --try-bases 3,2 --batch-size 4 -r 1 -o json";
    let rows: Vec<Value> = serde_json::from_str(&bench(line).expect(0, &[]).stdout).expect("a JSON array");
    assert_eq!(column(&rows, "train", "bases"), [&Value::from(3), &2.into(), &1.into(), &Value::Null]);
    let ms =
        column(&rows, "train", "ms_median").into_iter().map(|ms| ms.as_f64().unwrap()).collect::<Vec<_>>();
    let ratios = column(&rows, "train", "singles_ratio");
    for (at, bases) in [(0, 3.0), (1, 2.0)] {
        let wanted = bases * ms[2] / ms[at];
        assert!((ratios[at].as_f64().unwrap() - wanted).abs() < 1e-9 * wanted, "{rows:?}");
    }
    assert!(ratios[2].is_null() && ratios[3].is_null());
    bench("train --try-bases 2").expect(2, &["--structure"]);
    bench("train --structure v1 --try-bases 2 --bases 3").expect(2, &["--bases"]);
    bench("train --structure v1 --try-bases 65").expect(2, &["65 bases"]);
}

#[test]
fn every_subcommand_gives_a_table() {
    for line in SMALL {
        let ended = bench(&format!("{line} -r 1")).expect(0, &[]);
        let lines: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with('|')).collect();
        assert!(lines.len() >= 3 && lines[1].starts_with("|-"), "{}", ended.stdout);
        let columns = |line: &str| line.matches('|').count() - line.matches("\\|").count();
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{}", ended.stdout);
    }
}

/// The cells of a line of CSV.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => cells.last_mut().unwrap().push(letter),
        }
    }
    cells
}

#[test]
fn every_subcommand_gives_csv() {
    for line in SMALL {
        let ended = bench(&format!("{line} -r 1 -o csv")).expect(0, &[]);
        let mut lines = ended.stdout.lines().map(cells);
        let header = lines.next().expect("a header");
        let mut rows = 0;
        for row in lines {
            assert_eq!(row.len(), header.len(), "{line}");
            let row: BTreeMap<_, _> = header.iter().zip(&row).collect();
            for field in PROMISED {
                assert!(row.contains_key(&field.to_owned()), "{line} lacks {field}");
            }
            assert!(row[&"device".to_owned()].len() > 1 && row[&"repetitions".to_owned()] == "1");
            rows += 1;
        }
        assert!(rows > 0, "{line}");
    }
}

/// The costs of three masks at one mix, beside weights of 1 bit.
#[test]
fn masks_are_measured_with_what_they_execute() {
    let line = "masks -m 33 -n 10 -k 128 --planes 2 -r 2 -o json";
    let rows: Vec<Value> = serde_json::from_str(&bench(line).expect(0, &[]).stdout).unwrap();
    let cost = |field: &str| rows.iter().map(|row| row[field].as_f64().unwrap()).collect::<Vec<_>>();
    let names: Vec<&str> = rows.iter().map(|row| row["masks"].as_str().unwrap()).collect();
    assert_eq!(names, ["1 bit", "element", "word", "channel"]);
    assert_eq!(cost("average_bits"), [1.0, 1.4, 1.4, 1.4]);
    let planes = cost("executed_planes");
    assert_eq!([planes[0], planes[2], planes[3]], [1.0, 1.4, 1.4]);
    assert!(planes[1] > 2.5, "nearly every word has a weight of every width: {planes:?}");
    assert_eq!(cost("first_ratio")[0], 1.0);
    for (line, words) in [
        ("masks --planes 9", "1 to 8"),
        ("masks --bit-mix 1:0.5", "add up to 0.5"),
        ("masks -k 4294967295 -n 64", "32 bits"),
    ] {
        bench(line).expect(2, &[words]);
    }
}

#[test]
fn lists_and_ranges_span_a_grid() {
    let line = "product -m 8,16-32*2 -n 9 -k 32-96+32 --planes 1-2x1,3x2 --form and,xor -r 1 -o json";
    let rows: Vec<Value> = serde_json::from_str(&bench(line).expect(0, &[]).stdout).unwrap();
    assert_eq!(rows.len(), 3 * 3 * 3 * 2);
    let distinct = |field: &str| {
        let mut values: Vec<String> = rows.iter().map(|row| row[field].to_string()).collect();
        values.sort();
        values.dedup();
        values
    };
    assert_eq!(distinct("m"), ["16", "32", "8"]);
    assert_eq!(distinct("k"), ["32", "64", "96"]);
    assert_eq!(distinct("bits"), ["\"1x1\"", "\"2x1\"", "\"3x2\""]);
    assert_eq!(distinct("form"), ["\"and\"", "\"xor\""]);
    for row in &rows {
        // One pair of planes counts 2mnk operations.
        let size = |field: &str| row[field].as_f64().unwrap();
        let pairs = match row["bits"].as_str().unwrap() {
            "1x1" => 1.0,
            "2x1" => 2.0,
            _ => 6.0,
        };
        let operations = 2.0 * size("m") * size("n") * size("k") * pairs;
        let rate = operations / size("ms_median") * 1e-6;
        assert!((size("gops_median") / rate - 1.0).abs() < 1e-9, "{row}");
    }
    let line = "infer --model digits --bits 1,2,4 --bits 32,32,32 --batch-size 2-4*2 -r 1 -o json";
    let rows: Vec<Value> = serde_json::from_str(&bench(line).expect(0, &[]).stdout).unwrap();
    let found: Vec<_> =
        rows.iter().map(|row| (row["bits"].as_str().unwrap(), row["batch_size"].clone())).collect();
    let expected =
        [("1,2,4", 2), ("32,32,32", 2), ("1,2,4", 4), ("32,32,32", 4), ("32,32,32", 2), ("32,32,32", 4)];
    assert_eq!(found, expected.map(|(bits, size)| (bits, Value::from(size))));
}

#[test]
fn wrong_arguments_are_refused_with_a_reason() {
    let refused = [
        ("", 2, "Usage"),
        ("speed", 2, "unrecognized"),
        ("roof -r 0", 2, "not in 1"),
        ("roof -o xml", 2, "md, csv, json, jsonl"),
        ("roof --device 99", 4, "no adapter matches"),
        ("product -m 0", 2, "numbers start at 1"),
        ("product -m 8-4", 2, "does not lead"),
        ("product -k 99999999", 2, "at most"),
        ("product -m 99999999 -n 99999999", 2, "32 bits"),
        ("product -m 1-4096 -n 1-4096", 2, "more than 100000 points"),
        ("product -m 4000000 -n 8 -k 4096", 4, "measure smaller sizes"),
        ("product --planes 9x1", 2, "1 to 8"),
        ("product --form or", 2, "and, xor"),
        ("product --kernels fast", 2, "known are auto, bits"),
        ("product -m 8 -n 8 -k 8 --kernels subgroup:64x4x16", 2, "no kernel `subgroup:64x4x16`"),
        ("layer --layer nose", 2, "conv1"),
        ("train --model vgg16", 2, "svhn-a"),
        ("train --bits 9,1,1", 2, "1 to 8, or 32"),
        ("train --kernels fast", 2, "possible values: auto, bits"),
        ("train --batch-size 40000", 2, "at most 32768"),
        ("crossover -m 0", 2, "not in 1"),
        ("crossover --widths 1x", 2, "no number"),
        ("crossover --svg no/folder/x.svg", 7, "cannot write no/folder/x.svg"),
        ("crossover --svg .", 7, "directory"),
    ];
    for (line, code, word) in refused {
        let ended = bench(line).expect(code, &[word]);
        assert_eq!(ended.stdout, "", "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn arguments_are_looked_at_before_a_device_is() {
    let folder = tempfile::tempdir().unwrap();
    let none = [("VK_DRIVER_FILES", "/dev/null"), ("VK_ICD_FILENAMES", "/dev/null")];
    for line in SMALL {
        run_with(folder.path(), &format!("bench {line}"), &none).expect(4, &["no Vulkan"]);
    }
    for line in ["train --model vgg16", "product --kernels fast", "layer --layer nose", "product -k 99999999"]
    {
        run_with(folder.path(), &format!("bench {line}"), &none).expect(2, &[]);
    }
    run_with(folder.path(), "bench crossover --svg no/x.svg", &none).expect(7, &[]);
}

#[test]
fn the_crossover_is_drawn_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("x.svg");
    fs::write(&picture, "old").unwrap();
    let line = "bench crossover -m 9 -n 9 -k 33,64 --widths 1-2x1-3 -r 1 --svg x.svg";
    run(folder.path(), &format!("{line} --device 99")).expect(4, &[]);
    assert_eq!(fs::read_to_string(&picture).unwrap(), "old");
    let ended = run(folder.path(), line).expect(0, &[]);
    let text = fs::read_to_string(&picture).unwrap();
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
    assert_eq!(text.matches("<title>").count(), 2 * 2 * 3, "a cell for each pair of widths at each k");
    assert_eq!(ended.stdout.matches("9x9x").count(), 2, "{}", ended.stdout);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn an_interrupted_measurement_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), "bench product -m 8-4000+1 -n 64 -k 64 -r 1 -o jsonl");
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    rows.read_line(&mut text).unwrap();
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    rows.read_to_string(&mut text).unwrap();
    Ended::from(child.wait_with_output().unwrap()).expect(130, &["interrupted", "rows"]);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    check_rows(&rows, "what was measured");
}
