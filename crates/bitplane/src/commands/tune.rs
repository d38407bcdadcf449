//! `tune`: which kernels are fastest on an adapter.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::config::resolve;
use crate::cli::TuneArgs;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::models::ModelInput;
use crate::output;
use crate::report::{SCHEMA, print_json};
use crate::settings::Settings;
use crate::tuner::{Choice, Tuned};

#[derive(Serialize)]
struct Row {
    product: String,
    #[serde(flatten)]
    choice: Choice,
    /// Kernels that gave wrong results.
    struck: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    model: String,
    bits: String,
    batch_size: u32,
    adapter: String,
    driver: String,
    /// Where the choices lie from now on, if they could be written.
    file: Option<String>,
    products: Vec<Row>,
}

/// Measures and keeps the choices.
///
/// # Errors
/// An unknown model, no adapter, a device failure.
pub fn run(args: &TuneArgs) -> Result<(), Failure> {
    let flags = Settings {
        model: args.model.clone(),
        bits: args.bits.clone(),
        batch_size: args.batch_size,
        device: args.device.clone(),
        kernels: args.kernels,
        ..Settings::default()
    };
    let flags = args.structure.clone().settings(flags);
    let config = resolve(flags, Settings::default())?;
    let input = ModelInput::usual(&config.model, args.image, args.classes);
    let engine = Engine::new(&config, &input, config.batch_size)?;
    let mut products = Vec::new();
    let file = engine.tune(|tuned| {
        output::note(&tuned.describe());
        products.push(Row::from(tuned));
    })?;
    let choices = engine.choices().expect("the engine was tuned");
    let adapter = choices.adapter();
    let report = Report {
        schema: SCHEMA,
        model: config.model,
        bits: config.bits,
        batch_size: config.batch_size,
        adapter: data::printable(&adapter.name),
        driver: data::printable(&adapter.driver),
        file: file.map(|path| path.display().to_string()),
        products,
    };
    if args.json { print_json(&report) } else { output::result(&text(&report)) }
}

impl From<&Tuned> for Row {
    fn from(tuned: &Tuned) -> Self {
        Self {
            product: tuned.key.to_string(),
            choice: Choice::from(tuned),
            struck: tuned.struck.iter().map(|(tactic, _)| tactic.to_string()).collect(),
        }
    }
}

fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["product", "kernel", "us", "default", "us"]);
    for row in &report.products {
        table.add_row([
            row.product.clone(),
            row.choice.kernel.clone(),
            format!("{:.0}", row.choice.microseconds),
            row.choice.default.clone(),
            format!("{:.0}", row.choice.default_microseconds),
        ]);
    }
    for index in [2, 4] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let sum = |value: fn(&Row) -> f64| report.products.iter().map(value).sum::<f64>() / 1e3;
    let kept = report.file.as_ref().map_or(String::new(), |file| format!("\nkept in {file}"));
    format!(
        "{table}\nall products once {:.1} ms, untuned {:.1} ms{kept}",
        sum(|row| row.choice.microseconds),
        sum(|row| row.choice.default_microseconds)
    )
}
