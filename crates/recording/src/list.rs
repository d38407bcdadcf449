//! Dispatches and recordings.

use std::{fmt, sync::Arc};

use crate::{Access, BufferSlice, ExecutorError, Kernel, MAX_LOOP_TRIPS, Work};

/// Which layer and pass a dispatch serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Layer name, e.g. `conv1`.
    pub layer: String,
    /// Pass, e.g. `forward`, `grad_input`, `grad_weight`, `update`.
    pub pass: &'static str,
}

/// One kernel over its buffers.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Arc<dyn Kernel>,
    /// One slice per binding, in order.
    pub buffers: Vec<BufferSlice>,
    /// Whom it serves.
    pub scope: Scope,
}

impl Dispatch {
    /// Checks the buffers against the kernel's bindings and the loop limit.
    ///
    /// # Errors
    /// [`ExecutorError::Dispatch`] with what does not fit.
    pub fn check(&self) -> Result<(), ExecutorError> {
        let malformed =
            |message: String| ExecutorError::Dispatch { kernel: self.kernel.name().to_owned(), message };
        let (lens, bindings) = (self.kernel.lens(), self.kernel.bindings());
        if lens.len() != bindings.len() || self.buffers.len() != bindings.len() {
            return Err(malformed(format!("{} buffers for {} bindings", self.buffers.len(), bindings.len())));
        }
        for ((slice, &len), binding) in self.buffers.iter().zip(&lens).zip(bindings) {
            if slice.words < len {
                return Err(malformed(format!("`{}` has {} words of {len}", binding.name, slice.words)));
            }
        }
        if self.kernel.loop_trips() >= MAX_LOOP_TRIPS {
            return Err(malformed(format!("{} loop iterations an invocation", self.kernel.loop_trips())));
        }
        Ok(())
    }

    /// The written slices, in binding order.
    pub fn outputs(&self) -> impl Iterator<Item = BufferSlice> + '_ {
        self.bound(Access::Write)
    }

    /// The slices that are only read, in binding order.
    pub fn inputs(&self) -> impl Iterator<Item = BufferSlice> + '_ {
        self.bound(Access::Read)
    }

    fn bound(&self, access: Access) -> impl Iterator<Item = BufferSlice> + '_ {
        let bound = self.buffers.iter().zip(self.kernel.bindings());
        bound.filter(move |(_, binding)| binding.access == access).map(|(slice, _)| *slice)
    }
}

/// A list of dispatches that run one after another.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The dispatches in order.
    pub dispatches: Vec<Dispatch>,
}

impl Recording {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a checked dispatch.
    ///
    /// # Errors
    /// See [`Dispatch::check`].
    pub fn push(&mut self, dispatch: Dispatch) -> Result<(), ExecutorError> {
        dispatch.check()?;
        self.dispatches.push(dispatch);
        Ok(())
    }

    /// Sum over all dispatches.
    pub fn work(&self) -> Work {
        self.dispatches.iter().map(|d| d.kernel.work()).fold(Work::default(), |a, b| Work {
            operations: a.operations + b.operations,
            bytes: a.bytes + b.bytes,
        })
    }
}

impl fmt::Display for Recording {
    /// One line a dispatch: index, layer, pass, kernel with its sizes, buffers (written ones marked `>`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            let Scope { layer, pass } = &dispatch.scope;
            write!(f, "{index:4} {layer:<12} {pass:<12} {:?}", dispatch.kernel)?;
            for (slice, binding) in dispatch.buffers.iter().zip(dispatch.kernel.bindings()) {
                let mark = if binding.access == Access::Write { ">" } else { "" };
                write!(f, " {mark}{}=b{}+{}", binding.name, slice.buffer.0, slice.offset)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
