//! Bits are bits: the products of quantized layers bind packed words only.

use std::collections::{BTreeMap, BTreeSet};

use bitplane::models::Model;
use graph::{Phase, Session, is_bit_product};
use recording::{BufferSlice, Dispatch, Executor, HostExecutor};
use tests::{bits, host_session, model, options};

/// Kernels that write packed words.
const PACKING: [&str; 8] = [
    "bit_pack",
    "bit_transpose",
    "bit_unfold",
    "bit_unfold_grad",
    "dropout_forward",
    "quantize_activation",
    "quantize_gradient",
    "quantize_weight",
];
const THRESHOLDS: &str = "threshold_pack";
/// Positions a sample below which a weight gradient may run in f32.
const MIN_POSITIONS: u32 = 25;
const SAMPLES: u32 = 2;

/// Everything that is not a product of packed words, in the order in which the phases run.
fn violations(dispatches: &[Dispatch], quantized: &BTreeMap<String, u32>) -> Vec<String> {
    let mut writers: Vec<(BufferSlice, &'static str)> = Vec::new();
    let mut found = Vec::new();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for dispatch in dispatches {
        let (kernel, layer, pass) =
            (dispatch.kernel.name(), dispatch.scope.layer.as_str(), dispatch.scope.pass);
        if is_bit_product(kernel) {
            for (slice, binding) in dispatch.buffers.iter().zip(dispatch.kernel.bindings()) {
                let writer = writers.iter().rev().find(|(written, _)| written.overlaps(slice));
                let writer = writer.map_or("the host", |(_, kernel)| kernel);
                let packed = PACKING.contains(&writer) || writer == THRESHOLDS;
                if ["lhs", "rhs"].contains(&binding.name) && !packed {
                    found.push(format!("{layer} {pass}: {kernel} binds {writer} as {}", binding.name));
                }
            }
            seen.insert((layer, pass));
        }
        if let Some(positions) = quantized.get(layer)
            && (kernel.starts_with("conv2d_") || kernel == "dequantize")
            && !(pass == "grad_weight" && *positions < MIN_POSITIONS)
        {
            found.push(format!("{layer} {pass}: {kernel}"));
        }
        writers.extend(dispatch.outputs().map(|slice| (slice, kernel)));
    }
    for (layer, &positions) in quantized {
        for pass in ["forward", "grad_input", "grad_weight"] {
            let exempt = pass == "grad_weight" && positions < MIN_POSITIONS;
            if !exempt && !seen.contains(&(layer.as_str(), pass)) {
                found.push(format!("{layer} {pass}: no bit product"));
            }
        }
    }
    found
}

/// Output positions of one sample, by quantized layer.
fn quantized_layers(model: &Model) -> BTreeMap<String, u32> {
    let summary = model.network.summary().into_iter();
    let quantized = summary.filter(|layer| layer.kind == "quantized_conv2d");
    quantized.map(|layer| (layer.name, layer.output.shape.pixels())).collect()
}

fn dispatches<E: Executor>(session: &Session<E>, phases: &[Phase]) -> Vec<Dispatch> {
    phases.iter().filter_map(|phase| session.recording(*phase)).flat_map(|r| r.dispatches.clone()).collect()
}

fn recorded(name: &str, size: u32, widths: [u32; 3]) -> (Model, Session<HostExecutor>) {
    let model = model(name, size, bits(widths));
    let session = host_session(&model, &options(&model, SAMPLES));
    (model, session)
}

const TRAINING: [Phase; 2] = [Phase::Forward, Phase::Backward];
const NETWORKS: [(&str, u32, usize); 3] = [("digits", 8, 2), ("svhn-d", 32, 6), ("resnet20", 16, 20)];

#[test]
fn products_of_quantized_layers_bind_packed_words_only() {
    for (name, size, count) in NETWORKS {
        for widths in [[1, 2, 4], [1, 1, 1], [2, 3, 6], [8, 8, 8]] {
            let (model, session) = recorded(name, size, widths);
            let quantized = quantized_layers(&model);
            assert_eq!(quantized.len(), count, "{name}");
            let found = violations(&dispatches(&session, &TRAINING), &quantized);
            assert!(found.is_empty(), "{name} {widths:?}: {found:#?}");
        }
    }
}

/// Forward and grad_input products whose rows hold more than the weights of a row or column of the result, by layer.
fn sparse_rows(dispatches: &[Dispatch], weights: &BTreeMap<String, u64>) -> (usize, Vec<String>) {
    let (mut dense, mut found) = (0, Vec::new());
    for dispatch in dispatches.iter().filter(|d| is_bit_product(d.kernel.name())) {
        let (layer, pass) = (dispatch.scope.layer.as_str(), dispatch.scope.pass);
        let Some(&weights) = weights.get(layer).filter(|_| pass != "grad_weight") else { continue };
        let params = dispatch.kernel.params();
        let value = |name| params.iter().find(|p| p.name == name).expect("products have it").word;
        let [columns, k, words, row_words] = ["n", "k", "words", "row_words"].map(value);
        // Rows are padded to whole vectors of at most four words.
        let packed = words == k.div_ceil(32) && row_words < words + 4;
        if packed && u64::from(columns) * u64::from(k) == weights {
            dense += 1;
        } else {
            found.push(format!("{layer} {pass}: {columns} columns of {k} elements in {row_words} words"));
        }
    }
    (dense, found)
}

#[test]
fn narrow_layers_fill_their_words_across_taps() {
    for (name, size, count) in NETWORKS {
        let (model, session) = recorded(name, size, [1, 2, 4]);
        let quantized = quantized_layers(&model);
        let summary = model.network.summary().into_iter();
        let weights = summary.map(|l| (l.name, l.parameters)).filter(|(l, _)| quantized.contains_key(l));
        let (dense, found) = sparse_rows(&dispatches(&session, &TRAINING), &weights.collect());
        assert_eq!((dense, found), (2 * count, Vec::new()), "{name}: forward and grad_input of each layer");
    }
}

#[test]
fn the_notes_name_every_product_and_give_the_reason_of_each_exception() {
    for (name, size, _) in NETWORKS {
        let (model, session) = recorded(name, size, [1, 2, 4]);
        let quantized = quantized_layers(&model);
        let mut exempt = BTreeSet::new();
        for note in session.products() {
            let Some(&positions) = quantized.get(&note.layer) else {
                assert!(!is_bit_product(note.kernel) && note.plane_pairs == 0, "{name}: {note:?}");
                continue;
            };
            let pairs = match note.pass {
                "forward" => 2,
                "grad_input" => 4,
                "grad_weight" if positions < MIN_POSITIONS => 0,
                _ => 2 * 4,
            };
            assert_eq!(note.plane_pairs, pairs, "{name}: {note:?}");
            assert_eq!(is_bit_product(note.kernel), pairs > 0, "{name}: {note:?}");
            assert_eq!(note.reason.is_some(), pairs == 0, "{name}: {note:?}");
            if let Some(reason) = &note.reason {
                assert!(reason.contains(&format!("{positions} positions")), "{name}: {reason}");
                exempt.insert(note.layer.clone());
            }
            let records = |d: &Dispatch| {
                d.scope.layer == note.layer
                    && d.scope.pass == note.pass
                    && d.kernel.name().starts_with(note.kernel)
            };
            assert!(dispatches(&session, &TRAINING).iter().any(records), "{name}: {note:?} is not recorded");
        }
        let small = quantized.iter().filter(|(_, positions)| **positions < MIN_POSITIONS);
        assert!(small.map(|(layer, _)| layer.clone()).eq(exempt), "{name}");
        let noted = session.products().iter().filter(|note| quantized.contains_key(&note.layer)).count();
        assert_eq!(noted, 3 * quantized.len(), "{name}: each layer has three products");
    }
}

#[test]
fn an_f32_operand_is_noticed() {
    for (widths, broken) in [
        ([32, 2, 4], ["forward", "grad_input"]),
        ([1, 32, 4], ["forward", "grad_weight"]),
        ([1, 2, 32], ["grad_input", "grad_weight"]),
    ] {
        let (model, session) = recorded("digits", 8, widths);
        let quantized = quantized_layers(&model);
        let found = violations(&dispatches(&session, &TRAINING), &quantized);
        for layer in quantized.keys() {
            for pass in ["forward", "grad_input", "grad_weight"] {
                let noticed = found.iter().any(|line| line.starts_with(&format!("{layer} {pass}: conv2d_")));
                assert_eq!(noticed, broken.contains(&pass), "{widths:?} {layer} {pass}: {found:#?}");
            }
        }
    }
    // A bit product over a buffer that an f32 kernel wrote: its scales in place of its planes.
    let (model, session) = recorded("digits", 8, [1, 2, 4]);
    let mut training = dispatches(&session, &TRAINING);
    let last =
        training.iter().rposition(|d| is_bit_product(d.kernel.name())).expect("there are bit products");
    let kernel = training[last].kernel.clone();
    let named = |name| kernel.bindings().iter().position(|b| b.name == name).expect("it has that binding");
    training[last].buffers[named("rhs")] = training[last].buffers[named("rhs_scale")];
    let found = violations(&training, &quantized_layers(&model));
    assert_eq!(found.len(), 1, "{found:?}");
    let prefix = format!("conv1 {}: {} binds ", training[last].scope.pass, kernel.name());
    assert!(found[0].starts_with(&prefix) && found[0].ends_with(" as rhs"), "{found:?}");
}

/// Kernels from the first quantized layer's input to the last quantized convolution, with the count of each.
fn deployed<E: Executor>(session: &Session<E>) -> BTreeMap<String, usize> {
    let evaluate = dispatches(session, &[Phase::Evaluate]);
    let first = evaluate
        .iter()
        .position(|d| ["quantize_activation", "normalize_quantize"].contains(&d.kernel.name()));
    let last = evaluate.iter().rposition(|d| is_bit_product(d.kernel.name()));
    let (first, last) = (first.expect("a quantized input"), last.expect("a bit product"));
    let mut counts = BTreeMap::new();
    for dispatch in &evaluate[first + 1..=last] {
        // Products of some kernels need the sums of their rows, which are integers too.
        if dispatch.kernel.name() == "row_sums" {
            continue;
        }
        let name = if is_bit_product(dispatch.kernel.name()) { "product" } else { dispatch.kernel.name() };
        let values = [dispatch.kernel.constants(), dispatch.kernel.template()].concat();
        let integer = values.iter().any(|c| ["OUTPUT_I32", "INTEGER"].contains(&c.name) && c.value == 1);
        *counts.entry(name.to_owned() + if integer { " to i32" } else { "" }).or_insert(0) += 1;
    }
    counts
}

#[test]
fn a_deployed_plain_network_has_no_f32_between_its_quantized_layers() {
    for (name, size, layers) in [("digits", 8, 2), ("svhn-d", 32, 6)] {
        for widths in [[1, 2, 4], [2, 3, 6], [8, 8, 32]] {
            let (_, session) = recorded(name, size, widths);
            let want = [
                ("bit_unfold", layers),
                ("product", 1),
                ("product to i32", layers - 1),
                (THRESHOLDS, layers - 1),
            ];
            assert_eq!(
                deployed(&session),
                want.map(|(name, count)| (name.to_owned(), count)).into(),
                "{name}"
            );
            let all = dispatches(&session, &[Phase::Freeze, Phase::Evaluate]);
            assert_eq!(violations(&all, &BTreeMap::new()), Vec::<String>::new(), "{name} {widths:?}");
        }
    }
}

#[test]
fn an_f32_epilogue_is_noticed() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let session = host_session(&model, &graph::SessionOptions { fold: false, ..options(&model, SAMPLES) });
    let counts = deployed(&session);
    assert!(counts.contains_key("batch_norm_forward") && !counts.contains_key(THRESHOLDS), "{counts:?}");
}
