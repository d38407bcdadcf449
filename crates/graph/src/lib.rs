//! Networks of layers become recordings: forward, backward, update and deployed evaluation over planned buffers.
//!
//! A [`NetworkBuilder`] assembles a graph of [`layers`]; a [`Session`] records it, plans its memory, and trains and
//! evaluates it on any [`recording::Executor`]. Methods of the literature enter as [`quantizers`]. This crate knows no
//! graphics API, no file, no clock and no thread.

mod arena;
mod base_sum;
mod batch;
mod binary_input;
mod bisect;
mod bit_convolution;
mod bit_length;
mod bit_mix;
mod bits;
mod channel_parts;
mod convolution;
mod cut;
mod deploy;
mod deployed;
mod embed;
mod error;
mod fold;
mod fusion;
mod heads;
mod heterogeneous;
mod kernel_plan;
mod layer;
pub mod layers;
mod loss;
mod memory;
mod method;
mod network;
mod network_builder;
mod optimizer;
mod parameter;
mod plan;
pub mod planes;
pub mod quantizers;
mod recorder;
mod reduction;
mod scan;
mod schedule;
mod session;
mod shape;
mod structure;
mod tap;
mod tensor;
mod trial;
mod widths;

pub use batch::{Batch, Color, Input, Light, Selection, Transform};
pub use bisect::{DispatchCheck, Sample};
pub use bit_convolution::is_bit_product;
pub use bit_length::{BitLength, LearnedBits, LengthForm, Penalty};
pub use bit_mix::{BitMix, BitMixError, MAX_LEVELS};
pub use bits::{Bits, FULL_PRECISION, MAX_BITS};
pub use convolution::Convolution;
pub use cut::{Codes, Cut};
pub use deploy::Deferred;
pub use deployed::{
    CodeForm, CodeRounding, CodeRule, DeployedCodes, DeployedGroup, DeployedLayer, DeployedOperation,
};
pub use error::GraphError;
pub use fusion::Link;
pub use heads::{FeatureMatch, Head, SoftTarget};
pub use heterogeneous::{BitOrder, Heterogeneous, MaskCost, MaskGranularity};
pub use kernel_plan::{KernelPlan, ProductKey, UnknownProduct};
pub use kernels::{ActivationForm, PixelScale, Rounding, SignRule};
pub use layer::{Backward, Layer, LayerSummary, Place};
pub use memory::MemoryPlan;
pub use method::{GroupNetRules, Method};
pub use network::{Network, Node};
pub use network_builder::NetworkBuilder;
pub use optimizer::Optimizer;
pub use parameter::{Init, Parameter, ParameterSpec};
pub use plan::{plan_memory, plan_products};
pub use recorder::{Chunk, Mode, Phase, ProductNote, Recorder, SAMPLE_BLOCK};
pub use reference::{nested::NestedForm, optimizer::EpsilonForm, quantize::GradientScale};
pub use session::{
    Change, Data, Evaluation, InputSpec, NamedTensor, Observed, RING, Session, SessionOptions, StepReport,
};
pub use shape::{Geometry, Padding, Shape};
pub use structure::{BaseScales, Block, MOST_BASES, Partition, Shortcut, Structure};
pub use tap::Quantity;
pub use tensor::{Kind, Maxima, Packed, Tensor, Value};
pub use trial::{Trial, TrialBench};
pub use widths::{WidthLoss, Widths, name_at_width, width_of_name};
