//! Between sessions and packed files: what a session evaluates becomes a file, and a file a session.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use graph::layers::{
    AvgPool, BatchNorm, Clip, Conv2d, GlobalAvgPool, MaxPool, PackedConv2d, Quantize, Rectifier, Scale,
    Threshold,
};
use graph::{
    DeployedLayer, DeployedOperation, Geometry, GraphError, InputSpec, Layer, Network, NetworkBuilder, Node,
    Padding, PixelScale, Shape, quantizers::DorefaActivation,
};
use packed::manifest::{
    BitConvolution, Convolution, DivideBy, FORMAT, IMAGE, Manifest, Operation, Picture, Preprocessing,
    Provenance, Window,
};
use packed::{File, Tensor};

use crate::checkpoint::Checkpoint;
use crate::exit::Failure;
use crate::identity::Identity;

/// Rows and columns of the largest pool that the adapter's kernels are written for.
const LARGEST_POOL: u32 = 16;

/// The file of a deployed network.
///
/// # Errors
/// A network that the format cannot hold.
pub fn pack(
    layers: &[DeployedLayer],
    (input, scale): (&InputSpec, PixelScale),
    checkpoint: &Checkpoint,
) -> Result<File, Failure> {
    let Identity { model, bits, data, classes, image, seed, config_hash } = &checkpoint.identity;
    let mut tensors = BTreeMap::new();
    let mut described = Vec::new();
    for layer in layers {
        let input_name = |at: &Option<usize>| at.map_or(IMAGE.to_owned(), |at| layers[at].name.clone());
        described.push(packed::manifest::Layer {
            name: layer.name.clone(),
            inputs: layer.inputs.iter().map(input_name).collect(),
            operation: operation(&layer.operation),
        });
        for (suffix, tensor) in pack_tensors(layer) {
            tensors.insert(format!("{}.{suffix}", layer.name), tensor);
        }
    }
    let [height, width, channels] = *image;
    let manifest = Manifest {
        format: FORMAT,
        image: Picture { height, width, channels },
        preprocessing: Preprocessing {
            resize: [input.resize_height, input.resize_width],
            crop: [input.out_height, input.out_width],
            subtract: scale.subtract,
            divide_by: divide_by(scale),
        },
        classes: classes.clone(),
        layers: described,
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
    Ok(File::new(manifest, tensors)?)
}

fn operation(operation: &DeployedOperation) -> Operation {
    match *operation {
        DeployedOperation::Convolution { window, channels, groups, bias } => {
            Operation::Convolution(Convolution { channels, groups, bias, window: packed_window(&window) })
        }
        DeployedOperation::BatchNorm { epsilon } => Operation::BatchNormalization { epsilon },
        DeployedOperation::MaxPool(window) => Operation::MaxPool(packed_window(&window)),
        DeployedOperation::AvgPool(window) => Operation::AveragePool(packed_window(&window)),
        DeployedOperation::Scale { factor } => Operation::Scale { factor },
        DeployedOperation::GlobalAvgPool => Operation::GlobalAveragePool,
        DeployedOperation::Clip => Operation::Clip,
        DeployedOperation::Relu => Operation::Relu,
        DeployedOperation::Add => Operation::Add,
        DeployedOperation::Quantize { bits } => Operation::Quantize { bits },
        DeployedOperation::Dequantize => Operation::Dequantize,
        DeployedOperation::BitConvolution { window, channels, groups, weight_bits, .. } => {
            let window = packed_window(&window);
            Operation::BitConvolution(BitConvolution { channels, groups, weight_bits, window })
        }
        DeployedOperation::Threshold { bits, pool } => {
            Operation::Threshold { bits, pool: pool.as_ref().map(packed_window) }
        }
        DeployedOperation::Rescale => Operation::Rescale,
    }
}

fn packed_window(window: &kernels::Window) -> Window {
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

fn pack_tensors(layer: &DeployedLayer) -> Vec<(&'static str, Tensor)> {
    let floats = |words: &[u32]| words.iter().map(|word| f32::from_bits(*word)).collect::<Vec<f32>>();
    if let DeployedOperation::BatchNorm { .. } = layer.operation {
        let rows = layer.tensors.iter().flat_map(|(_, words)| floats(words)).collect();
        return vec![("normalization", Tensor::F32(rows))];
    }
    let mut tensors = Vec::new();
    if let DeployedOperation::BitConvolution { channels, weight_bits, fan_in, .. } = layer.operation {
        let parts: Vec<&[u32]> = layer
            .tensors
            .iter()
            .filter(|(name, _)| *name == "planes")
            .map(|(_, words)| words.as_slice())
            .collect();
        let planes = planes_to_bytes(&parts, [weight_bits, channels, fan_in]);
        tensors.push(("planes", Tensor::U8(planes)));
    }
    for (name, words) in &layer.tensors {
        match (&layer.operation, *name) {
            (_, "planes") => {}
            (DeployedOperation::Threshold { bits, .. }, "thresholds") => {
                let channels = words.len() >> bits;
                let (directions, thresholds) = words.split_at(channels);
                tensors.push(("ascending", Tensor::U8(directions.iter().map(|&word| word as u8).collect())));
                let thresholds = thresholds.iter().map(|word| word.cast_signed()).collect();
                tensors.push(("thresholds", Tensor::I32(thresholds)));
            }
            (_, name) => tensors.push((name, Tensor::F32(floats(words)))),
        }
    }
    tensors
}

/// From parts of the rows, each `[plane][row][word]` with the least significant plane first, to bits one behind the other, the
/// most significant plane first.
fn planes_to_bytes(parts: &[&[u32]], [planes, rows, k]: [u32; 3]) -> Vec<u8> {
    let (row_words, of_part) = (kernels::words_for(k), rows / parts.len() as u32);
    let mut bytes = Vec::new();
    for plane in (0..planes).rev() {
        let mut bits = vec![0u8; (rows as usize * k as usize).div_ceil(8)];
        let each = (0..rows).flat_map(|row| (0..k).map(move |at| (row, at)));
        for (at, (row, k)) in each.enumerate() {
            let (part, row) = (parts[(row / of_part) as usize], row % of_part);
            let word = part[((plane * of_part + row) * row_words + k / 32) as usize];
            bits[at / 8] |= ((word >> (k % 32) & 1) as u8) << (at % 8);
        }
        bytes.extend(bits);
    }
    bytes
}

/// The reverse of [`planes_to_bytes`] for groups of the rows, each padded to whole slices.
fn bytes_to_planes(bytes: &[u8], [planes, rows, k]: [u32; 3], groups: u32) -> Vec<u32> {
    let (row_words, of_group) = (kernels::words_for(k), rows / groups);
    let group_words = PackedConv2d::group_words(planes, of_group, k);
    let mut words = vec![0u32; (u64::from(groups) * group_words) as usize];
    let plane_bytes = (rows as usize * k as usize).div_ceil(8);
    for (plane, bits) in (0..planes).rev().zip(bytes.chunks_exact(plane_bytes.max(1))) {
        let each = (0..rows).flat_map(|row| (0..k).map(move |at| (row, at)));
        for (at, (row, k)) in each.enumerate() {
            let bit = u32::from(bits[at / 8] >> (at % 8) & 1);
            let (group, row) = (row / of_group, row % of_group);
            let place = u64::from((plane * of_group + row) * row_words + k / 32);
            words[(u64::from(group) * group_words + place) as usize] |= bit << (k % 32);
        }
    }
    words
}

/// One whole number where that is all.
fn divide_by(scale: PixelScale) -> DivideBy {
    let whole = scale.divide_by[0] as u32;
    match scale.divide_by == [whole as f32; 3] {
        true => DivideBy::All(whole),
        false => DivideBy::Each(scale.divide_by),
    }
}

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
        let node = add(&mut net, layer, &inputs)?;
        nodes.insert(name, node);
        let k = match &layer.operation {
            Operation::BitConvolution(conv) => {
                conv.window.kernel.iter().product::<u32>() * net.shape(inputs[0]).channels / conv.groups
            }
            _ => 0,
        };
        tensors.extend(unpack_tensors(file, layer, k));
    }
    let mut network = net.build_deployed()?;
    network.pixel_scale =
        PixelScale { subtract: preprocessing.subtract, divide_by: preprocessing.divide_by.each() };
    Ok(Unpacked { network, input, tensors })
}

