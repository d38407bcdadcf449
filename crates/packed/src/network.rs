//! A network that is ready to run.

use std::{path::Path, thread};

use fearless_simd::Level;

use crate::{
    Error, File, Trace,
    bit_convolution::{BitConvolution, channel_factors},
    check::{Kind, Map},
    convolution::Convolution,
    layers::{BatchNormalization, Quantizer, Thresholds, code_values},
    manifest::{self, Manifest, Operation, Window},
    run::{Memory, Plan, run},
    weights,
};

/// What a layer does, with its numbers in the order in which they are read.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Convolution(Convolution),
    BatchNormalization(BatchNormalization),
    MaxPool(Window),
    AveragePool(Window),
    Scale(f32),
    GlobalAveragePool,
    Clip(f32),
    Magnitude(f32),
    Relu,
    Add,
    WeightedSum(Vec<f32>),
    Bias(Vec<f32>),
    ChannelMagnitude,
    WindowMean(Window),
    ScalePositions,
    Quantize(Quantizer),
    /// What every code stands for, and the group of codes of each channel, where they are apart.
    Dequantize(Vec<Vec<f32>>, Vec<u8>),
    BitConvolution(BitConvolution),
    Threshold {
        thresholds: Thresholds,
        pool: Option<Window>,
    },
    /// Factor of each channel.
    Rescale(Vec<f32>),
}

/// A layer.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub name: String,
    pub inputs: Vec<Option<usize>>,
    pub input: Map,
    pub output: Map,
    pub work: Work,
    /// Layers whose outputs nobody reads behind this one.
    pub dead: Vec<usize>,
}

/// A network on the processor. Sharing it among threads is fine.
#[derive(Clone, Debug)]
pub struct Network {
    file: File,
    steps: Vec<Step>,
    level: Level,
}

impl Network {
    /// Reads a packed file, taking nothing on trust.
    ///
    /// # Errors
    /// [`Error::File`] with the reason.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(File::open(path)?))
    }

    /// As [`Network::open`], for one of the networks that share the file's planes.
    ///
    /// # Errors
    /// [`Error::File`] with the reason, [`Error::Narrower`] for bits of weights and activations that no network has.
    pub fn open_at(path: impl AsRef<Path>, bits: [u32; 2]) -> Result<Self, Error> {
        let named = |source| Error::File { path: path.as_ref().to_owned(), source: Box::new(source) };
        Ok(Self::new(File::open(&path)?.at(bits).map_err(named)?))
    }

    /// Makes checked contents ready to run, of several networks the widest.
    pub fn new(file: File) -> Self {
        let count = file.layers().len();
        let mut last_reader: Vec<usize> = (0..count).collect();
        for (at, layer) in file.layers().iter().enumerate() {
            layer.inputs.iter().flatten().for_each(|&input| last_reader[input] = at);
        }
        let steps = (0..count).map(|at| {
            let layer = &file.layers()[at];
            let dead =
                (0..at).filter(|input| layer.inputs.contains(&Some(*input)) && last_reader[*input] == at);
            Step {
                name: file.manifest().layers[at].name.clone(),
                inputs: layer.inputs.clone(),
                input: file.input(at),
                output: layer.output,
                work: work(&file, at),
                dead: dead.collect(),
            }
        });
        Self { steps: steps.collect(), level: Level::new(), file }
    }

    /// Bytes of a picture, `[row][column][channel]`.
    pub fn picture_len(&self) -> usize {
        let image = self.file.manifest().image;
        image.height as usize * image.width as usize * image.channels as usize
    }

    /// Class names, in the order of the scores.
    pub fn classes(&self) -> &[String] {
        &self.file.manifest().classes
    }

    /// The network's description.
    pub fn manifest(&self) -> &Manifest {
        self.file.manifest()
    }

    /// Scores of the classes, the largest for the likeliest, of a picture of bytes `[row][column][channel]`.
    ///
    /// # Errors
    /// [`Error::Picture`], [`Error::NonFinite`].
    pub fn classify(&self, picture: &[u8]) -> Result<Vec<f32>, Error> {
        self.check(picture, 1)?;
        self.scores(picture, &mut Memory::default())
    }

    /// Scores `[picture][class]` of pictures one behind the other, computed by up to `threads` threads.
    ///
    /// # Errors
    /// [`Error::Picture`], [`Error::NonFinite`].
    pub fn classify_batch(&self, pictures: &[u8], threads: usize) -> Result<Vec<f32>, Error> {
        let size = self.picture_len();
        let count = pictures.len() / size;
        self.check(pictures, count)?;
        let share = count.div_ceil(threads.max(1)).max(1);
        let several = |pictures: &[u8]| -> Result<Vec<f32>, Error> {
            let mut memory = Memory::default();
            let mut scores = Vec::with_capacity(pictures.len() / size * self.classes().len());
            for picture in pictures.chunks_exact(size) {
                scores.extend(self.scores(picture, &mut memory)?);
            }
            Ok(scores)
        };
        let mut parts = pictures.chunks(share * size);
        let Some(first) = parts.next() else { return Ok(Vec::new()) };
        thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(move || several(part))).collect();
            let mut scores = several(first)?;
            for other in others {
                scores.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(scores)
        })
    }

    /// The outputs of all layers for one picture.
    ///
    /// # Errors
    /// [`Error::Picture`], [`Error::NonFinite`].
    pub fn trace(&self, picture: &[u8]) -> Result<Trace, Error> {
        self.trace_with(picture, &[])
    }

    /// As [`Network::trace`], with the codes of the named layers replaced by others of the same number, for comparison with a
    /// device whose f32 convolutions round otherwise.
    ///
    /// # Errors
    /// [`Error::Picture`], [`Error::NonFinite`].
    pub fn trace_with(&self, picture: &[u8], codes: &[(&str, &[u8])]) -> Result<Trace, Error> {
        self.check(picture, 1)?;
        let plan = Plan { keep: true, replace: codes };
        Ok(run(self, picture, &mut Memory::default(), &plan)?.1)
    }

    fn scores(&self, picture: &[u8], memory: &mut Memory) -> Result<Vec<f32>, Error> {
        Ok(run(self, picture, memory, &Plan { keep: false, replace: &[] })?.0)
    }

    fn check(&self, pixels: &[u8], pictures: usize) -> Result<(), Error> {
        let needed = self.picture_len();
        let fits = pixels.len() == needed * pictures;
        if fits { Ok(()) } else { Err(Error::Picture { found: pixels.len(), needed }) }
    }

    /// The contents of the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }
}

