//! A file as a network that a session computes.

use std::collections::HashMap;
use std::sync::Arc;

use graph::layers::{
    AvgPool, BatchNorm, Bias, ChannelMagnitude, Clip, Conv2d, GlobalAvgPool, MaxPool, PackedConv2d, Quantize,
    QuantizedConv2d, Rectifier, Scale, ScalePositions, Threshold, WeightedSum, WindowMean,
};
use graph::{
    BaseScales, Bits, DeployedCodes, DeployedGroup, FULL_PRECISION, Geometry, GraphError, InputSpec, Layer,
    Network, NetworkBuilder, Node, Padding, PixelScale, Shape,
    quantizers::{ActivationQuantizer, ChannelBits, ChannelCodes, Coded, DorefaActivation, SignActivation},
};
use kernels::{ActivationForm, ChannelSet, Kind, PlaneGroup, Rounding};
use packed::File;
use packed::manifest::{
    BitConvolution, CodeGroup, Codes, Form, IMAGE, Operation, Planes, Rounding as FileRounding, Window,
};

use super::{channel_runs, plane_bits::Placed};
use crate::exit::Failure;

/// Rows and columns of the largest pool that the adapter's kernels are written for.
const LARGEST_POOL: u32 = 16;

/// A packed network as a session takes it.
pub struct Unpacked {
    /// The network.
    pub network: Network,
    /// How pictures become its input.
    pub input: InputSpec,
    /// Words of its parameters, by name.
    pub tensors: HashMap<String, Vec<u32>>,
}

/// The network of a file.
///
/// # Errors
/// A network that no session computes.
pub fn unpack(file: &File) -> Result<Unpacked, Failure> {
    let manifest = file.manifest();
    let (image, preprocessing) = (manifest.image, manifest.preprocessing);
    let ([resize_height, resize_width], [out_height, out_width]) = (preprocessing.resize, preprocessing.crop);
    let input = InputSpec {
        source_height: image.height,
        source_width: image.width,
        channels: image.channels,
        resize_height,
        resize_width,
        out_height,
        out_width,
    };
    let mut net = NetworkBuilder::new(Shape::new(out_height, out_width, image.channels));
    let mut nodes: HashMap<&str, Node> = HashMap::from([(IMAGE, net.input())]);
    let mut tensors = HashMap::new();
    for layer in &manifest.layers {
        let (name, inputs) = (layer.name.as_str(), &layer.inputs);
        let inputs: Vec<Node> = inputs.iter().map(|input| nodes[input.as_str()]).collect();
        let node = add(&mut net, (file, layer), &inputs)?;
        nodes.insert(name, node);
        tensors.extend(unpack_tensors(file, layer));
    }
    let mut network = net.build_deployed()?;
    network.pixel_scale =
        PixelScale { subtract: preprocessing.subtract, divide_by: preprocessing.divide_by.each() };
    Ok(Unpacked { network, input, tensors })
}

