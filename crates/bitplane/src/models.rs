//! Networks by name, each with the recipe that trains it.

mod alexnet;
mod digits;
mod resnet18;
mod resnet20;
mod svhn;

use graph::{
    Bits, EpsilonForm, GraphError, InputSpec, Method, Network, NetworkBuilder, Optimizer, Shape, Structure,
};

use crate::{batches::Augment, preprocess::Preprocess, schedule::SchedulerKind};

/// Side of the pictures that a network reads, and what its widths are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows and columns.
    pub side: u32,
    /// Divides every width but that of the last layer.
    pub divisor: u32,
}

/// A network, how pictures enter it, and how it is trained where the user does not say otherwise.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// How pictures become its input.
    pub input: InputSpec,
}

/// Pictures and classes of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelInput {
    /// Rows of a picture.
    pub height: u32,
    /// Columns of a picture.
    pub width: u32,
    /// Channels of a picture.
    pub channels: u32,
    /// Classes.
    pub classes: u32,
}

impl ModelInput {
    /// Pictures of height, width and channels `image` in `classes`, or what is usual for the model named `name`.
    pub fn usual(name: &str, image: Option<[u32; 3]>, classes: Option<u32>) -> Self {
        let (usual, usual_classes) = match name {
            "digits" => ([8, 8, 1], 10),
            "alexnet" | "resnet18" | "resnet18-original" | "resnet50" => ([224, 224, 3], 1000),
            _ => ([32, 32, 3], 10),
        };
        let [height, width, channels] = image.unwrap_or(usual);
        Self { height, width, channels, classes: classes.unwrap_or(usual_classes) }
    }
}

/// Training settings of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: u32,
    /// Samples of a step.
    pub batch_size: u32,
    /// Update rule.
    pub optimizer: Optimizer,
    /// Learning rate.
    pub lr: f64,
    /// How the rate changes.
    pub lr_scheduler: SchedulerKind,
    /// Epochs between two decays of a step schedule.
    pub lr_step_size: u32,
    /// Factor of a decay.
    pub lr_gamma: f64,
    /// Epochs that begin with a decay of a multi-step schedule.
    pub lr_milestones: Vec<u32>,
    /// Epochs of linear warm-up.
    pub lr_warmup_epochs: u32,
    /// Augmentation.
    pub augment: Augment,
    /// Largest shift of an augmentation that crops, in pixels.
    pub crop_padding: u32,
    /// How pictures become input.
    pub preprocess: Preprocess,
}

/// Why a model cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model has this name.
    #[error("unknown model `{name}`; known are {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: Vec<&'static str>,
    },
    /// The pictures do not fit the network.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

struct Entry {
    name: &'static str,
    build: fn(&ModelInput, Bits) -> Result<Model, GraphError>,
    recipe: fn() -> Recipe,
}

const MODELS: &[Entry] = &[
    Entry { name: "digits", build: digits::build, recipe: digits::recipe },
    Entry { name: "svhn-a", build: |input, bits| svhn::build(input, bits, 1), recipe: svhn::recipe },
    Entry { name: "svhn-b", build: |input, bits| svhn::build(input, bits, 2), recipe: svhn::recipe },
    Entry { name: "svhn-c", build: |input, bits| svhn::build(input, bits, 4), recipe: svhn::recipe },
    Entry { name: "svhn-d", build: |input, bits| svhn::build(input, bits, 8), recipe: svhn::recipe },
    Entry {
        name: "alexnet",
        build: |input, bits| alexnet::build(input, bits, alexnet::SIZE),
        recipe: alexnet::recipe,
    },
    Entry {
        name: "resnet18",
        build: |input, bits| resnet18::build(input, bits, resnet18::SIZE, resnet18::PLAIN),
        recipe: resnet18::recipe,
    },
    Entry {
        name: "resnet18-original",
        build: |input, bits| resnet18::build(input, bits, resnet18::SIZE, resnet18::ORIGINAL),
        recipe: resnet18::recipe,
    },
    Entry {
        name: "resnet50",
        build: |input, bits| resnet18::build(input, bits, resnet18::SIZE, resnet18::BOTTLENECKS),
        recipe: resnet18::recipe,
    },
    Entry {
        name: "resnet8",
        build: |input, bits| resnet20::build(input, bits, (1, 1)),
        recipe: resnet20::recipe,
    },
    Entry {
        name: "resnet8-narrow",
        build: |input, bits| resnet20::build(input, bits, (1, 2)),
        recipe: resnet20::recipe,
    },
    Entry {
        name: "resnet14",
        build: |input, bits| resnet20::build(input, bits, (2, 1)),
        recipe: resnet20::recipe,
    },
    Entry {
        name: "resnet20",
        build: |input, bits| resnet20::build(input, bits, (3, 1)),
        recipe: resnet20::recipe,
    },
];

