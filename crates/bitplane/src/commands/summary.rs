//! `summary`: the layers of a network, what they store and what they compute.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use graph::{LayerSummary, Network};
use serde::Serialize;

use crate::cli::SummaryArgs;
use crate::config::Config;
use crate::exit::Failure;
use crate::models::{self, ModelInput};
use crate::output;
use crate::report::{SCHEMA, bytes, grouped, print_json};
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::store::{Store, Which};

use super::config::resolve;

#[derive(Serialize)]
struct Row {
    name: String,
    kind: String,
    output: String,
    /// W, A, G of quantized products.
    bits: Option<[u32; 3]>,
    parameters: u64,
    macs: u64,
    /// `macs` times W times A, as the DoReFa paper counts the complexity of inference.
    bit_macs: u64,
    stored_bytes: u64,
    float_bytes: u64,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    model: String,
    bits: [u32; 3],
    image: [u32; 3],
    classes: u32,
    layers: Vec<Row>,
    parameters: u64,
    macs: u64,
    /// Share of multiply-accumulates that are computed on bits.
    quantized_macs: f64,
    stored_bytes: u64,
    float_bytes: u64,
}

/// Prints the table.
///
/// # Errors
/// A refused run, an unknown model, a model that does not fit the images.
pub fn run(args: &SummaryArgs) -> Result<(), Failure> {
    let (config, input) = match &args.run {
        Some(path) => of_run(path)?,
        None => of_flags(args)?,
    };
    let network = models::build(&config.model, &input, config.bits())?.network;
    let report = report(&config, &input, &network);
    if args.json { print_json(&report) } else { output::result(&text(&report)) }
}

fn of_run(path: &std::path::Path) -> Result<(Config, ModelInput), Failure> {
    let config = resolve(Settings::default(), run::read_settings(path)?)?;
    let folder = run::checkpoints(path);
    let identity = Store::open(&Disk, &folder)?.load_for(&Which::Last, &config)?.checkpoint.identity;
    let [height, width, channels] = identity.image;
    let classes = u32::try_from(identity.classes.len()).expect("a checkpoint's header bounds its classes");
    Ok((config, ModelInput { height, width, channels, classes }))
}

fn of_flags(args: &SummaryArgs) -> Result<(Config, ModelInput), Failure> {
    let flags = Settings { model: args.model.clone(), bits: args.bits.clone(), ..Settings::default() };
    let config = resolve(flags, Settings::default())?;
    let input = ModelInput::usual(&config.model, args.image, args.classes);
    Ok((config, input))
}

fn report(config: &Config, input: &ModelInput, network: &Network) -> Report {
    let layers: Vec<Row> = network.summary().iter().map(row).collect();
    let sum = |value: fn(&Row) -> u64| layers.iter().map(value).sum::<u64>();
    let macs = sum(|row| row.macs);
    let on_bits: u64 = layers.iter().filter(|row| row.bits.is_some()).map(|row| row.macs).sum();
    let bits = config.bits();
    Report {
        schema: SCHEMA,
        model: config.model.clone(),
        bits: [bits.weight, bits.activation, bits.gradient],
        image: [input.height, input.width, input.channels],
        classes: input.classes,
        parameters: sum(|row| row.parameters),
        macs,
        quantized_macs: on_bits as f64 / macs.max(1) as f64,
        stored_bytes: sum(|row| row.stored_bytes),
        float_bytes: sum(|row| row.float_bytes),
        layers,
    }
}

fn row(layer: &LayerSummary) -> Row {
    let bits = layer.bits.map(|bits| [bits.weight, bits.activation, bits.gradient]);
    let widths = bits.map_or(32 * 32, |[weight, activation, _]| u64::from(weight) * u64::from(activation));
    let stored_bytes = (layer.stored_bits / 8.0).ceil() as u64;
    Row {
        name: layer.name.clone(),
        kind: layer.kind.to_string(),
        output: layer.output.shape.to_string(),
        bits,
        parameters: layer.parameters,
        macs: layer.macs,
        bit_macs: layer.macs * widths,
        stored_bytes,
        // Parameters and statistics of other layers are stored in f32 anyway.
        float_bytes: if bits.is_some() { layer.parameters * 4 } else { stored_bytes },
    }
}

fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["layer", "kind", "output", "W,A,G", "parameters", "MACs", "stored", "as f32"]);
    for row in &report.layers {
        let bits = row.bits.map_or("f32".to_owned(), |[w, a, g]| format!("{w},{a},{g}"));
        let bits = if row.macs == 0 { String::new() } else { bits };
        let count = |count: u64| if count == 0 { String::new() } else { grouped(count) };
        let size = |size: u64| if size == 0 { String::new() } else { bytes(size) };
        table.add_row([
            row.name.clone(),
            row.kind.clone(),
            row.output.clone(),
            bits,
            count(row.parameters),
            count(row.macs),
            size(row.stored_bytes),
            size(row.float_bytes),
        ]);
    }
    for index in 4..8 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let [height, width, channels] = report.image;
    let [weight, activation, gradient] = report.bits;
    format!(
        "{} at {weight},{activation},{gradient} bits on {height}x{width}x{channels} images, {} classes\n{table}\n\
         parameters         {}\n\
         MACs per image     {}, {:.1} % of them on bits\n\
         stored, deployed   {}\n\
         stored as f32      {} ({:.1} times as much)",
        report.model,
        report.classes,
        grouped(report.parameters),
        grouped(report.macs),
        report.quantized_macs * 100.0,
        bytes(report.stored_bytes),
        bytes(report.float_bytes),
        report.float_bytes as f64 / report.stored_bytes.max(1) as f64,
    )
}