fn add(net: &mut NetworkBuilder, layer: &packed::manifest::Layer, inputs: &[Node]) -> Result<Node, Failure> {
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
    let one_group = |groups: u32| match groups {
        1 => Ok(()),
        _ => Err(refused(name, format!("has {groups} groups, of which adapters take one"))),
    };
    let new: Arc<dyn Layer> = match &layer.operation {
        Operation::Convolution(conv) => {
            one_group(conv.groups)?;
            let geometry = geometry(&conv.window)?;
            Arc::new(Conv2d { out_channels: conv.channels, geometry, bias: conv.bias })
        }
        Operation::BatchNormalization { epsilon } => {
            Arc::new(BatchNorm { epsilon: *epsilon, ..BatchNorm::default() })
        }
        Operation::MaxPool(window) => Arc::new(MaxPool { geometry: pool(window)? }),
        Operation::AveragePool(window) => Arc::new(AvgPool { geometry: pool(window)? }),
        Operation::Scale { factor } => Arc::new(Scale { factor: *factor }),
        Operation::GlobalAveragePool => Arc::new(GlobalAvgPool),
        Operation::Clip => Arc::new(Clip { rectifier: Rectifier::Clip }),
        Operation::Relu => Arc::new(Clip { rectifier: Rectifier::Relu }),
        Operation::Add => return Ok(net.sum(name, inputs[0], inputs[1])?),
        Operation::Quantize { bits } => {
            Arc::new(Quantize { quantizer: Arc::new(DorefaActivation::new(*bits)) })
        }
        Operation::BitConvolution(conv) => {
            let (out_channels, groups, weight_bits) = (conv.channels, conv.groups, conv.weight_bits);
            Arc::new(PackedConv2d { out_channels, geometry: geometry(&conv.window)?, groups, weight_bits })
        }
        Operation::Threshold { bits, pool: window } => {
            Arc::new(Threshold { bits: *bits, pool: window.as_ref().map(pool).transpose()? })
        }
        // Sums and codes become f32 where a layer reads them as such.
        Operation::Rescale | Operation::Dequantize => return Ok(inputs[0]),
    };
    Ok(net.add_layer(name, new, inputs)?)
}

