//! Whether a description makes sense: which map every layer gives, and which tensors it needs.

use std::collections::HashMap;

use crate::{
    Error,
    codes::Code,
    container::{Dtype, NAME_LIMIT},
    demand,
    infer::infer,
    manifest::{FORMAT, IMAGE, Layer, Manifest},
};

/// Values of one map or one tensor at most.
pub const MAX_VALUES: u64 = 1 << 26;
/// Rows, columns or channels of anything at most.
pub const MAX_SIZE: u32 = 1 << 16;
const MAX_LAYERS: usize = 4096;
const MAX_CLASSES: usize = 100_000;
/// Inputs of one layer at most.
pub const MAX_INPUTS: usize = 64;
/// Networks that share a file's planes at most.
const MAX_NARROWER: usize = 64;

/// What the elements of a map are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// f32.
    Values,
    /// Codes.
    Codes(Code),
    /// Integer sums.
    Sums,
}

/// A map `[row][column][channel]`.
#[derive(Clone, Copy, Debug, PartialEq)]
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

    /// The map of one value for each pixel.
    pub fn of_positions(&self) -> Self {
        Self { channels: 1, kind: Kind::Values, ..*self }
    }

    pub fn shown(&self) -> String {
        let kind = match self.kind {
            Kind::Values => "values".to_owned(),
            Kind::Codes(code) => format!("{}-bit codes", code.bits),
            Kind::Sums => "integer sums".to_owned(),
        };
        format!("{}x{}x{} {kind}", self.height, self.width, self.channels)
    }
}

/// A layer whose inputs are known.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Positions among the layers; `None` is the picture.
    pub inputs: Vec<Option<usize>>,
    pub output: Map,
    pub tensors: Vec<Need>,
}

/// A tensor that a layer needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    /// Bits of its numbers.
    pub bits: u64,
    /// The first of more rows will do.
    pub prefix: bool,
}

/// Whether the version is one that is read, and the one that the contents need.
pub fn check_format(manifest: &Manifest) -> Result<(), Error> {
    if !(1..=FORMAT).contains(&manifest.format) {
        return Err(Error::Format { found: manifest.format });
    }
    let needed = manifest.needed_format();
    if manifest.format != needed {
        let message = format!("its format is {}, what it holds is format {needed}", manifest.format);
        return Err(Error::malformed(message));
    }
    let mut keys: Vec<[u32; 2]> = manifest.narrower.iter().map(|other| other.bits).collect();
    keys.push([manifest.provenance.bits[0], manifest.provenance.bits[1]]);
    keys.sort_unstable();
    if keys.len() > MAX_NARROWER || keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::malformed(format!("{} networks, two of the same bits or too many", keys.len())));
    }
    Ok(())
}

/// The layers `layers` of a description, if they make sense.
pub fn check(manifest: &Manifest, layers: &[Layer]) -> Result<Vec<Checked>, Error> {
    let image = picture(manifest)?;
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
        // A list that is too long is not looked up.
        let inputs = layer.inputs.iter().take(MAX_INPUTS + 1).map(find).collect::<Result<Vec<_>, _>>()?;
        inputs.iter().flatten().for_each(|&before| used[before] = true);
        let maps: Vec<Map> =
            inputs.iter().map(|input| input.map_or(image, |before| checked[before].output)).collect();
        let (output, tensors) = infer(layer, &maps)?;
        // Of two sizes within their limit the product is no more than 64 bits hold.
        if output.height > MAX_SIZE || output.width > MAX_SIZE || output.len() > MAX_VALUES {
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
    demand::check(layers, &checked, image)?;
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
