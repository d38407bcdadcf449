//! What a session evaluates, as the contents of a file.

use std::collections::BTreeMap;

use graph::{
    CodeForm, CodeRounding, CodeRule, DeployedCodes, DeployedGroup, DeployedLayer, DeployedOperation,
    InputSpec, PixelScale,
};
use kernels::Kind;
use packed::manifest::{
    BitConvolution, CodeGroup, Codes, Convolution, DivideBy, Form, IMAGE, Layer, Manifest, Narrower,
    Operation, Picture, Planes, Preprocessing, Provenance, Quantize, Rounding, Rule, WeightGroup, Window,
};
use packed::{File, Tensor};

use super::{channel_runs, plane_bits::PlaneBits};
use crate::checkpoint::Checkpoint;
use crate::exit::Failure;
use crate::identity::Identity;

/// A deployed network and its bits of weights and activations.
pub struct Deployed {
    /// The bits.
    pub bits: [u32; 2],
    /// The layers.
    pub layers: Vec<DeployedLayer>,
}

/// Layers of a description with their tensors by name.
struct Packed {
    layers: Vec<Layer>,
    tensors: BTreeMap<String, Tensor>,
}

/// The file of a deployed network.
///
/// # Errors
/// A network that the format cannot hold.
pub fn pack(
    layers: &[DeployedLayer],
    input: (&InputSpec, PixelScale),
    checkpoint: &Checkpoint,
) -> Result<File, Failure> {
    let Packed { layers, tensors } = pack_layers(layers, false);
    file(layers, Vec::new(), tensors, (input, checkpoint))
}

/// The file of networks that share the planes of their weights, the widest of them and narrower ones. What they have in
/// common is stored once.
///
/// # Errors
/// As [`pack`].
pub fn pack_networks(
    widest: &[DeployedLayer],
    narrower: &[Deployed],
    input: (&InputSpec, PixelScale),
    checkpoint: &Checkpoint,
) -> Result<File, Failure> {
    let Packed { layers, mut tensors } = pack_layers(widest, true);
    let mut others = Vec::new();
    for Deployed { bits, layers } in narrower {
        let own = pack_layers(layers, true);
        for (name, tensor) in own.tensors {
            let shared = match (&tensor, tensors.get(&name)) {
                // The first planes are a prefix of all bytes.
                (Tensor::U8(own), Some(Tensor::U8(all))) if name.contains(".planes.") => all.starts_with(own),
                (own, Some(all)) => own == all,
                _ => false,
            };
            if !shared {
                tensors.insert(format!("{name}@{},{}", bits[0], bits[1]), tensor);
            }
        }
        others.push(Narrower { bits: *bits, layers: own.layers });
    }
    file(layers, others, tensors, (input, checkpoint))
}

/// One whole number where that is all.
fn divide_by(scale: PixelScale) -> DivideBy {
    let whole = scale.divide_by[0] as u32;
    match scale.divide_by == [whole as f32; 3] {
        true => DivideBy::All(whole),
        false => DivideBy::Each(scale.divide_by),
    }
}

fn file(
    layers: Vec<Layer>,
    narrower: Vec<Narrower>,
    tensors: BTreeMap<String, Tensor>,
    ((input, scale), checkpoint): ((&InputSpec, PixelScale), &Checkpoint),
) -> Result<File, Failure> {
    let Identity { model, bits, data, classes, image, seed, config_hash } = &checkpoint.identity;
    let [height, width, channels] = *image;
    let mut manifest = Manifest {
        format: 1,
        image: Picture { height, width, channels },
        preprocessing: Preprocessing {
            resize: [input.resize_height, input.resize_width],
            crop: [input.out_height, input.out_width],
            subtract: scale.subtract,
            divide_by: divide_by(scale),
        },
        classes: classes.clone(),
        layers,
        narrower,
        provenance: Provenance {
            program: format!("bitplane {}", env!("CARGO_PKG_VERSION")),
            model: model.clone(),
            bits: *bits,
            seed: *seed,
            data: data.clone(),
            settings_sha256: config_hash.clone(),
            epoch: checkpoint.position.epoch,
            step: checkpoint.position.step,
        },
    };
    manifest.format = manifest.needed_format();
    Ok(File::new(manifest, tensors)?)
}