fn add(
    net: &mut NetworkBuilder,
    (file, layer): (&File, &packed::manifest::Layer),
    inputs: &[Node],
) -> Result<Node, Failure> {
    let name = layer.name.as_str();
    let shape = net.shape(inputs[0]);
    let geometry = |window: &Window| find_geometry(name, window, shape);
    let pool = |window: &Window| {
        let [height, width] = window.kernel;
        if height != width || height > LARGEST_POOL {
            let message =
                format!("has a pool of {height}x{width}, adapters take squares up to {LARGEST_POOL}");
            return Err(refused(name, message));
        }
        geometry(window)
    };
    let new: Arc<dyn Layer> = match &layer.operation {
        Operation::Convolution(conv) => {
            let (out_channels, groups, bias) = (conv.channels, conv.groups, conv.bias);
            let geometry = geometry(&conv.window)?;
            let border = border(file, layer);
            match groups {
                1 if conv.outside == 0.0 => Arc::new(Conv2d { out_channels, geometry, bias }),
                _ if conv.outside != border => {
                    let message = format!("has {} around a map that ends in {border}", conv.outside);
                    return Err(refused(name, message).into());
                }
                // Around codes there is what they end in.
                _ => {
                    let full =
                        Bits { weight: FULL_PRECISION, activation: FULL_PRECISION, gradient: FULL_PRECISION };
                    Arc::new(QuantizedConv2d {
                        groups,
                        bias,
                        ..QuantizedConv2d::dorefa(out_channels, geometry, full)
                    })
                }
            }
        }
        Operation::BatchNormalization { epsilon } => {
            Arc::new(BatchNorm { epsilon: *epsilon, ..BatchNorm::default() })
        }
        Operation::MaxPool(window) => Arc::new(MaxPool { geometry: pool(window)? }),
        Operation::AveragePool(window) => Arc::new(AvgPool { geometry: pool(window)? }),
        Operation::Scale { factor } => Arc::new(Scale { factor: *factor }),
        Operation::GlobalAveragePool => Arc::new(GlobalAvgPool),
        Operation::Clip => Arc::new(Clip::new(Rectifier::Clip)),
        Operation::ClipTo { limit } => Arc::new(Clip { rectifier: Rectifier::Clip, limit: *limit }),
        Operation::Magnitude => Arc::new(Clip::new(Rectifier::Cabs)),
        Operation::MagnitudeTo { limit } => Arc::new(Clip { rectifier: Rectifier::Cabs, limit: *limit }),
        Operation::Relu => Arc::new(Clip::new(Rectifier::Relu)),
        Operation::Add => return Ok(net.sum(name, inputs[0], inputs[1])?),
        Operation::Bias => Arc::new(Bias),
        Operation::ChannelMagnitude => Arc::new(ChannelMagnitude),
        Operation::WindowMean(window) => Arc::new(WindowMean { geometry: geometry(window)? }),
        Operation::ScalePositions => Arc::new(ScalePositions),
        Operation::WeightedSum => {
            let layer = WeightedSum { scales: BaseScales::Learned };
            return Ok(net.add_layer(name, Arc::new(layer), inputs)?);
        }
        Operation::Quantize(quantize) => {
            let codes = code_groups(quantize.bits, quantize.codes.as_ref());
            if codes.apart {
                let sets = channel_sets(&codes, file.bytes(name, "groups"));
                let down = quantize.rule.is_some_and(|rule| rule.rounding == FileRounding::Down);
                let rounding = if down { Rounding::MidRise } else { Rounding::Even };
                let factors = codes.groups.iter().map(|(_, factor)| *factor).collect();
                let quantizer = Arc::new(ChannelCodes { sets, factors, rounding });
                return Ok(net.add_layer(name, Arc::new(Quantize { quantizer }), inputs)?);
            }
            let widths = file.bytes(name, "bits").iter().map(|&width| u32::from(width)).collect();
            Arc::new(Quantize { quantizer: quantizer(name, quantize, &codes, widths)? })
        }
        Operation::BitConvolution(conv) => {
            let (out_channels, groups) = (conv.channels, conv.groups);
            let border = border(file, layer);
            if border != 0.0 && conv.window.padding != [0; 4] {
                return Err(refused(name, format!("has 0 around a map that ends in {border}")).into());
            }
            let (weights, _) = channel_runs::merged(conv, (weight_groups(conv), file.groups(name)));
            if weights.iter().any(|group| group.scales > 1 && !group.scales.is_multiple_of(groups)) {
                let message = "has scales that span groups of channels".to_owned();
                return Err(refused(name, message).into());
            }
            Arc::new(PackedConv2d { out_channels, geometry: geometry(&conv.window)?, groups, weights })
        }
        Operation::Threshold { bits, pool: window, codes } => {
            let pool = window.as_ref().map(pool).transpose()?;
            Arc::new(Threshold { bits: *bits, pool, codes: code_groups(*bits, codes.as_ref()) })
        }
        // Sums and codes become f32 where a layer reads them as such.
        Operation::Rescale | Operation::Dequantize => return Ok(inputs[0]),
    };
    Ok(net.add_layer(name, new, inputs)?)
}