/// All model names.
pub fn names() -> Vec<&'static str> {
    MODELS.iter().map(|entry| entry.name).collect()
}

fn find(name: &str) -> Result<&'static Entry, ModelError> {
    let entry = MODELS.iter().find(|entry| entry.name == name);
    entry.ok_or_else(|| ModelError::Unknown { name: name.to_owned(), known: names() })
}

/// Builds model `name` for pictures of `input` at `bits`.
///
/// # Errors
/// An unknown name, or pictures that do not fit.
pub fn build(name: &str, input: &ModelInput, bits: Bits) -> Result<Model, ModelError> {
    Ok((find(name)?.build)(input, bits)?)
}

/// A smaller relative of a model for 224x224 pictures with the same layers, for tests that run in seconds.
///
/// # Errors
/// A name that is not `alexnet`, `resnet18`, `resnet18-original` or `resnet50`, or sizes that do not fit.
pub fn build_reduced(name: &str, input: &ModelInput, bits: Bits, size: Size) -> Result<Model, ModelError> {
    Ok(match name {
        "alexnet" => alexnet::build(input, bits, size),
        "resnet18" => resnet18::build(input, bits, size, resnet18::PLAIN),
        "resnet18-original" => resnet18::build(input, bits, size, resnet18::ORIGINAL),
        "resnet50" => resnet18::build(input, bits, size, resnet18::BOTTLENECKS),
        _ => return Err(ModelError::Unknown { name: name.to_owned(), known: names() }),
    }?)
}

/// As [`build`], rebuilt from bases where there is a structure, by `method`.
///
/// # Errors
/// As [`build`], a structure that does not fit the model.
pub fn build_by(
    name: &str,
    input: &ModelInput,
    bits: Bits,
    (method, structure): (&Method, Option<&Structure>),
) -> Result<Model, ModelError> {
    let Model { network, input } = build(name, input, bits)?.structured(structure)?;
    Ok(Model { network: network.with_method(method)?, input })
}

impl Model {
    /// The same rebuilt from bases, where there is a structure.
    ///
    /// # Errors
    /// A structure that does not fit.
    pub fn structured(self, structure: Option<&Structure>) -> Result<Self, ModelError> {
        let Self { network, input } = self;
        let network = match structure {
            Some(structure) => network.with_structure(structure)?,
            None => network,
        };
        Ok(Self { network, input })
    }
}

/// The training settings of model `name`.
///
/// # Errors
/// An unknown name.
pub fn recipe(name: &str) -> Result<Recipe, ModelError> {
    Ok((find(name)?.recipe)())
}

/// Adam as DoReFa-Net's authors ran it: epsilon 1e-5 added to the uncorrected root.
fn adam_recipe() -> Recipe {
    Recipe {
        epochs: 200,
        batch_size: 128,
        optimizer: Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-5,
            form: EpsilonForm::Uncorrected,
            weight_decay: 0.0,
        },
        lr: 1e-3,
        lr_scheduler: SchedulerKind::Constant,
        lr_step_size: 100,
        lr_gamma: 0.5,
        lr_milestones: Vec::new(),
        lr_warmup_epochs: 0,
        augment: Augment::None,
        crop_padding: 4,
        preprocess: Preprocess::Plain,
    }
}

/// An empty network over pictures that are resized to `size` x `size`, or kept as they are.
fn start(input: &ModelInput, size: Option<u32>) -> (NetworkBuilder, InputSpec) {
    let &ModelInput { height, width, channels, .. } = input;
    let (out_height, out_width) = size.map_or((height, width), |size| (size, size));
    let spec = InputSpec {
        source_height: height,
        source_width: width,
        channels,
        resize_height: out_height,
        resize_width: out_width,
        out_height,
        out_width,
    };
    (NetworkBuilder::new(Shape::new(out_height, out_width, channels)), spec)
}
