//! Parameters and other state that outlives a step.

use recording::BufferSlice;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Normal with this standard deviation, drawn from the seed and the parameter's position in the network.
    Normal(f32),
}

/// What a layer declares.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Suffix of the name, e.g. `weight`.
    pub name: &'static str,
    /// Sizes, row-major.
    pub shape: Vec<usize>,
    /// First values.
    pub init: Init,
    /// True where the optimizer updates it; running statistics are saved but not trained.
    pub trainable: bool,
    /// Part of a learned bit length: trained at a rate of its own, within bounds and without decay.
    pub is_length: bool,
    /// Decay of this parameter alone, added to the optimizer's.
    pub weight_decay: f32,
}

impl ParameterSpec {
    /// A convolution or linear weight: normal with standard deviation sqrt(2 / fan_in).
    pub fn weight(shape: Vec<usize>, fan_in: u32) -> Self {
        let deviation = (2.0 / f64::from(fan_in)).sqrt() as f32;
        Self {
            name: "weight",
            shape,
            init: Init::Normal(deviation),
            trainable: true,
            is_length: false,
            weight_decay: 0.0,
        }
    }

    /// A trainable vector of equal values.
    pub fn vector(name: &'static str, len: u32, value: f32) -> Self {
        Self {
            name,
            shape: vec![len as usize],
            init: Init::Constant(value),
            trainable: true,
            is_length: false,
            weight_decay: 0.0,
        }
    }

    /// A running statistic.
    pub fn statistic(name: &'static str, len: u32, value: f32) -> Self {
        Self { trainable: false, ..Self::vector(name, len, value) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a parameter without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A parameter with its place on the device.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Layer and suffix, e.g. `conv1.weight`.
    pub name: String,
    /// Position among the network's parameters; names its stream of random numbers.
    pub position: u32,
    /// What the layer declared.
    pub spec: ParameterSpec,
    /// Current values.
    pub value: BufferSlice,
    /// Gradient of the last backward pass; meaningless where not trainable.
    pub gradient: BufferSlice,
    /// Belongs to a part that stays as it is and is not saved.
    pub frozen: bool,
    /// Optimizer state, one slice a moment.
    pub moments: Vec<BufferSlice>,
}

impl Parameter {
    /// Number of values.
    pub fn len(&self) -> u32 {
        u32::try_from(self.spec.len()).expect("a parameter that fits a binding has fewer than 2^32 values")
    }

    /// True for a parameter without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