/// With `grouped` every convolution lists its groups of planes, so that tensors of several networks have the same names.
fn pack_layers(layers: &[DeployedLayer], grouped: bool) -> Packed {
    let mut packed = Packed { layers: Vec::new(), tensors: BTreeMap::new() };
    // Codes become sums, f32 stays f32, so it matters what a convolution reads.
    let reads_codes = |layer: &DeployedLayer| {
        layer.inputs[0].is_some_and(|input| {
            let before = &layers[input].operation;
            matches!(before, DeployedOperation::Quantize { .. } | DeployedOperation::Threshold { .. })
        })
    };
    for layer in layers {
        let input_name = |at: &Option<usize>| at.map_or(IMAGE.to_owned(), |at| layers[at].name.clone());
        let (operation, tensors) = match &layer.operation {
            DeployedOperation::BitConvolution { window, channels, groups, weights, runs, fan_in } => {
                let sizes = [*channels, *groups, *fan_in];
                let grouped = grouped || !reads_codes(layer);
                let window = packed_window(window);
                let (conv, tensors) = match runs {
                    1 => bit_convolution(layer, window, sizes, weights, grouped),
                    runs => channel_runs::pack(layer, window, sizes, (weights, *runs)),
                };
                (Operation::BitConvolution(conv), tensors)
            }
            other => (operation(other), pack_tensors(layer)),
        };
        for (suffix, tensor) in tensors {
            packed.tensors.insert(format!("{}.{suffix}", layer.name), tensor);
        }
        let inputs = layer.inputs.iter().map(input_name).collect();
        packed.layers.push(Layer { name: layer.name.clone(), inputs, operation });
    }
    packed
}

fn operation(operation: &DeployedOperation) -> Operation {
    match operation {
        DeployedOperation::Convolution { window, channels, groups, bias, outside } => {
            let (channels, groups, bias, outside) = (*channels, *groups, *bias, *outside);
            let window = packed_window(window);
            Operation::Convolution(Convolution { channels, groups, bias, window, outside })
        }
        DeployedOperation::BatchNorm { epsilon } => Operation::BatchNormalization { epsilon: *epsilon },
        DeployedOperation::MaxPool(window) => Operation::MaxPool(packed_window(window)),
        DeployedOperation::AvgPool(window) => Operation::AveragePool(packed_window(window)),
        DeployedOperation::Scale { factor } => Operation::Scale { factor: *factor },
        DeployedOperation::GlobalAvgPool => Operation::GlobalAveragePool,
        DeployedOperation::Clip { limit: 1.0 } => Operation::Clip,
        DeployedOperation::Clip { limit } => Operation::ClipTo { limit: *limit },
        DeployedOperation::Magnitude { limit: 1.0 } => Operation::Magnitude,
        DeployedOperation::Magnitude { limit } => Operation::MagnitudeTo { limit: *limit },
        DeployedOperation::Relu => Operation::Relu,
        DeployedOperation::Add => Operation::Add,
        DeployedOperation::WeightedSum => Operation::WeightedSum,
        DeployedOperation::Bias => Operation::Bias,
        DeployedOperation::ChannelMagnitude => Operation::ChannelMagnitude,
        DeployedOperation::WindowMean(window) => Operation::WindowMean(packed_window(window)),
        DeployedOperation::ScalePositions => Operation::ScalePositions,
        DeployedOperation::Quantize { bits, rule, codes } => {
            let usual = f32::to_bits(((1u32 << bits) - 1) as f32) == rule.factor.to_bits()
                && rule.inverse.to_bits() == f32::to_bits(1.0)
                && (rule.form, rule.rounding, rule.drop) == (CodeForm::Clip, CodeRounding::Even, 0);
            let rule = (!usual).then(|| packed_rule(rule));
            Operation::Quantize(Quantize { bits: *bits, rule, codes: packed_codes(*bits, codes) })
        }
        DeployedOperation::Dequantize => Operation::Dequantize,
        DeployedOperation::BitConvolution { .. } => unreachable!("has tensors of its own"),
        DeployedOperation::Threshold { bits, pool, codes } => Operation::Threshold {
            bits: *bits,
            pool: pool.as_ref().map(packed_window),
            codes: packed_codes(*bits, codes),
        },
        DeployedOperation::Rescale => Operation::Rescale,
    }
}

fn packed_rule(rule: &CodeRule) -> Rule {
    let form = match rule.form {
        CodeForm::Clip => Form::Clip,
        CodeForm::Magnitude => Form::Magnitude,
        CodeForm::Sign => Form::Sign,
        CodeForm::ClipByChannel => Form::ClipByChannel,
    };
    let rounding = match rule.rounding {
        CodeRounding::Even => Rounding::Even,
        CodeRounding::HalfUp => Rounding::HalfUp,
        CodeRounding::Down => Rounding::Down,
    };
    Rule { form, inverse: rule.inverse, factor: rule.factor, rounding, drop: rule.drop }
}

/// What codes stand for, where that is not their multiple of 1/n.
fn packed_codes(bits: u32, codes: &DeployedCodes) -> Option<Codes> {
    let step = 1.0 / ((1u32 << bits) - 1) as f32;
    if let (Kind::Unit, [(planes, factor)]) = (codes.kind, codes.groups.as_slice())
        && (planes.first_plane, planes.planes, factor.to_bits()) == (0, bits, step.to_bits())
    {
        return None;
    }
    let planes = if codes.kind == Kind::Unit { Planes::Unit } else { Planes::Sign };
    let group = |(planes, factor): &(kernels::PlaneGroup, f32)| CodeGroup {
        // A code has the bits of its own group alone.
        first: if codes.apart { 0 } else { planes.first_plane },
        planes: planes.planes,
        factor: *factor,
    };
    Some(Codes { planes, groups: codes.groups.iter().map(group).collect(), apart: codes.apart })
}

