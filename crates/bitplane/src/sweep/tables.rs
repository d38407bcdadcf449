//! The files of a sweep's results: `results.csv`, `results.jsonl`, `results.md` and `results.svg`, and `average-bits.svg` where
//! points have bits on average.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::average_picture;
use super::folder::Folder;
use super::picture;
use super::plan::Plan;
use super::results::{Comparison, Group, Results, Row};
use crate::average_bits::AverageBits;
use crate::exit::Failure;
use crate::lock::Lock;
use crate::output::shown;
use crate::storage::{Disk, replace};

/// Accuracy over bits on average.
const AVERAGE_PICTURE: &str = "average-bits.svg";

/// Columns of bits on average.
const AVERAGES: [&str; 2] = ["weight bits", "activation bits"];

/// Reads all run folders and replaces the files; each is always whole. Sweeps of other shards in the same folder wait.
///
/// # Errors
/// The file system's.
pub fn write(folder: &Folder, plan: &Plan) -> Result<(), Failure> {
    let _lock = Lock::wait(folder.path())?;
    let results = Results::gather(folder, plan);
    let json = |row: &Row| serde_json::to_string(row).expect("rows are plain values") + "\n";
    let files = [
        ("results.csv", csv(&results, &plan.axes, plan.has_averages())),
        ("results.jsonl", results.points.iter().map(json).collect()),
        ("results.md", markdown(&results, plan)),
        ("results.svg", picture::svg(&results)),
    ];
    let over_bits = average_picture::svg(&results).map(|text| (AVERAGE_PICTURE, text));
    for (name, text) in files.into_iter().chain(over_bits) {
        replace(&Disk, &folder.path().join(name), text.as_bytes())?;
    }
    Ok(())
}

fn csv(results: &Results, axes: &[String], averages: bool) -> String {
    let names = ["point", "model", "bits", "seed"].into_iter().chain(axes.iter().map(String::as_str));
    let measured = ["best_accuracy", "best_epoch", "final_loss", "images_per_second", "seconds"];
    let bits = if averages { &["average_weight_bits", "average_activation_bits"][..] } else { &[] };
    let ending = ["status", "exit_code", "message", "run"];
    let header = names.chain(measured).chain(bits.iter().copied()).chain(ending);
    let mut text = header.collect::<Vec<_>>().join(",") + "\n";
    for row in &results.points {
        let mut cells = vec![row.point.clone(), row.model.clone(), row.bits.clone(), row.seed.to_string()];
        cells.extend(row.axes.values().cloned());
        cells.extend([open(row.best_accuracy), open(row.best_epoch), open(row.final_loss)]);
        cells.extend([open(row.images_per_second), open(row.seconds)]);
        cells.extend(averages.then(|| AverageBits::cells(row.average_bits)).into_iter().flatten());
        cells.push(row.status.to_owned());
        cells.extend([open(row.exit_code), open(row.message.clone()), row.run.clone()]);
        text.push_str(&cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn open(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// The tables that people read.
pub fn markdown(results: &Results, plan: &Plan) -> String {
    let count = |status| results.with_status(status).count();
    let seconds: f64 = results.points.iter().filter_map(|row| row.seconds).sum();
    let mut parts = vec![
        format!("# {}", results.title),
        format!(
            "`{}`: {} of {} points finished, {} failed, {} open; {} of training.",
            plan.command(),
            count("finished"),
            results.points.len(),
            count("failed"),
            count("open"),
            duration(seconds)
        ),
        format!("## Best test accuracy over seeds\n\n{}", groups(&results.groups, plan)),
    ];
    for baseline in &plan.baselines {
        let name = super::plan::inline(baseline);
        let compared: Vec<&Comparison> = results.comparisons.iter().filter(|c| c.baseline == name).collect();
        parts.push(format!(
            "## Differences to {name}, paired by seed\n\n{}\n\n\
             An order is claimed only where the mean difference exceeds two standard errors.",
            comparisons(&compared, plan)
        ));
    }
    parts.push(format!("## Points\n\n{}", points(results, plan)));
    parts.join("\n\n") + "\n"
}

/// One line a group of seeds.
pub fn groups(groups: &[Group], plan: &Plan) -> String {
    let averages = plan.has_averages();
    let mut header = varied(plan);
    header.extend(averages.then_some(AVERAGES).into_iter().flatten().map(str::to_owned));
    header.extend(["seeds", "mean", "deviation", "range"].map(str::to_owned));
    header.extend(plan.has_published().then(|| "published".to_owned()));
    let row = |group: &Group| {
        let values: Vec<f64> = group.accuracies.values().copied().collect();
        let (least, most) =
            (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        let range = least.zip(most).map(|(least, most)| format!("{least:.4} to {most:.4}"));
        let mut cells: Vec<String> = group.settings.iter().map(|(_, value)| value.clone()).collect();
        cells.extend(averages.then(|| AverageBits::cells(group.average_bits)).into_iter().flatten());
        cells.extend([values.len().to_string(), digits(group.mean), digits(group.deviation), open(range)]);
        cells.extend(
            plan.has_published().then(|| group.published.map_or(String::new(), |p| format!("{p:.3}"))),
        );
        cells
    };
    table(header, groups.iter().map(row))
}

fn comparisons(compared: &[&Comparison], plan: &Plan) -> String {
    let mut header = varied(plan);
    header.extend(["pairs", "difference", "standard error", "order"].map(str::to_owned));
    let row = |comparison: &&Comparison| {
        let mut cells: Vec<String> = comparison.settings.iter().map(|(_, value)| value.clone()).collect();
        cells.push(comparison.pairs.to_string());
        cells.push(format!("{:+.4}", comparison.difference));
        cells.push(digits(comparison.standard_error));
        cells.push(comparison.order.unwrap_or("none claimed").to_owned());
        cells
    };
    table(header, compared.iter().map(row))
}

fn points(results: &Results, plan: &Plan) -> String {
    let averages = plan.has_averages();
    let mut header = varied(plan);
    header.extend(averages.then_some(AVERAGES).into_iter().flatten().map(str::to_owned));
    let measured = ["seed", "best accuracy", "in epoch", "final loss", "images/s", "seconds", "status"];
    header.extend(measured.map(str::to_owned));
    let row = |row: &Row| {
        let mut cells = vec![row.model.clone(), row.bits.clone()];
        cells.extend(row.axes.values().cloned());
        cells.extend(averages.then(|| AverageBits::cells(row.average_bits)).into_iter().flatten());
        let status = match (row.exit_code, &row.message) {
            (Some(code), Some(message)) => format!("failed, exit code {code}: {message}"),
            (None, Some(message)) => format!("failed: {message}"),
            _ => row.status.to_owned(),
        };
        cells.extend([row.seed.to_string(), digits(row.best_accuracy), open(row.best_epoch)]);
        cells.extend([digits(row.final_loss), whole(row.images_per_second), whole(row.seconds), status]);
        cells
    };
    table(header, results.points.iter().map(row))
}

/// The names of what varies but the seed.
fn varied(plan: &Plan) -> Vec<String> {
    ["model", "bits"].into_iter().chain(plan.axes.iter().map(String::as_str)).map(str::to_owned).collect()
}

fn table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| cell.replace('|', "\\|")));
    }
    table.to_string()
}

fn digits(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.4}"))
}