/// The rule of the engine that computes the codes.
fn quantizer(
    layer: &str,
    quantize: &packed::manifest::Quantize,
    codes: &DeployedCodes,
    widths: Vec<u32>,
) -> Result<Arc<dyn ActivationQuantizer>, GraphError> {
    let bits = quantize.bits;
    let plain = DorefaActivation::new(bits);
    let coded = |rule: DorefaActivation| -> Arc<dyn ActivationQuantizer> {
        // Without a range of its own the rule says itself what its codes stand for.
        match quantize.codes {
            None if rule.range == 1.0 => Arc::new(rule),
            _ => Arc::new(Coded::new(rule, codes.clone())),
        }
    };
    let Some(rule) = quantize.rule else { return Ok(coded(plain)) };
    let form = match rule.form {
        Form::Clip => ActivationForm::Clip,
        Form::Magnitude => ActivationForm::Cabs,
        Form::ClipByChannel if quantize.codes.is_none() => return Ok(Arc::new(ChannelBits { bits, widths })),
        Form::Sign if codes.kind == Kind::Sign && codes.groups == [(PlaneGroup::first(1), 1.0)] => {
            return Ok(Arc::new(SignActivation::default()));
        }
        Form::Sign | Form::ClipByChannel => return Err(refused(layer, format!("has the rule {rule:?}"))),
    };
    let roundings =
        [Rounding::Even, Rounding::Floor, Rounding::MidRise, Rounding::Shift { from: bits + rule.drop }];
    let same = |rounding: &Rounding| {
        let own = match rounding {
            Rounding::Even | Rounding::Shift { .. } => FileRounding::Even,
            Rounding::Floor => FileRounding::HalfUp,
            Rounding::MidRise => FileRounding::Down,
        };
        let drop = if let Rounding::Shift { from } = rounding { from - bits } else { 0 };
        (own, drop) == (rule.rounding, rule.drop) && rounding.factor(bits) as f32 == rule.factor
    };
    // The range is kept as its inverse, which a number beside that of the inverse may have too.
    let nearest = (1.0 / rule.inverse).to_bits();
    let ranges = [nearest, nearest + 1, nearest - 1].map(f32::from_bits);
    let range = ranges.into_iter().find(|range| 1.0 / range == rule.inverse);
    let found = roundings.into_iter().find(same).zip(range);
    let (rounding, range) = found.ok_or_else(|| refused(layer, format!("has the rule {rule:?}")))?;
    Ok(coded(DorefaActivation { form, rounding, range, ..plain }))
}

/// What the codes end in that a layer reads as values; 0 where there are none.
fn border(file: &File, layer: &packed::manifest::Layer) -> f32 {
    let named = |name: &String| file.manifest().layers.iter().find(|layer| layer.name == *name);
    let Some(Operation::Dequantize) = named(&layer.inputs[0]).map(|before| &before.operation) else {
        return 0.0;
    };
    let source = named(&layer.inputs[0]).and_then(|before| named(&before.inputs[0]));
    let codes = match source.map(|source| &source.operation) {
        Some(Operation::Quantize(quantize)) => quantize.codes.as_ref(),
        Some(Operation::Threshold { codes, .. }) => codes.as_ref(),
        _ => None,
    };
    let signs = codes.filter(|codes| codes.planes == Planes::Sign);
    let end = |group: &CodeGroup| group.factor * ((1u32 << group.planes) - 1) as f32;
    signs.map_or(0.0, |codes| codes.groups.iter().map(end).sum())
}

/// The groups of codes of `bits` bits, first bit to last.
fn code_groups(bits: u32, codes: Option<&Codes>) -> DeployedCodes {
    let Some(codes) = codes else {
        let factor = 1.0 / ((1u32 << bits) - 1) as f32;
        return DeployedCodes::new(Kind::Unit, vec![(PlaneGroup::first(bits), factor)]);
    };
    let mut behind = 0;
    let group = |group: &CodeGroup| {
        // Groups apart have planes of their own on an adapter.
        let first_plane = if codes.apart { behind } else { group.first };
        behind += group.planes;
        let planes = PlaneGroup { first_plane, planes: group.planes, mask: None };
        (planes, group.factor)
    };
    let kind = if codes.planes == Planes::Unit { Kind::Unit } else { Kind::Sign };
    DeployedCodes { kind, groups: codes.groups.iter().map(group).collect(), apart: codes.apart }
}

/// The channels of groups of codes apart, by the group of each.
fn channel_sets(codes: &DeployedCodes, groups: &[u8]) -> Vec<ChannelSet> {
    let set = |(at, (planes, _)): (usize, &(PlaneGroup, f32))| ChannelSet {
        bits: planes.planes,
        members: groups.iter().map(|group| usize::from(*group) == at).collect(),
    };
    codes.groups.iter().enumerate().map(set).collect()
}