/// A layer that is sound but that no adapter computes.
fn refused(layer: &str, message: String) -> GraphError {
    GraphError::Layer {
        layer: data::printable(layer),
        message: format!("{message}; run it with the crate `packed`"),
    }
}

/// The rule that pads a map as the window says.
fn find_geometry(layer: &str, window: &Window, shape: Shape) -> Result<Geometry, GraphError> {
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

fn unpack_tensors(file: &File, layer: &packed::manifest::Layer, k: u32) -> Vec<(String, Vec<u32>)> {
    let name = layer.name.as_str();
    let floats = |from: &str, to: &str| {
        let words = file.floats(name, from).iter().map(|value| value.to_bits()).collect();
        (format!("{name}.{to}"), words)
    };
    match &layer.operation {
        Operation::Convolution(conv) => {
            let mut tensors = vec![floats("weight", "weight")];
            tensors.extend(conv.bias.then(|| floats("bias", "bias")));
            tensors
        }
        Operation::BatchNormalization { .. } => {
            let rows = file.floats(name, "normalization");
            let names = ["gamma", "beta", "running_mean", "running_variance"];
            let words = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect();
            let rows = rows.chunks_exact(rows.len() / names.len());
            names.iter().zip(rows).map(|(suffix, row)| (format!("{name}.{suffix}"), words(row))).collect()
        }
        Operation::BitConvolution(conv) => {
            let sizes = [conv.weight_bits, conv.channels, k];
            let planes = bytes_to_planes(file.bytes(name, "planes"), sizes, conv.groups);
            vec![(format!("{name}.planes"), planes), floats("scale", "scale")]
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

/// What the network was trained as.
pub fn identity(file: &File) -> Identity {
    let manifest = file.manifest();
    let Provenance { model, bits, seed, data, settings_sha256, .. } = manifest.provenance.clone();
    let Picture { height, width, channels } = manifest.image;
    let (classes, image) = (manifest.classes.clone(), [height, width, channels]);
    Identity { model, bits, data, classes, image, seed, config_hash: settings_sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_round_trip_with_the_most_significant_first() {
        let (planes, rows, k) = (2, 3, 33);
        let group = |seed: u32| -> Vec<u32> {
            let word =
                |at: u32| 0x9e37_79b9u32.wrapping_mul(at + seed) & if at % 2 == 1 { 1 } else { u32::MAX };
            (0..planes * rows * 2).map(word).collect()
        };
        let groups = [group(1), group(50)];
        let bytes = planes_to_bytes(&[&groups[0], &groups[1]], [planes, 2 * rows, k]);
        assert_eq!(bytes.len(), 2 * 25);
        let words = bytes_to_planes(&bytes, [planes, 2 * rows, k], 2);
        assert_eq!((words.len(), &words[..12], &words[64..76]), (128, &groups[0][..], &groups[1][..]));
        assert_eq!(
            u32::from(bytes[0] & 1),
            groups[0][6] & 1,
            "the first byte begins with the high bit of weight 0"
        );
        assert_eq!(bytes[24] >> 6, 0, "198 bits take 25 bytes, the last 2 bits are zero");
    }

    #[test]
    fn windows_keep_their_rule() {
        let shape = Shape::new(9, 7, 3);
        for geometry in [
            Geometry::square(3, 1, Padding::Same),
            Geometry::square(3, 2, Padding::Same),
            Geometry::square(2, 2, Padding::Same),
            Geometry::square(5, 2, Padding::Valid),
            Geometry::square(3, 2, Padding::Explicit(1)),
            Geometry { kernel: (9, 7), stride: 1, padding: Padding::Valid },
            Geometry::square(1, 2, Padding::Valid),
        ] {
            let window = geometry.window(1, shape).expect("fits");
            let found = find_geometry("x", &packed_window(&window), shape).expect("a rule");
            assert_eq!(found.window(1, shape), Some(window), "{geometry:?}");
        }
        let uneven = Window { kernel: [3, 3], stride: 1, padding: [2, 0, 0, 2] };
        assert!(find_geometry("x", &uneven, shape).is_err());
    }
}
