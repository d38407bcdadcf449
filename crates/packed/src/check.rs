//! Whether a description makes sense: which map every layer gives, and which tensors it needs.

use std::collections::HashMap;

use crate::{
    Error,
    container::{Dtype, NAME_LIMIT},
    manifest::{FORMAT, IMAGE, Layer, Manifest, Operation, Window},
};

/// Values of one map or one tensor at most.
const MAX_VALUES: u64 = 1 << 26;
/// Rows, columns or channels of anything at most.
const MAX_SIZE: u32 = 1 << 16;
const MAX_LAYERS: usize = 4096;
const MAX_CLASSES: usize = 100_000;

/// What the elements of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// f32.
    Values,
    /// Codes of this many bits.
    Codes(u32),
    /// Integer sums over codes of this many bits, of at most this magnitude.
    Sums {
        /// Bits of the codes.
        bits: u32,
        /// Bits of the weights.
        weight_bits: u32,
    },
}

/// A map `[row][column][channel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// Elements.
    pub kind: Kind,
}

impl Map {
    /// Elements.
    pub fn len(&self) -> u64 {
        u64::from(self.height) * u64::from(self.width) * u64::from(self.channels)
    }

    /// Pixels.
    pub fn pixels(&self) -> usize {
        self.height as usize * self.width as usize
    }

    fn shown(&self) -> String {
        let kind = match self.kind {
            Kind::Values => "values".to_owned(),
            Kind::Codes(bits) => format!("{bits}-bit codes"),
            Kind::Sums { .. } => "integer sums".to_owned(),
        };
        format!("{}x{}x{} {kind}", self.height, self.width, self.channels)
    }
}

/// The largest code.
pub fn levels(bits: u32) -> u32 {
    (1 << bits) - 1
}

/// A layer whose inputs are known.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Positions among the layers; `None` is the picture.
    pub inputs: Vec<Option<usize>>,
    pub output: Map,
    pub tensors: Vec<(String, Dtype, Vec<u64>)>,
}

/// The layers of a description that makes sense.
pub fn check(manifest: &Manifest) -> Result<Vec<Checked>, Error> {
    if manifest.format != FORMAT {
        return Err(Error::Format { found: manifest.format });
    }
    let image = picture(manifest)?;
    let layers = &manifest.layers;
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        return Err(Error::malformed(format!("{} layers, 1 to {MAX_LAYERS} are read", layers.len())));
    }
    let mut known = HashMap::new();
    let mut checked: Vec<Checked> = Vec::new();
    let mut used = vec![false; layers.len()];
    for (at, layer) in layers.iter().enumerate() {
        let name = &layer.name;
        let plain =
            !name.is_empty() && name.len() <= NAME_LIMIT / 2 && name.chars().all(|c| matches!(c, ' '..='~'));
        if !plain || name == IMAGE || known.insert(name.as_str(), at).is_some() {
            return Err(Error::layer(name, "has a name that is taken, too long or not printable ASCII"));
        }
        let find = |input: &String| match known.get(input.as_str()) {
            _ if input == IMAGE => Ok(None),
            Some(&before) if before < at => Ok(Some(before)),
            _ => Err(Error::layer(name, format!("reads `{input}`, which is no layer before it"))),
        };
        // No operation has more than two inputs, so a long list is not looked up.
        let inputs = layer.inputs.iter().take(3).map(find).collect::<Result<Vec<_>, _>>()?;
        inputs.iter().flatten().for_each(|&before| used[before] = true);
        let maps: Vec<Map> =
            inputs.iter().map(|input| input.map_or(image, |before| checked[before].output)).collect();
        let (output, tensors) = infer(layer, &maps)?;
        if output.len() > MAX_VALUES || output.height > MAX_SIZE || output.width > MAX_SIZE {
            return Err(Error::layer(name, format!("gives {}, more than is handled", output.shown())));
        }
        checked.push(Checked { inputs, output, tensors });
    }
    if let Some(at) = (0..layers.len() - 1).find(|at| !used[*at]) {
        return Err(Error::layer(&layers[at].name, "is read by no layer"));
    }
    let (last, classes) = (checked[layers.len() - 1].output, manifest.classes.len());
    let scores = Map { height: 1, width: 1, channels: last.channels, kind: Kind::Values };
    if last != scores || last.channels as usize != classes {
        let message = format!("gives {}, not one score for each of {classes} classes", last.shown());
        return Err(Error::layer(&layers[layers.len() - 1].name, message));
    }
    Ok(checked)
}