pub(super) fn packed_window(window: &kernels::Window) -> Window {
    // Rows behind the last window are read by nobody.
    let behind = |out: u32, kernel: u32, size: u32, before: u32| {
        ((out - 1) * window.stride + kernel).saturating_sub(size + before)
    };
    let bottom = behind(window.out_height, window.kernel_h, window.height, window.pad_top);
    let right = behind(window.out_width, window.kernel_w, window.width, window.pad_left);
    Window {
        kernel: [window.kernel_h, window.kernel_w],
        stride: window.stride,
        padding: [window.pad_top, bottom, window.pad_left, right],
    }
}

pub(super) fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|word| f32::from_bits(*word)).collect()
}

fn pack_tensors(layer: &DeployedLayer) -> Vec<(String, Tensor)> {
    if let DeployedOperation::BatchNorm { .. } = layer.operation {
        let rows = layer.tensors.iter().flat_map(|(_, words)| floats(words)).collect();
        return vec![("normalization".into(), Tensor::F32(rows))];
    }
    let mut tensors = Vec::new();
    for (name, words) in &layer.tensors {
        if let DeployedOperation::Threshold { bits, .. } = layer.operation {
            let (directions, thresholds) = words.split_at(words.len() >> bits);
            let directions = directions.iter().map(|&word| word as u8).collect();
            let thresholds = thresholds.iter().map(|word| word.cast_signed()).collect();
            tensors.push(("ascending".into(), Tensor::U8(directions)));
            tensors.push(("thresholds".into(), Tensor::I32(thresholds)));
        } else if let DeployedOperation::Quantize { .. } = layer.operation {
            tensors.push(((*name).to_owned(), Tensor::U8(words.iter().map(|&word| word as u8).collect())));
        } else {
            tensors.push(((*name).to_owned(), Tensor::F32(floats(words))));
        }
    }
    tensors
}

/// A convolution with planes of weights, and its tensors: as one group without a list of groups where that says the same and
/// `grouped` is not set.
fn bit_convolution(
    layer: &DeployedLayer,
    window: Window,
    [channels, groups, fan_in]: [u32; 3],
    weights: &[DeployedGroup],
    grouped: bool,
) -> (BitConvolution, Vec<(String, Tensor)>) {
    let named = |wanted: &'static str| {
        layer.tensors.iter().filter(move |(name, _)| *name == wanted).map(|(_, words)| words.as_slice())
    };
    let parts: Vec<&[u32]> = named("planes").collect();
    let bits = PlaneBits { parts: &parts, rows: channels, k: fan_in };
    let mut scales = named("scale");
    let mut tensors = Vec::new();
    let mut written = Vec::new();
    for (at, group) in weights.iter().enumerate() {
        let mask = group.planes.mask.map(|plane| bits.mask(plane));
        let planes = group.planes.first_plane..group.planes.first_plane + group.planes.planes;
        tensors.push((format!("planes.{at}"), Tensor::U8(bits.bytes(planes, group.planes.mask))));
        if let Some((mask, packed)) = mask {
            tensors.push((format!("mask.{at}"), Tensor::U8(packed)));
            written.push(Some(mask));
        } else {
            written.push(None);
        }
        if group.scales > 0 {
            // Several scales are in as many runs as the planes.
            let runs = if group.scales == 1 { 1 } else { parts.len() };
            let of_run = group.scales as usize / runs;
            let scale = scales.by_ref().take(runs).flat_map(|scale| floats(&scale[..of_run])).collect();
            tensors.push((format!("scale.{at}"), Tensor::F32(scale)));
        }
    }
    let list = weights.iter().zip(written).map(|(group, mask)| WeightGroup {
        planes: group.planes.planes,
        factor: group.factor,
        scales: group.scales,
        mask,
    });
    let weights: Vec<WeightGroup> = list.collect();
    let weight_bits = weights.iter().map(|group| group.planes).sum();
    let conv = BitConvolution { channels, groups, weight_bits, window, weights, apart: false };
    let plain = BitConvolution { weights: Vec::new(), ..conv.clone() };
    match conv.weights.as_slice() {
        [group] if !grouped && group.mask.is_none() && group.scales < 2 => {
            let usual = plain.groups_of_planes()[0];
            if usual.factor.to_bits() != group.factor.to_bits() {
                return (conv, tensors);
            }
            let mut tensors: Vec<_> = tensors
                .into_iter()
                .map(|(name, tensor)| (name.trim_end_matches(".0").to_owned(), tensor))
                .collect();
            if group.scales == 0 {
                tensors.push(("scale".into(), Tensor::F32(vec![1.0])));
            }
            (plain, tensors)
        }
        _ => (conv, tensors),
    }
}
