//! `summary`: the layers of a network, what they store and what they compute.

mod heterogeneous;
mod speed_up;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use graph::{Cut, FULL_PRECISION, LayerSummary, MaskCost, ProductNote};
use serde::Serialize;

use crate::average_bits::AverageBits;
use crate::bit_masks;
use crate::cli::SummaryArgs;
use crate::complexity::Complexity;
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::models::ModelInput;
use crate::output;
use crate::report::{SCHEMA, print_json};
use crate::run;
use crate::settings::Settings;
use crate::storage::Disk;
use crate::store::{Store, Which};

use self::speed_up::SpeedUp;
use super::config::resolve;
use heterogeneous::{ActivationMixCost, HeterogeneousCost};

#[derive(Serialize)]
struct Row {
    name: String,
    kind: String,
    output: String,
    /// W, A, G of quantized products.
    bits: Option<[u32; 3]>,
    /// Bits of what the products multiply, 32 for f32; null for a layer without products.
    input_bits: Option<u32>,
    weight_bits: Option<u32>,
    gradient_bits: Option<u32>,
    parameters: u64,
    macs: u64,
    /// `macs` times W times A, as the DoReFa paper counts the complexity of inference.
    bit_macs: u64,
    plane_pairs: PlanePairs,
    /// Plane pairs of the forward pass at each narrower width of a FlexNet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    narrower_pairs: Vec<Option<u32>>,
    stored_bytes: u64,
    float_bytes: u64,
}

/// Pairs of bit planes multiplied in each pass: 0 where it runs on other arithmetic, null where there is no such product.
#[derive(Clone, Copy, Default, Serialize)]
struct PlanePairs {
    forward: Option<u32>,
    grad_input: Option<u32>,
    grad_weight: Option<u32>,
}

/// Multiply-accumulates of all layers with these widths.
#[derive(Serialize)]
struct Macs {
    weight_bits: u32,
    input_bits: u32,
    macs: u64,
}

/// What a FlexNet costs at one of its widths.
#[derive(Serialize)]
struct Width {
    bits: u32,
    /// As in a row.
    bit_macs: u64,
    /// Of what an evaluation reads.
    stored_bytes: u64,
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
    /// Widest weights last.
    macs_by_bits: Vec<Macs>,
    /// Share of multiply-accumulates that are computed on bits.
    quantized_macs: f64,
    stored_bytes: u64,
    float_bytes: u64,
    /// `float_bytes` by `stored_bytes`.
    ratio: f64,
    /// Of the quantized layers.
    complexity: Complexity,
    /// Of a FlexNet, the widest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    widths: Vec<Width>,
    /// Of weights with bits of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    heterogeneous: Option<HeterogeneousCost>,
    /// Of activations whose channels have bits of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_mix: Option<ActivationMixCost>,
    /// Learned lengths of a run in its last epoch, mean over layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_bits: Option<AverageBits>,
    /// Of a network made of bases, where all products are on bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_up: Option<SpeedUp>,
}

/// Prints the table.
///
/// # Errors
/// A refused run, an unknown model, a model that does not fit the images.
pub fn run(args: &SummaryArgs) -> Result<(), Failure> {
    let (config, input, masks) = match &args.run {
        Some(path) => of_run(path)?,
        None => of_flags(args)?,
    };
    let engine = Engine::cut(&config, &input, 1, None)?;
    // Images beyond the default limits have layers and sizes all the same.
    let products = engine.products().unwrap_or_default();
    let layers = engine.network().summary();
    let mut report = report(&config, &input, &layers, &products);
    report.heterogeneous = HeterogeneousCost::of(&config, &layers, masks);
    if let (Some(run), Some(_)) = (&args.run, config.learned_bits) {
        let records = run::read_metrics(run)?;
        let lengths = records.last().and_then(|record| record.bits.as_ref());
        report.learned_bits = AverageBits::of(&config, lengths);
    }
    for (at, &bits) in config.trained_widths().iter().enumerate() {
        let engine = Engine::cut(&config, &input, 1, Some(&Cut::uniform(bits)))?;
        let products = engine.products().unwrap_or_default();
        let rows: Vec<Row> = engine.network().summary().iter().map(|layer| row(layer, &products)).collect();
        let sum = |value: fn(&Row) -> u64| rows.iter().map(value).sum::<u64>();
        let (bit_macs, stored_bytes) = (sum(|row| row.bit_macs), sum(|row| row.stored_bytes));
        report.widths.push(Width { bits, bit_macs, stored_bytes });
        for (row, cut) in report.layers.iter_mut().zip(&rows).filter(|_| at > 0) {
            row.narrower_pairs.push(cut.plane_pairs.forward);
        }
    }
    if args.json { print_json(&report) } else { output::result(&table::text(&report, args.output)) }
}

