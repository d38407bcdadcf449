//! `data stats`: how many images of which class, and how bright they are.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use data::{DataError, Dataset, Split};
use serde::Serialize;

use crate::cli::StatsArgs;
use crate::exit::Failure;
use crate::output;
use crate::report::{SCHEMA, bytes, grouped, print_json};

#[derive(Serialize)]
struct Report {
    schema: u32,
    data: String,
    /// Height, width and channels.
    image: [u32; 3],
    classes: Vec<String>,
    train: SplitReport,
    test: SplitReport,
}

#[derive(Debug, PartialEq, Serialize)]
struct SplitReport {
    images: u64,
    bytes: u64,
    /// Images of each class.
    per_class: Vec<u64>,
    /// Mean of each channel, of values 0 to 1.
    mean: Vec<f64>,
    /// Standard deviation of each channel.
    std: Vec<f64>,
}

/// Prints the counts.
///
/// # Errors
/// A refused set.
pub fn run(args: &StatsArgs) -> Result<(), Failure> {
    let dataset = super::open(&args.data, args.skip_bad)?;
    let report = report(&dataset)?;
    if args.json { print_json(&report) } else { output::result(&text(&report)) }
}

fn report(dataset: &Dataset) -> Result<Report, DataError> {
    let split = |split: &Split| measure(split, dataset.classes.len(), dataset.channels as usize);
    Ok(Report {
        schema: SCHEMA,
        data: dataset.name.clone(),
        image: [dataset.height, dataset.width, dataset.channels],
        classes: dataset.classes.clone(),
        train: split(&dataset.train)?,
        test: split(&dataset.test)?,
    })
}

fn measure(split: &Split, classes: usize, channels: usize) -> Result<SplitReport, DataError> {
    let mut per_class = vec![0u64; classes];
    split.labels.iter().for_each(|&label| per_class[label as usize] += 1);
    // Counts of every value give exact sums.
    let mut counts = vec![[0u64; 256]; channels];
    let (mut image, mut bytes) = (Vec::new(), 0);
    for index in 0..split.len() {
        image.clear();
        split.read(index, &mut image)?;
        bytes += image.len() as u64;
        for pixel in image.chunks_exact(channels) {
            pixel.iter().zip(&mut counts).for_each(|(&value, counts)| counts[usize::from(value)] += 1);
        }
    }
    let pixels = (bytes / channels as u64).max(1) as f64;
    let average = |counts: &[u64; 256], of: &dyn Fn(f64) -> f64| {
        counts.iter().enumerate().map(|(value, &count)| count as f64 * of(value as f64 / 255.0)).sum::<f64>()
            / pixels
    };
    let mean: Vec<f64> = counts.iter().map(|counts| average(counts, &|value| value)).collect();
    let deviation =
        |(counts, mean): (&[u64; 256], &f64)| average(counts, &|value| (value - mean).powi(2)).sqrt();
    let std = counts.iter().zip(&mean).map(deviation).collect();
    Ok(SplitReport { images: split.len() as u64, bytes, per_class, mean, std })
}

fn text(report: &Report) -> String {
    let [height, width, channels] = report.image;
    let mut table = markdown(["class", "train", "share", "test", "share"].map(str::to_owned).to_vec());
    let share = |count: u64, of: u64| format!("{:.2} %", 100.0 * count as f64 / of.max(1) as f64);
    for (class, name) in report.classes.iter().enumerate() {
        let (train, test) = (report.train.per_class[class], report.test.per_class[class]);
        let (train_share, test_share) = (share(train, report.train.images), share(test, report.test.images));
        table.add_row([data::printable(name), grouped(train), train_share, grouped(test), test_share]);
    }
    let mut splits = markdown(["split", "images", "size", "mean", "std"].map(str::to_owned).to_vec());
    for (name, split) in [("train", &report.train), ("test", &report.test)] {
        let list = |values: &[f64]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" ");
        let (mean, std) = (list(&split.mean), list(&split.std));
        splits.add_row([name.to_owned(), grouped(split.images), bytes(split.bytes), mean, std]);
    }
    format!(
        "{}: {height}x{width}x{channels}, {} classes; mean and standard deviation of each channel, values 0 to 1\n\n\
         {splits}\n\n{table}",
        data::printable(&report.data),
        report.classes.len()
    )
}

/// A Markdown table whose columns but the first are numbers.
fn markdown(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_means_and_deviations() {
        let split =
            Split { pixels: vec![0, 255, 255, 255, 0, 51, 255, 51], labels: vec![1, 0], ..Split::default() };
        let found = measure(&split, 3, 2).unwrap();
        assert_eq!((found.images, found.bytes, found.per_class), (2, 8, vec![1, 1, 0]));
        let close = |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&found.mean, &[0.5, 0.6]), "{:?}", found.mean);
        assert!(close(&found.std, &[0.5, 0.4]), "{:?}", found.std);
        let empty = measure(&Split::default(), 2, 1).unwrap();
        assert_eq!((empty.images, empty.mean), (0, vec![0.0]));
    }
}
