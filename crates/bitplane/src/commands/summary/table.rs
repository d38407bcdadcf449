//! The summary as a person reads it.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};
use graph::FULL_PRECISION;

use super::{Macs, Report, Row};
use crate::cli::TableFormat;
use crate::report::{bytes, grouped};

const HEADER: [&str; 13] = [
    "layer",
    "kind",
    "input",
    "weights",
    "gradient",
    "output",
    "parameters",
    "packed",
    "f32",
    "MACs",
    "forward",
    "grad_input",
    "grad_weight",
];
/// The first column of numbers.
const NUMBERS: usize = 6;

/// Title, table and totals.
pub fn text(report: &Report, format: TableFormat) -> String {
    let mut table = styled(format);
    let narrower = report.widths.iter().skip(1).map(|width| format!("forward at {}", width.bits));
    table.set_header(HEADER.map(str::to_owned).into_iter().chain(narrower));
    table.add_rows(report.layers.iter().map(cells));
    table.add_row(total(report));
    for index in NUMBERS..HEADER.len() + report.widths.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let [height, width, channels] = report.image;
    let [weight, activation, gradient] = report.bits;
    let title = format!(
        "{} at {weight},{activation},{gradient} bits on {height}x{width}x{channels} images, {} classes",
        report.model, report.classes
    );
    let lines = lines(report);
    let estimate = report.speed_up.as_ref().map_or(String::new(), |speed_up| speed_up.text(format));
    match format {
        TableFormat::Plain => {
            let lines: Vec<String> = lines.iter().map(|[name, value]| format!("{name:<19}{value}")).collect();
            format!("{title}\n{table}\n{}{estimate}", lines.join("\n"))
        }
        TableFormat::Md => {
            let lines: Vec<String> = lines.iter().map(|[name, value]| format!("- {name}: {value}")).collect();
            format!("{title}\n\n{table}\n\n{}{estimate}", lines.join("\n"))
        }
    }
}

/// An empty table of this form.
pub(super) fn styled(format: TableFormat) -> Table {
    let mut table = Table::new();
    table.load_style(match format {
        TableFormat::Plain => UTF8_BORDERS_ONLY,
        TableFormat::Md => ASCII_MARKDOWN,
    });
    table
}

fn cells(row: &Row) -> Vec<String> {
    let count = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    let size = |size: u64| if size == 0 { String::new() } else { bytes(size) };
    let pairs = |pairs: Option<u32>| match pairs {
        None => String::new(),
        Some(0) => "f32".to_owned(),
        Some(pairs) => pairs.to_string(),
    };
    let width = |bits: Option<u32>| bits.map_or(String::new(), precision);
    let own = [
        row.name.clone(),
        row.kind.clone(),
        width(row.input_bits),
        width(row.weight_bits),
        width(row.gradient_bits),
        row.output.clone(),
        count(row.parameters),
        size(row.stored_bytes),
        size(row.float_bytes),
        count(row.macs),
        pairs(row.plane_pairs.forward),
        pairs(row.plane_pairs.grad_input),
        pairs(row.plane_pairs.grad_weight),
    ];
    own.into_iter().chain(row.narrower_pairs.iter().copied().map(pairs)).collect()
}

fn total(report: &Report) -> [String; HEADER.len()] {
    let mut cells: [String; HEADER.len()] = Default::default();
    cells[0] = "total".to_owned();
    cells[NUMBERS] = grouped(report.parameters);
    cells[NUMBERS + 1] = bytes(report.stored_bytes);
    cells[NUMBERS + 2] = bytes(report.float_bytes);
    cells[NUMBERS + 3] = grouped(report.macs);
    cells
}

/// Names and values of what stands below the table.
fn lines(report: &Report) -> Vec<[String; 2]> {
    let line = |name: &str, value: String| [name.to_owned(), value];
    let macs = |entry: &Macs| {
        let Macs { weight_bits, input_bits, macs } = entry;
        format!("{} at {} x {}", grouped(*macs), precision(*weight_bits), precision(*input_bits))
    };
    let by_bits: Vec<String> = report.macs_by_bits.iter().map(macs).collect();
    let open = |count: Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
    let costs = report.complexity;
    let mut lines = vec![
        line("the three passes", "pairs of bit planes multiplied, or f32".to_owned()),
        line("parameters", grouped(report.parameters)),
        line(
            "MACs per image",
            format!("{}, {:.1} % of them on bits", grouped(report.macs), report.quantized_macs * 100.0),
        ),
        line("weights x input", by_bits.join(", ")),
        line("stored, deployed", bytes(report.stored_bytes)),
        line("stored as f32", format!("{} ({:.1} times as much)", bytes(report.float_bytes), report.ratio)),
        line(
            "complexity",
            format!(
                "training WA+WG = {}, inference WA = {}, storage W = {} (as DoReFa-Net's tables count)",
                open(costs.training),
                open(costs.inference),
                costs.storage
            ),
        ),
        line("full training", format!("WA+WG+AG = {}", open(costs.full))),
    ];
    lines.extend(report.widths.iter().map(|width| {
        let (macs, size) = (grouped(width.bit_macs), bytes(width.stored_bytes));
        line(
            &format!("cut to {}", precision(width.bits)),
            format!("{macs} MACs times W times A, reads {size}"),
        )
    }));
    lines.extend(report.heterogeneous.iter().flat_map(|cost| cost.lines()));
    lines.extend(report.activation_mix.iter().map(|cost| cost.line()));
    lines.extend(report.learned_bits.map(|bits| {
        let text = format!(
            "{:.2} of weights, {:.2} of activations, mean over layers",
            bits.weights, bits.activations
        );
        line("learned bits", text)
    }));
    lines
}

fn precision(bits: u32) -> String {
    match bits {
        FULL_PRECISION => "f32".to_owned(),
        1 => "1 bit".to_owned(),
        bits => format!("{bits} bits"),
    }
}