fn of_run(path: &Path) -> Result<(Config, ModelInput, Option<MaskCost>), Failure> {
    let config = resolve(Settings::default(), run::read_settings(path)?)?;
    let folder = run::checkpoints(path);
    let checkpoint = Store::open(&Disk, &folder)?.load_for(&Which::Last, &config)?.checkpoint;
    let masks = bit_masks::cost(&config, &checkpoint.tensors);
    Ok((config, checkpoint.identity.input(), masks))
}

fn of_flags(args: &SummaryArgs) -> Result<(Config, ModelInput, Option<MaskCost>), Failure> {
    let flags = Settings {
        model: args.model.clone(),
        bits: args.bits.clone(),
        widths: args.widths.clone(),
        bit_mix: args.bit_mix.clone(),
        activation_mix: args.activation_mix.clone(),
        bit_order: args.bit_order,
        mask_granularity: args.mask_granularity,
        ..Settings::default()
    };
    let flags = args.structure.clone().settings(flags);
    let config = resolve(flags, Settings::default())?;
    let input = ModelInput::usual(&config.model, args.image, args.classes);
    Ok((config, input, None))
}

fn report(config: &Config, input: &ModelInput, summary: &[LayerSummary], products: &[ProductNote]) -> Report {
    let layers: Vec<Row> = summary.iter().map(|layer| row(layer, products)).collect();
    let sum = |value: fn(&Row) -> u64| layers.iter().map(value).sum::<u64>();
    let mut by_bits = BTreeMap::new();
    for row in &layers {
        if let (Some(weight), Some(input)) = (row.weight_bits, row.input_bits) {
            *by_bits.entry([weight, input]).or_default() += row.macs;
        }
    }
    let full = |&[weight, input]: &[u32; 2]| weight == FULL_PRECISION || input == FULL_PRECISION;
    let (macs, in_f32) = (
        sum(|row| row.macs),
        by_bits.iter().filter(|(bits, _)| full(bits)).map(|(_, macs)| macs).sum::<u64>(),
    );
    let (stored_bytes, float_bytes) = (sum(|row| row.stored_bytes), sum(|row| row.float_bytes));
    let bits = config.computed_bits();
    Report {
        schema: SCHEMA,
        model: config.model.clone(),
        bits: [bits.weight, bits.activation, bits.gradient],
        image: [input.height, input.width, input.channels],
        classes: input.classes,
        parameters: sum(|row| row.parameters),
        macs,
        macs_by_bits: by_bits
            .into_iter()
            .map(|([weight_bits, input_bits], macs)| Macs { weight_bits, input_bits, macs })
            .collect(),
        quantized_macs: (macs - in_f32) as f64 / macs.max(1) as f64,
        stored_bytes,
        float_bytes,
        ratio: float_bytes as f64 / stored_bytes.max(1) as f64,
        complexity: Complexity::of(bits),
        widths: Vec::new(),
        heterogeneous: None,
        activation_mix: ActivationMixCost::of(config),
        learned_bits: None,
        speed_up: config.structure().and_then(|structure| SpeedUp::of(&structure, summary)),
        layers,
    }
}

fn row(layer: &LayerSummary, products: &[ProductNote]) -> Row {
    let bits = layer.bits.map(|bits| [bits.weight, bits.activation, bits.gradient]);
    let widths = bits.map_or(32 * 32, |[weight, activation, _]| u64::from(weight) * u64::from(activation));
    let [weight_bits, input_bits, gradient_bits] = match bits {
        Some(bits) => bits.map(Some),
        None => [(layer.macs > 0).then_some(FULL_PRECISION); 3],
    };
    let pairs = |pass: &str| {
        let mut notes = products.iter().filter(|note| note.layer == layer.name && note.pass == pass);
        notes.next().map(|note| note.plane_pairs)
    };
    let stored_bytes = (layer.stored_bits / 8.0).ceil() as u64;
    Row {
        name: layer.name.clone(),
        kind: layer.kind.to_string(),
        output: layer.output.shape.to_string(),
        bits,
        input_bits,
        weight_bits,
        gradient_bits,
        parameters: layer.parameters,
        macs: layer.macs,
        bit_macs: layer.macs * widths,
        plane_pairs: PlanePairs {
            forward: pairs("forward"),
            grad_input: pairs("grad_input"),
            grad_weight: pairs("grad_weight"),
        },
        narrower_pairs: Vec::new(),
        stored_bytes,
        // Parameters and statistics of other layers are stored in f32 anyway.
        float_bytes: if bits.is_some() { layer.parameters * 4 } else { stored_bytes },
    }
}