fn whole(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.0}"))
}

/// `4000` as `1 h 07 min`.
fn duration(seconds: f64) -> String {
    // The sum of no times is -0.
    let seconds = seconds + 0.0;
    let minutes = seconds / 60.0;
    match minutes {
        minutes if minutes < 2.0 => format!("{seconds:.0} s"),
        minutes if minutes < 100.0 => format!("{minutes:.0} min"),
        minutes => format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), (minutes % 60.0).floor()),
    }
}

/// What the program says at the end.
pub fn closing(results: &Results, plan: &Plan, folder: &Folder) -> String {
    let over_bits = average_picture::is_drawn(results).then(|| AVERAGE_PICTURE.to_owned());
    let files = ["md", "csv", "jsonl", "svg"].map(|kind| format!("results.{kind}"));
    let files = files.into_iter().chain(over_bits).map(|file| shown(&folder.path().join(file)));
    format!("{}\n\n{}", groups(&results.groups, plan), files.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells_whatever_they_hold() {
        assert_eq!(
            ["a b", "a,b", "a\"b", "a\nb", "a\rb"].map(quoted),
            ["a b", "\"a,b\"", "\"a\"\"b\"", "\"a\nb\"", "\"a\rb\""]
        );
        let table = table(vec!["one".to_owned()], [vec!["a|b".to_owned()]].into_iter());
        assert_eq!(table.lines().last(), Some("| a\\|b |"));
    }

    #[test]
    fn durations_are_in_the_unit_that_tells_them() {
        let words = ["0 s", "119 s", "2 min", "100 min", "1 h 40 min", "2 h 00 min"];
        assert_eq!([-0.0, 119.0, 120.0, 5999.0, 6000.0, 7200.0].map(duration), words);
    }
}