fn picture(manifest: &Manifest) -> Result<Map, Error> {
    let (image, preprocessing) = (manifest.image, manifest.preprocessing);
    let ([rows, columns], [height, width]) = (preprocessing.resize, preprocessing.crop);
    let channels = image.channels;
    let sizes = [image.height, image.width, rows, columns, height, width, channels];
    let values = |height: u32, width: u32| u64::from(height) * u64::from(width) * u64::from(channels);
    let small = sizes.iter().all(|size| (1..=1 << 14).contains(size))
        && [(image.height, image.width), (rows, columns), (height, width)]
            .iter()
            .all(|&(h, w)| values(h, w) <= MAX_VALUES);
    if !small {
        return Err(Error::malformed("its pictures are empty or too large"));
    }
    let most = 65_536.0;
    let (subtract, divide_by) = (preprocessing.subtract, preprocessing.divide_by.each());
    // What is not a number is in no range.
    if !subtract.iter().all(|value| (-most..=most).contains(value))
        || !divide_by.iter().all(|value| (1.0 / most..=most).contains(value))
    {
        let message = format!("pictures less {subtract:?} over {divide_by:?} are beyond what is read");
        return Err(Error::malformed(message));
    }
    if manifest.classes.len() > MAX_CLASSES {
        return Err(Error::malformed(format!(
            "{} classes, at most {MAX_CLASSES} are read",
            manifest.classes.len()
        )));
    }
    Ok(Map { height, width, channels, kind: Kind::Values })
}

type Needs = Vec<(String, Dtype, Vec<u64>)>;

