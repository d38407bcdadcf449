//! A packed file's contents, checked.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read},
    path::Path,
};

use crate::{
    Error,
    check::{Checked, Kind, Map, Need, check, check_format},
    container::{self, Dtype, read_header},
    manifest::{Manifest, Operation},
    weights,
};

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Tensor {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I32(_) => Dtype::I32,
            Self::U8(_) => Dtype::U8,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    fn decode(dtype: Dtype, bytes: &[u8]) -> Self {
        let words = bytes.as_chunks::<4>().0.iter();
        match dtype {
            Dtype::F32 => Self::F32(words.map(|word| f32::from_le_bytes(*word)).collect()),
            Dtype::I32 => Self::I32(words.map(|word| i32::from_le_bytes(*word)).collect()),
            Dtype::U8 => Self::U8(bytes.to_vec()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::I32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::U8(values) => values.clone(),
        }
    }
}

/// A network's description with its tensors, which fit each other.
#[derive(Clone, Debug)]
pub struct File {
    manifest: Manifest,
    tensors: BTreeMap<String, Tensor>,
    layers: Vec<Checked>,
    /// What the file holds, in the order of the layers.
    needs: Vec<Need>,
}

/// The name of a tensor that the network of so many bits of weights and activations has for itself.
fn own_name(name: &str, [weight, activation]: [u32; 2]) -> String {
    format!("{name}@{weight},{activation}")
}

/// The layers of the widest network, and the tensors of all of them, where `exists` says which there are.
fn needs(manifest: &Manifest, exists: impl Fn(&str) -> bool) -> Result<(Vec<Checked>, Vec<Need>), Error> {
    check_format(manifest)?;
    let layers = check(manifest, &manifest.layers)?;
    let mut needs: Vec<Need> = layers.iter().flat_map(|layer| layer.tensors.clone()).collect();
    let widest: BTreeMap<String, Need> = needs.iter().map(|need| (need.name.clone(), need.clone())).collect();
    for other in &manifest.narrower {
        for need in check(manifest, &other.layers)?.into_iter().flat_map(|layer| layer.tensors) {
            let name = own_name(&need.name, other.bits);
            if exists(&name) {
                needs.push(Need { name, ..need });
                continue;
            }
            let shared = widest.get(&need.name).ok_or_else(|| Error::tensor(&name, "is missing"))?;
            let fits = |rows: &u64| if need.prefix { need.shape[0] <= *rows } else { need.shape[0] == *rows };
            let same = (shared.dtype, shared.shape.get(1..)) == (need.dtype, need.shape.get(1..));
            if !same || !shared.shape.first().is_some_and(fits) {
                let message =
                    format!("is {:?} {:?}, of which {:?} is no part", shared.dtype, shared.shape, need.shape);
                return Err(Error::tensor(&need.name, message));
            }
        }
    }
    Ok((layers, needs))
}

/// The version alone, whatever else there is.
#[derive(serde::Deserialize)]
struct Version {
    format: u64,
}

impl File {
    /// Reads a file, taking nothing on trust.
    ///
    /// # Errors
    /// [`Error::File`] with the reason.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || {
            let file = fs::File::open(path).map_err(Error::Io)?;
            let metadata = file.metadata().map_err(Error::Io)?;
            if !metadata.is_file() {
                return Err(Error::malformed("it is no file"));
            }
            Self::read(&mut BufReader::new(file), metadata.len())
        };
        read().map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// The contents of a file that is in memory.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(&mut { bytes }, bytes.len() as u64)
    }

    fn read(reader: &mut impl Read, len: u64) -> Result<Self, Error> {
        let header = read_header(reader, len)?;
        let unclear = |error| Error::malformed(format!("its description cannot be understood: {error}"));
        let version: Version = serde_json::from_str(&header.manifest).map_err(unclear)?;
        if !(1..=crate::FORMAT).contains(&version.format) {
            return Err(Error::Format { found: version.format });
        }
        let manifest: Manifest = serde_json::from_str(&header.manifest).map_err(unclear)?;
        // What the layers need is what the file has, so the sizes that are read are those of the file.
        let (layers, needs) = needs(&manifest, |name| header.entries.contains_key(name))?;
        let mut missing: BTreeMap<&str, _> =
            header.entries.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
        for Need { name, dtype, shape, .. } in &needs {
            let entry = missing.remove(name.as_str()).ok_or_else(|| Error::tensor(name, "is missing"))?;
            if (entry.dtype, &entry.shape) != (*dtype, shape) {
                let message = format!("is {:?} {:?}, not {dtype:?} {shape:?}", entry.dtype, entry.shape);
                return Err(Error::tensor(name, message));
            }
        }
        if let Some(name) = missing.keys().next() {
            return Err(Error::tensor(name, "belongs to no layer"));
        }
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(Error::Io)?;
        let end = header.entries.values().map(|entry| entry.data_offsets[1]).max().unwrap_or(0);
        if data.len() as u64 != end || container::digest(&header.manifest, &data) != header.sha256 {
            return Err(Error::Digest);
        }
        let tensors = header.entries.iter().map(|(name, entry)| {
            let [first, last] =
                entry.data_offsets.map(|at| usize::try_from(at).expect("the data is in memory"));
            (name.clone(), Tensor::decode(entry.dtype, &data[first..last]))
        });
        let file = Self { manifest, tensors: tensors.collect(), layers, needs };
        file.check_values()?;
        Ok(file)
    }

    /// Puts a description and its tensors together.
    ///
    /// # Errors
    /// What [`File::decode`] would refuse.
    pub fn new(manifest: Manifest, tensors: BTreeMap<String, Tensor>) -> Result<Self, Error> {
        let (layers, needs) = needs(&manifest, |name| tensors.contains_key(name))?;
        for Need { name, dtype, shape, .. } in &needs {
            let tensor = tensors.get(name).ok_or_else(|| Error::tensor(name, "is missing"))?;
            if tensor.dtype() != *dtype || tensor.len() as u64 != shape.iter().product::<u64>() {
                return Err(Error::tensor(name, format!("is not {dtype:?} {shape:?}")));
            }
        }
        if tensors.len() != needs.len() {
            return Err(Error::malformed("a tensor belongs to no layer"));
        }
        let file = Self { manifest, tensors, layers, needs };
        file.check_values()?;
        Ok(file)
    }

    /// The file's bytes, the same for equal contents: floats first, then thresholds, then bytes, each in the order of the
    /// layers.
    pub fn encode(&self) -> Vec<u8> {
        let mut order: Vec<&Need> = self.needs.iter().collect();
        order.sort_by_key(|need| need.dtype);
        let tensors: Vec<_> = order
            .into_iter()
            .map(|Need { name, dtype, shape, .. }| {
                (name.clone(), *dtype, shape.clone(), self.tensors[name].encode())
            })
            .collect();
        let manifest = serde_json::to_string(&self.manifest).expect("a description is plain values");
        container::write(&manifest, &tensors)
    }

    /// The description.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn layers(&self) -> &[Checked] {
        &self.layers
    }

    /// The tensor `suffix` of layer `layer`, if it has one.
    pub fn tensor(&self, layer: &str, suffix: &str) -> Option<&Tensor> {
        self.tensors.get(&format!("{layer}.{suffix}"))
    }

    /// The f32 tensor `suffix` of layer `layer`; empty where there is none.
    pub fn floats(&self, layer: &str, suffix: &str) -> &[f32] {
        match self.tensor(layer, suffix) {
            Some(Tensor::F32(values)) => values,
            _ => &[],
        }
    }

    /// The bytes `suffix` of layer `layer`; empty where there are none.
    pub fn bytes(&self, layer: &str, suffix: &str) -> &[u8] {
        match self.tensor(layer, suffix) {
            Some(Tensor::U8(values)) => values,
            _ => &[],
        }
    }

    /// The integers `suffix` of layer `layer`; empty where there are none.
    pub fn integers(&self, layer: &str, suffix: &str) -> &[i32] {
        match self.tensor(layer, suffix) {
            Some(Tensor::I32(values)) => values,
            _ => &[],
        }
    }

    /// The groups of planes of layer `layer`; none where it has no planes.
    pub fn groups(&self, layer: &str) -> Vec<weights::Group> {
        let found = self.manifest.layers.iter().position(|other| other.name == layer);
        match found.map(|at| (at, &self.manifest.layers[at].operation)) {
            Some((at, Operation::BitConvolution(conv))) => weights::groups(self, layer, conv, self.input(at)),
            _ => Vec::new(),
        }
    }

    /// Bits that the network's numbers take, without names, padding and description: weights at their width, thresholds at
    /// 32 bits and one for the direction, everything else at 32.
    pub fn counted_bits(&self) -> u64 {
        self.needs.iter().map(|need| need.bits).sum()
    }

    /// Bits of weights and activations of the networks that share the file's planes, the widest first.
    pub fn networks(&self) -> Vec<[u32; 2]> {
        let [weight, activation, _] = self.manifest.provenance.bits;
        let narrower = self.manifest.narrower.iter().map(|other| other.bits);
        std::iter::once([weight, activation]).chain(narrower).collect()
    }

    /// One of [`File::networks`] alone, with the planes that it reads and no others.
    ///
    /// # Errors
    /// [`Error::Narrower`] where the file has no such network.
    pub fn at(&self, bits: [u32; 2]) -> Result<Self, Error> {
        let [weight, activation, gradient] = self.manifest.provenance.bits;
        let mut manifest = Manifest { narrower: Vec::new(), ..self.manifest.clone() };
        if bits != [weight, activation] {
            let other = self.manifest.narrower.iter().find(|other| other.bits == bits);
            let other = other.ok_or_else(|| Error::Narrower { found: bits, known: self.networks() })?;
            manifest.layers.clone_from(&other.layers);
            manifest.provenance.bits = [bits[0], bits[1], gradient];
        }
        manifest.format = manifest.needed_format();
        let tensor = |need: Need| {
            let own = self.tensors.get(&own_name(&need.name, bits));
            let tensor = match own.unwrap_or(&self.tensors[&need.name]) {
                Tensor::U8(bytes) if need.prefix => {
                    Tensor::U8(bytes[..need.shape.iter().product::<u64>() as usize].to_vec())
                }
                whole => whole.clone(),
            };
            (need.name, tensor)
        };
        let layers = check(&manifest, &manifest.layers)?;
        let tensors = layers.into_iter().flat_map(|layer| layer.tensors).map(tensor).collect();
        Self::new(manifest, tensors)
    }

    /// The first input of layer `at`.
    pub(crate) fn input(&self, at: usize) -> Map {
        let [height, width] = self.manifest.preprocessing.crop;
        let image = Map { height, width, channels: self.manifest.image.channels, kind: Kind::Values };
        self.layers[at].inputs[0].map_or(image, |before| self.layers[before].output)
    }

    /// The group of codes that each channel of the first input of layer `at` belongs to; empty where they are not apart.
    pub(crate) fn input_groups(&self, at: usize) -> &[u8] {
        let before = self.layers[at].inputs[0].map(|before| &self.manifest.layers[before].name);
        before.map_or(&[], |name| self.bytes(name, "groups"))
    }

    /// Numbers are finite, directions and thresholds in order, and bits behind the last weight zero.
    fn check_values(&self) -> Result<(), Error> {
        for (name, tensor) in &self.tensors {
            if let Tensor::F32(values) = tensor
                && let Some(at) = values.iter().position(|value| !value.is_finite())
            {
                return Err(Error::tensor(name, format!("holds {} in element {at}", values[at])));
            }
        }
        self.check_layers()?;
        self.manifest.narrower.iter().try_for_each(|other| self.at(other.bits).map(drop))
    }

    fn check_layers(&self) -> Result<(), Error> {
        for (at, (layer, checked)) in self.manifest.layers.iter().zip(&self.layers).enumerate() {
            let name = &layer.name;
            match &layer.operation {
                Operation::BatchNormalization { epsilon } => {
                    let channels = checked.output.channels as usize;
                    let variance = &self.floats(name, "normalization")[3 * channels..];
                    if let Some(at) = variance.iter().position(|variance| variance + epsilon <= 0.0) {
                        let message = format!("has a variance that is not positive in channel {at}");
                        return Err(Error::tensor(&format!("{name}.normalization"), message));
                    }
                }
                Operation::Quantize(quantize) => {
                    let divides = |width: &u8| *width > 0 && quantize.bits.is_multiple_of(u32::from(*width));
                    if let Some(at) = self.bytes(name, "bits").iter().position(|width| !divides(width)) {
                        let message =
                            format!("has a width that does not divide {} in channel {at}", quantize.bits);
                        return Err(Error::tensor(&format!("{name}.bits"), message));
                    }
                    let count = quantize.codes.as_ref().map_or(0, |codes| codes.groups.len());
                    let of = self.bytes(name, "groups").iter().position(|&group| usize::from(group) >= count);
                    if let Some(at) = of {
                        let message = format!("has no group of {count} in channel {at}");
                        return Err(Error::tensor(&format!("{name}.groups"), message));
                    }
                }
                Operation::BitConvolution(conv) => weights::check(self, name, conv, self.input(at))?,
                Operation::Threshold { .. } => {
                    let channels = checked.output.channels as usize;
                    self.check_thresholds(name, channels)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_thresholds(&self, name: &str, channels: usize) -> Result<(), Error> {
        let (ascending, thresholds) = (self.bytes(name, "ascending"), self.integers(name, "thresholds"));
        if let Some(at) = ascending.iter().position(|direction| *direction > 1) {
            let message = format!("is {} in channel {at}, not 0 or 1", ascending[at]);
            return Err(Error::tensor(&format!("{name}.ascending"), message));
        }
        for (below, above) in thresholds.chunks_exact(channels).zip(thresholds.chunks_exact(channels).skip(1))
        {
            let in_order =
                |at: usize| if ascending[at] == 1 { below[at] <= above[at] } else { below[at] >= above[at] };
            if let Some(at) = (0..channels).find(|at| !in_order(*at)) {
                let message = format!("are not in order in channel {at}");
                return Err(Error::tensor(&format!("{name}.thresholds"), message));
            }
        }
        Ok(())
    }
}
