//! Rows of measurements and how they are printed.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use serde_json::Value;

use crate::cli::bench::Format;
use crate::exit::Failure;
use crate::output;
use crate::report::{DeviceReport, SCHEMA, bytes};
use crate::spread::Spread;

/// One measurement. Field names are a promise to scripts; what does not apply is null.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `roof`, `product`, `layer`, `train`, `infer`, `masks`, `crossover` or `kernel`.
    pub what: &'static str,
    /// Model name.
    pub model: Option<String>,
    /// Bases of each part of the network's structure.
    pub bases: Option<u32>,
    /// Layer name.
    pub layer: Option<String>,
    /// Pass or phase.
    pub pass: Option<String>,
    /// Images of a batch.
    pub batch_size: Option<u32>,
    /// Rows of the left operand.
    pub m: Option<u32>,
    /// Rows of the right operand.
    pub n: Option<u32>,
    /// Elements that are multiplied and summed.
    pub k: Option<u32>,
    /// Runs of `k` elements that are summed with scales of their own.
    pub segments: Option<u32>,
    /// `W,A,G` of a network, planes `LxR` of a product.
    pub bits: Option<String>,
    /// `and` or `xor`.
    pub form: Option<String>,
    /// Kernel with its tuning values.
    pub kernel: Option<String>,
    /// Whether this kernel was the fastest of its group.
    pub fastest: Option<bool>,
    /// Dispatches of the measured kernel.
    pub dispatches: Option<u32>,
    /// Time of one repetition.
    pub ms_median: Option<f64>,
    /// Shortest time.
    pub ms_min: Option<f64>,
    /// Longest time.
    pub ms_max: Option<f64>,
    /// Share of the time of all kernels.
    pub time_share: Option<f64>,
    /// 10^9 operations a second; a pair of bits, bytes or floats that is multiplied and added counts 2.
    pub gops_median: Option<f64>,
    /// Of the longest time.
    pub gops_min: Option<f64>,
    /// Of the shortest time.
    pub gops_max: Option<f64>,
    /// 10^9 bytes a second, each operand and result counted once.
    pub gigabytes_per_second_median: Option<f64>,
    /// `gops_median` by that of the fastest loop of population counts, measured in turns with this row.
    pub roof_share: Option<f64>,
    /// Images a second.
    pub images_per_second_median: Option<f64>,
    /// Of the longest time.
    pub images_per_second_min: Option<f64>,
    /// Of the shortest time.
    pub images_per_second_max: Option<f64>,
    /// 10^9 operations a second of the f32 twin: the same sizes in f32, measured in turns with this row.
    pub f32_gops_median: Option<f64>,
    /// Median time of the f32 twin by the median time of this row: above 1 this row is faster.
    pub f32_ratio: Option<f64>,
    /// K times the median time of the same structure with one base, measured in turns, by the median time of this row of K bases:
    /// above 1 they take less than K networks.
    pub singles_ratio: Option<f64>,
    /// Median time of the first row of the group, a file's widest network or weights of 1 bit, by the median time of this row:
    /// above 1 this row is faster. Both were measured in turns.
    pub first_ratio: Option<f64>,
    /// What shares a number of bits in the right operand.
    pub masks: Option<String>,
    /// Bits of the mean weight.
    pub average_bits: Option<f64>,
    /// Planes of the mean packed word where empty mask words are skipped.
    pub executed_planes: Option<f64>,
    /// Bytes of all buffers on the device.
    pub gpu_bytes: Option<u64>,
    /// Timed repetitions.
    pub repetitions: u32,
    /// `timestamps` of the device, or `wall clock` of the host, which includes the cost of submitting.
    pub timed_by: &'static str,
    /// What the result was compared with before it was timed.
    pub checked: &'static str,
    /// Adapter name.
    pub device: String,
    /// Graphics API.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Lanes of a subgroup, where all have the same number.
    pub subgroup: Option<u32>,
}

impl Row {
    /// An empty row of this adapter.
    pub fn new(what: &'static str, device: &DeviceReport, subgroup: Option<u32>) -> Self {
        let DeviceReport { name, backend, driver, .. } = device.clone();
        Self { schema: SCHEMA, what, device: name, backend, driver, subgroup, ..Self::default() }
    }

    /// With the times of the repetitions.
    pub fn timed(self, times: &Spread, timed_by: &'static str) -> Self {
        let ms = |seconds: f64| Some(1e3 * seconds);
        Self {
            ms_median: ms(times.median),
            ms_min: ms(times.min),
            ms_max: ms(times.max),
            repetitions: times.count,
            timed_by,
            ..self
        }
    }

    /// With the rate of `operations` in each repetition.
    pub fn operations(self, operations: u64, times: &Spread) -> Self {
        let rate =
            |seconds: f64| (seconds > 0.0 && operations > 0).then(|| operations as f64 / seconds * 1e-9);
        Self { gops_median: rate(times.median), gops_min: rate(times.max), gops_max: rate(times.min), ..self }
    }

    /// With the rate of `images` in each repetition.
    pub fn images(self, images: u32, times: &Spread) -> Self {
        let rate = |seconds: f64| Some(f64::from(images) / seconds);
        Self {
            images_per_second_median: rate(times.median),
            images_per_second_min: rate(times.max),
            images_per_second_max: rate(times.min),
            ..self
        }
    }

    /// The fields in the order of [`FIELDS`].
    fn values(&self) -> Vec<Value> {
        let mut row = serde_json::to_value(self).expect("rows are plain values");
        FIELDS.iter().map(|name| row[*name].take()).collect()
    }