fn infer(layer: &Layer, inputs: &[Map]) -> Result<(Map, Needs), Error> {
    let fail = |message: String| Err(Error::layer(&layer.name, message));
    let shown = || inputs.iter().map(Map::shown).collect::<Vec<_>>().join(" and ");
    let one = match (&layer.operation, inputs) {
        (Operation::Add, [a, b]) if a == b && a.kind == Kind::Values => return Ok((*a, Vec::new())),
        (Operation::Add, _) => return fail(format!("adds two equal maps of values, not {}", shown())),
        (_, [one]) => *one,
        _ => return fail(format!("takes one input, not {}", inputs.len())),
    };
    let needs = |list: &[(&str, Dtype, &[u32])]| -> Needs {
        let need = |&(suffix, dtype, shape): &(&str, Dtype, &[u32])| {
            (format!("{}.{suffix}", layer.name), dtype, shape.iter().map(|&size| u64::from(size)).collect())
        };
        list.iter().map(need).collect()
    };
    let over = |window: &Window| {
        window.output(one.height, one.width).ok_or_else(|| {
            Error::layer(&layer.name, format!("has a window {window:?} that does not fit {}", one.shown()))
        })
    };
    let wrong = || fail(format!("does not take {}", shown()));
    let values = one.kind == Kind::Values;
    Ok(match &layer.operation {
        Operation::Convolution(conv) if values => {
            let [height, width] = over(&conv.window)?;
            let inner = inner_channels(layer, one.channels, conv.channels, conv.groups)?;
            let [kernel_h, kernel_w] = conv.window.kernel;
            weights(layer, &[conv.channels, kernel_h, kernel_w, inner])?;
            let mut list = needs(&[("weight", Dtype::F32, &[conv.channels, kernel_h, kernel_w, inner])]);
            if conv.bias {
                list.extend(needs(&[("bias", Dtype::F32, &[conv.channels])]));
            }
            (Map { height, width, channels: conv.channels, ..one }, list)
        }
        Operation::BatchNormalization { epsilon } if values => {
            if !(epsilon.is_finite() && *epsilon >= 0.0) {
                return fail(format!("has epsilon {epsilon}"));
            }
            (one, needs(&[("normalization", Dtype::F32, &[4, one.channels])]))
        }
        Operation::MaxPool(window) | Operation::AveragePool(window) if values => {
            let [height, width] = over(window)?;
            (Map { height, width, ..one }, Vec::new())
        }
        Operation::GlobalAveragePool if values => (Map { height: 1, width: 1, ..one }, Vec::new()),
        Operation::Scale { factor } if values => {
            if !factor.is_finite() {
                return fail(format!("has factor {factor}"));
            }
            (one, Vec::new())
        }
        Operation::Clip | Operation::Relu if values => (one, Vec::new()),
        Operation::Quantize { bits } if values => {
            (Map { kind: Kind::Codes(width_of(layer, *bits)?), ..one }, Vec::new())
        }
        Operation::Dequantize if matches!(one.kind, Kind::Codes(_)) => {
            (Map { kind: Kind::Values, ..one }, Vec::new())
        }
        Operation::BitConvolution(conv) => {
            let Kind::Codes(bits) = one.kind else { return wrong() };
            let weight_bits = width_of(layer, conv.weight_bits)?;
            let [height, width] = over(&conv.window)?;
            let inner = inner_channels(layer, one.channels, conv.channels, conv.groups)?;
            let [kernel_h, kernel_w] = conv.window.kernel;
            let count = weights(layer, &[conv.channels, kernel_h, kernel_w, inner])?;
            let largest =
                u64::from(levels(bits)) * u64::from(levels(weight_bits)) * (count / u64::from(conv.channels));
            if largest >= i32::MAX as u64 {
                return fail(format!("has sums of up to {largest}, which leave 32 bits"));
            }
            let bytes = u32::try_from(count.div_ceil(8)).expect("fewer than 2^26 weights");
            let list = needs(&[("planes", Dtype::U8, &[weight_bits, bytes]), ("scale", Dtype::F32, &[1])]);
            (Map { height, width, channels: conv.channels, kind: Kind::Sums { bits, weight_bits } }, list)
        }
        Operation::Threshold { bits, pool } => {
            let Kind::Sums { .. } = one.kind else { return wrong() };
            let bits = width_of(layer, *bits)?;
            let [height, width] = pool.as_ref().map_or(Ok([one.height, one.width]), over)?;
            let list = needs(&[
                ("thresholds", Dtype::I32, &[levels(bits), one.channels]),
                ("ascending", Dtype::U8, &[one.channels]),
            ]);
            (Map { height, width, kind: Kind::Codes(bits), ..one }, list)
        }
        Operation::Rescale if matches!(one.kind, Kind::Sums { .. }) => {
            (Map { kind: Kind::Values, ..one }, Vec::new())
        }
        _ => return wrong(),
    })
}

fn width_of(layer: &Layer, bits: u32) -> Result<u32, Error> {
    if (1..=8).contains(&bits) {
        Ok(bits)
    } else {
        Err(Error::layer(&layer.name, format!("has {bits} bits, not 1 to 8")))
    }
}

/// Input channels of a group.
fn inner_channels(layer: &Layer, input: u32, output: u32, groups: u32) -> Result<u32, Error> {
    let fits = (1..=MAX_SIZE).contains(&output)
        && groups > 0
        && input.is_multiple_of(groups)
        && output.is_multiple_of(groups);
    if fits {
        Ok(input / groups)
    } else {
        Err(Error::layer(&layer.name, format!("has {input} to {output} channels in {groups} groups")))
    }
}

/// Number of weights.
fn weights(layer: &Layer, shape: &[u32]) -> Result<u64, Error> {
    let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(u64::from(size)));
    count
        .filter(|count| (1..=MAX_VALUES).contains(count))
        .ok_or_else(|| Error::layer(&layer.name, format!("has weights of {shape:?}, more than {MAX_VALUES}")))
}
