//! What can go wrong between a network's description and its training steps.

use recording::ExecutorError;

/// A failure of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// A bit width outside 1 to 8 that is not 32.
    #[error("{what} of {bits} bits: a width is 1 to 8, or 32 for f32")]
    Bits {
        /// `weights`, `activations` or `gradients`.
        what: &'static str,
        /// The width asked for.
        bits: u32,
    },
    /// Bit widths that are not three numbers.
    #[error("`{text}` is not three bit widths W,A,G such as 1,2,4")]
    BitsText {
        /// The text.
        text: String,
    },
    /// A layer cannot take its input.
    #[error("layer `{layer}`: {message}")]
    Layer {
        /// Layer name.
        layer: String,
        /// What does not fit, with the sizes.
        message: String,
    },
    /// A structure that is neither a name nor a list of groups.
    #[error(
        "`{text}` is no structure; known are layer-wise, v1, v2, v3, and lists of blocks per group such as 1,1,2"
    )]
    StructureText {
        /// The text.
        text: String,
    },
    /// A structure that does not fit the network.
    #[error("structure: {message}")]
    Structure {
        /// What does not fit.
        message: String,
    },
    /// Two layers share a name.
    #[error("two layers are named `{layer}`")]
    Duplicate {
        /// The name.
        layer: String,
    },
    /// One block of samples of a tensor passes the adapter's binding limit.
    #[error(
        "`{tensor}` needs {needed} bytes{}, the adapter binds at most {limit} bytes at once",
        for_samples(*samples)
    )]
    TooLarge {
        /// Buffer label.
        tensor: String,
        /// Samples that cannot be split further, 0 for a tensor that does not grow with them.
        samples: u32,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A layer on pictures so large that one invocation of a shader would loop too long; drivers silently stop those.
    #[error(
        "layer `{layer}`: `{kernel}` would loop {trips} times an invocation, at most {limit} are safe; use smaller pictures"
    )]
    TooDeep {
        /// Layer name.
        layer: String,
        /// Kernel name.
        kernel: &'static str,
        /// Iterations needed.
        trips: u64,
        /// Iterations allowed.
        limit: u64,
    },
    /// All buffers together need more memory than there is.
    #[error("the network needs {needed} bytes for a batch of {batch}, {limit} are free; {advice}")]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Samples of the batch.
        batch: u32,
        /// Bytes allowed.
        limit: u64,
        /// A batch that would fit, or that none would.
        advice: String,
    },
    /// A batch whose parts do not fit the session.
    #[error("batch: {message}")]
    Batch {
        /// What does not fit, with the sizes.
        message: String,
    },
    /// Saved tensors that do not fit the network.
    #[error("saved state does not fit the network: {message}")]
    State {
        /// Names and sizes.
        message: String,
    },
    /// A call out of order, e.g. `backward` without `forward`.
    #[error("{call} was called out of order: {message}")]
    Order {
        /// The call.
        call: &'static str,
        /// What is missing.
        message: &'static str,
    },
    /// A value is NaN or infinite.
    #[error("non-finite value in {what} of layer `{layer}` at step {step}")]
    NonFinite {
        /// Layer name.
        layer: String,
        /// `output`, `grad_weight`, `weight` and so on.
        what: String,
        /// Step in which it was seen.
        step: u32,
    },
    /// The executor failed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

impl GraphError {
    pub(crate) fn layer(layer: &str, message: impl Into<String>) -> Self {
        Self::Layer { layer: layer.to_owned(), message: message.into() }
    }
}

fn for_samples(samples: u32) -> String {
    if samples == 0 { String::new() } else { format!(" for {samples} samples") }
}