fn work(file: &File, at: usize) -> Work {
    let layer = &file.manifest().layers[at];
    let (name, input, output) = (layer.name.as_str(), file.input(at), file.layers()[at].output);
    match &layer.operation {
        Operation::Convolution(conv) => {
            let (weight, bias) = (file.floats(name, "weight"), file.floats(name, "bias"));
            Work::Convolution(Convolution::new(conv, input, output, weight, bias))
        }
        Operation::BatchNormalization { epsilon } => {
            let (rows, channels) = (file.floats(name, "normalization"), output.channels as usize);
            let tensors = [0, 1, 2, 3].map(|row| &rows[row * channels..][..channels]);
            Work::BatchNormalization(BatchNormalization::new(tensors, *epsilon))
        }
        Operation::MaxPool(window) => Work::MaxPool(*window),
        Operation::AveragePool(window) => Work::AveragePool(*window),
        Operation::Scale { factor } => Work::Scale(*factor),
        Operation::GlobalAveragePool => Work::GlobalAveragePool,
        Operation::Clip => Work::Clip(1.0),
        Operation::ClipTo { limit } => Work::Clip(*limit),
        Operation::Magnitude => Work::Magnitude(1.0),
        Operation::MagnitudeTo { limit } => Work::Magnitude(*limit),
        Operation::Relu => Work::Relu,
        Operation::Add => Work::Add,
        Operation::WeightedSum => Work::WeightedSum(file.floats(name, "factors").to_vec()),
        Operation::Bias => Work::Bias(file.floats(name, "bias").to_vec()),
        Operation::ChannelMagnitude => Work::ChannelMagnitude,
        Operation::WindowMean(window) => Work::WindowMean(*window),
        Operation::ScalePositions => Work::ScalePositions,
        Operation::Quantize(quantize) => {
            Work::Quantize(Quantizer::new(quantize, file.bytes(name, "bits"), file.bytes(name, "groups")))
        }
        Operation::Dequantize => {
            let Kind::Codes(code) = input.kind else { unreachable!("kinds were checked") };
            Work::Dequantize(code_values(&code), file.input_groups(at).to_vec())
        }
        Operation::BitConvolution(conv) => {
            let groups = weights::groups(file, name, conv, input);
            let Kind::Codes(code) = input.kind else {
                let count = conv.window.taps() * u64::from(conv.channels * (input.channels / conv.groups));
                let weight = weights::dense(&groups, conv.channels as usize, count as usize);
                let manifest::BitConvolution { channels, groups, window, .. } = *conv;
                let conv = manifest::Convolution { channels, groups, bias: false, window, outside: 0.0 };
                return Work::Convolution(Convolution::new(&conv, input, output, &weight, &[]));
            };
            let of_channels = file.input_groups(at);
            Work::BitConvolution(BitConvolution::new(conv, (input, code, of_channels), output, &groups))
        }
        Operation::Threshold { pool, .. } => {
            let thresholds =
                Thresholds::new(file.integers(name, "thresholds"), file.bytes(name, "ascending"));
            Work::Threshold { thresholds, pool: *pool }
        }
        Operation::Rescale => {
            let before = file.layers()[at].inputs[0].expect("a picture has no sums");
            let conv_layer = &file.manifest().layers[before];
            let (Operation::BitConvolution(conv), Kind::Codes(code)) =
                (&conv_layer.operation, file.input(before).kind)
            else {
                unreachable!("sums are those of codes")
            };
            let groups = weights::groups(file, &conv_layer.name, conv, file.input(before));
            let channels = output.channels as usize;
            let all: Vec<Vec<f32>> =
                groups.iter().map(|group| channel_factors(&code.groups()[0], group, channels)).collect();
            let of = |channel| if conv.apart { weights::group_of(&groups, channel, channels) } else { 0 };
            let own = |channel| all[of(channel)][channel];
            Work::Rescale((0..channels).map(own).collect())
        }
    }
}