    /// What a person reads: rates with their range, sizes in one cell.
    fn cells(&self) -> [(&'static str, String); 23] {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: Option<f64>| value.map_or(String::new(), short);
        let range = |median, min, max| match (median, min, max) {
            (Some(median), Some(min), Some(max)) => {
                format!("{} ({}..{})", short(median), short(min), short(max))
            }
            _ => number(median),
        };
        let percent =
            |share: Option<f64>| share.map_or(String::new(), |share| format!("{:.1} %", 100.0 * share));
        let segments = self.segments.filter(|&s| s > 1).map_or(String::new(), |s| format!(" x {s}"));
        let size = match (self.m, self.n, self.k) {
            (Some(m), Some(n), Some(k)) => format!("{m}x{n}x{k}{segments}"),
            _ => String::new(),
        };
        let best = if self.fastest == Some(true) { " *" } else { "" };
        [
            ("what", self.what.to_owned()),
            ("model", text(&self.model)),
            ("bases", self.bases.map_or(String::new(), |bases| bases.to_string())),
            ("layer", text(&self.layer)),
            ("pass", text(&self.pass)),
            ("batch", self.batch_size.map_or(String::new(), |size| size.to_string())),
            ("m x n x k", size),
            ("bits", format!("{} {}", text(&self.form), text(&self.bits)).trim().to_owned()),
            ("kernel", format!("{}{best}", text(&self.kernel))),
            ("masks", text(&self.masks)),
            ("bits a weight", number(self.average_bits)),
            ("planes executed", number(self.executed_planes)),
            ("ms", range(self.ms_median, self.ms_min, self.ms_max)),
            ("share of time", percent(self.time_share)),
            ("Gop/s", range(self.gops_median, self.gops_min, self.gops_max)),
            ("GB/s", number(self.gigabytes_per_second_median)),
            ("of roof", percent(self.roof_share)),
            (
                "images/s",
                range(self.images_per_second_median, self.images_per_second_min, self.images_per_second_max),
            ),
            ("by f32", number(self.f32_ratio)),
            ("by K singles", number(self.singles_ratio)),
            ("by first", number(self.first_ratio)),
            ("GPU memory", self.gpu_bytes.map_or(String::new(), bytes)),
            ("adapter", format!("{} ({}), {}", self.device, self.driver, self.timed_by)),
        ]
    }
}

/// Columns of the CSV form, the fields in order.
const FIELDS: [&str; 43] = [
    "schema",
    "what",
    "model",
    "bases",
    "layer",
    "pass",
    "batch_size",
    "m",
    "n",
    "k",
    "segments",
    "bits",
    "form",
    "kernel",
    "fastest",
    "dispatches",
    "ms_median",
    "ms_min",
    "ms_max",
    "time_share",
    "gops_median",
    "gops_min",
    "gops_max",
    "gigabytes_per_second_median",
    "roof_share",
    "images_per_second_median",
    "images_per_second_min",
    "images_per_second_max",
    "f32_gops_median",
    "f32_ratio",
    "singles_ratio",
    "first_ratio",
    "masks",
    "average_bits",
    "executed_planes",
    "gpu_bytes",
    "repetitions",
    "timed_by",
    "checked",
    "device",
    "backend",
    "driver",
    "subgroup",
];

/// Three to four significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Prints rows: those of CSV and JSON lines at once, the others when all are there.
#[derive(Debug)]
pub struct Rows {
    format: Format,
    rows: Vec<Row>,
}

impl Rows {
    /// No rows yet.
    pub fn new(format: Format) -> Self {
        Self { format, rows: Vec::new() }
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn push(&mut self, row: Row) -> Result<(), Failure> {
        match self.format {
            Format::Jsonl => output::result(&json(&row))?,
            Format::Csv => {
                if self.rows.is_empty() {
                    output::result(&FIELDS.join(","))?;
                }
                output::result(&csv(&row))?;
            }
            Format::Md | Format::Json => {}
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints what is left.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn finish(&self) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let rows: Vec<String> = self.rows.iter().map(json).collect();
                output::result(&format!("[{}]", rows.join(",\n")))
            }
            Format::Md if !self.rows.is_empty() => output::result(&self.markdown()),
            Format::Md | Format::Csv | Format::Jsonl => Ok(()),
        }
    }

    fn markdown(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let used = |column: &usize| rows.iter().any(|row| !row[*column].1.is_empty());
        let columns: Vec<usize> = (0..rows[0].len()).filter(used).collect();
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(columns.iter().map(|&column| rows[0][column].0));
        for row in &rows {
            table.add_row(columns.iter().map(|&column| row[column].1.replace('|', "\\|")));
        }
        table.to_string()
    }
}

fn json(row: &Row) -> String {
    serde_json::to_string(row).expect("rows are plain values")
}

fn csv(row: &Row) -> String {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    row.values().iter().map(cell).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_column() {
        let value = serde_json::to_value(Row::default()).unwrap();
        let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = FIELDS.to_vec();
        names.sort_unstable();
        columns.sort_unstable();
        assert_eq!(names, columns);
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        let row = Row { device: "a \"b\", c".to_owned(), bits: Some("1,2,4".to_owned()), ..Row::default() };
        let line = csv(&row);
        assert!(line.contains("\"a \"\"b\"\", c\"") && line.contains("\"1,2,4\""), "{line}");
    }
}