/// The groups of planes one behind the other, each with its mask at its end.
fn weight_groups(conv: &BitConvolution) -> Vec<DeployedGroup> {
    let mut first_plane = 0;
    let group = |group: packed::manifest::WeightGroup| {
        let mask = group.mask.map(|_| first_plane + group.planes);
        let planes = PlaneGroup { first_plane, planes: group.planes, mask };
        first_plane = planes.end();
        DeployedGroup { planes, factor: group.factor, scales: group.scales }
    };
    conv.groups_of_planes().into_iter().map(group).collect()
}

/// A layer that is sound but that no adapter computes.
fn refused(layer: &str, message: String) -> GraphError {
    GraphError::Layer {
        layer: data::printable(layer),
        message: format!("{message}; run it with the crate `packed`"),
    }
}

/// The rule that pads a map as the window says.
pub(super) fn find_geometry(layer: &str, window: &Window, shape: Shape) -> Result<Geometry, GraphError> {
    let [height, width] = window.kernel;
    let [top, bottom, left, right] = window.padding;
    let wanted = window.output(shape.height, shape.width).map(|[height, width]| (top, left, height, width));
    let mut rules = vec![Padding::Valid, Padding::Same];
    rules.extend((top == left && bottom <= top && right <= left).then_some(Padding::Explicit(top)));
    let geometries =
        rules.into_iter().map(|padding| Geometry { kernel: (height, width), stride: window.stride, padding });
    let fits = |geometry: &Geometry| {
        let found = geometry.window(1, shape);
        found.map(|found| (found.pad_top, found.pad_left, found.out_height, found.out_width)) == wanted
    };
    geometries.into_iter().find(fits).ok_or_else(|| {
        refused(layer, format!("has padding {:?}, which adapters do not take", window.padding))
    })
}

fn unpack_tensors(file: &File, layer: &packed::manifest::Layer) -> Vec<(String, Vec<u32>)> {
    let name = layer.name.as_str();
    let words = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    let floats = |tensor: &str| (format!("{name}.{tensor}"), words(file.floats(name, tensor)));
    match &layer.operation {
        Operation::Convolution(conv) => {
            let mut tensors = vec![floats("weight")];
            tensors.extend(conv.bias.then(|| floats("bias")));
            tensors
        }
        Operation::BatchNormalization { .. } => {
            let rows = file.floats(name, "normalization");
            let names = ["gamma", "beta", "running_mean", "running_variance"];
            let rows = rows.chunks_exact(rows.len() / names.len());
            names.iter().zip(rows).map(|(suffix, row)| (format!("{name}.{suffix}"), words(row))).collect()
        }
        Operation::Bias => vec![floats("bias")],
        Operation::WeightedSum => {
            vec![(format!("{name}.lambda"), words(file.floats(name, "factors")))]
        }
        Operation::BitConvolution(conv) => {
            let (written, groups) = channel_runs::merged(conv, (weight_groups(conv), file.groups(name)));
            let k = (groups[0].planes[0].len() / conv.channels as usize) as u32;
            let planes = PackedConv2d::planes(&written);
            let mut placed = Placed::new([planes, conv.channels, k], conv.groups);
            let (places, all) = PackedConv2d::scale_places(&written, conv.groups);
            let mut scales = vec![0; all as usize];
            for ((written, group), places) in written.iter().zip(&groups).zip(places) {
                let first = written.planes.first_plane..;
                first.zip(group.planes.iter().rev()).for_each(|(plane, bits)| placed.put(plane, bits));
                if let (Some(plane), Some(bits)) = (written.planes.mask, &group.mask) {
                    placed.put(plane, bits);
                }
                for (at, scale) in places.into_iter().flatten().zip(&group.scales) {
                    scales[at as usize] = scale.to_bits();
                }
            }
            let mut tensors = vec![(format!("{name}.planes"), placed.words)];
            tensors.extend((all > 0).then(|| (format!("{name}.scale"), scales)));
            tensors
        }
        Operation::Threshold { .. } => {
            let directions = file.bytes(name, "ascending").iter().map(|&direction| u32::from(direction));
            let thresholds =
                file.integers(name, "thresholds").iter().map(|threshold| threshold.cast_unsigned());
            vec![(format!("{name}.thresholds"), directions.chain(thresholds).collect())]
        }
        _ => Vec::new(),
    }
}
