//! Networks that `bitplane export --format packed` has written, and their results on a processor.
//!
//! ```no_run
//! let network = packed::Network::open("digits.safetensors")?;
//! let picture = vec![0; network.picture_len()];
//! let scores = network.classify(&picture)?;
//! # Ok::<(), packed::Error>(())
//! ```
//!
//! A file is checked wholly before anything of it is used; what is wrong with it is an [`Error`] and never a panic. Convolutions
//! between codes are AND and population count on words of 64 bits. Results do not depend on the processor's instructions nor on
//! the number of threads. The format is described in `docs/packed-format.md`.

mod bit_convolution;
mod check;
mod code_planes;
mod codes;
mod container;
mod convolution;
mod demand;
mod error;
mod file;
mod image;
mod infer;
mod layers;
pub mod manifest;
mod network;
mod positions;
mod run;
mod weights;

pub use error::Error;
pub use file::{File, Tensor};
pub use manifest::FORMAT;
pub use network::Network;
pub use run::Trace;
pub use weights::{Group, group_of};
