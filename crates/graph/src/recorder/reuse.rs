//! What is computed once and read by several layers, products or evaluations.

use kernels::{ByteExpand, QuantizeWeight};
use recording::{BufferSlice, Constant, Kernel, Param};

use super::{Chunk, Mode, Phase, Recorder};
use crate::GraphError;

/// What several layers compute from a weight that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedKey {
    /// The largest tangent of a weight, and its scale where it has one.
    Scales(BufferSlice, bool),
    /// Planes of a weight.
    Planes(BufferSlice, QuantizeWeight),
}

/// A kernel with its sizes, and what it reads.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    kernel: &'static str,
    params: Vec<Param>,
    constants: Vec<Constant>,
    source: BufferSlice,
}

impl Recorder {
    /// Records what depends on parameters alone; in an evaluation it runs once, before the first batch.
    ///
    /// # Errors
    /// Those of `record`.
    pub fn once<T>(
        &mut self,
        record: impl FnOnce(&mut Self) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let before = self.constant;
        self.constant = matches!(self.mode, Mode::Evaluate { .. });
        let result = record(self);
        self.constant = before;
        result
    }

    /// What `record` gives, recorded once a phase however many layers ask for it.
    ///
    /// # Errors
    /// Those of `record`.
    pub(crate) fn once_for(
        &mut self,
        key: SharedKey,
        record: impl FnOnce(&mut Self) -> Result<Vec<BufferSlice>, GraphError>,
    ) -> Result<Vec<BufferSlice>, GraphError> {
        let known = (self.phase, self.constant, key);
        if let Some((_, found)) = self.of_shared.iter().find(|(key, _)| *key == known) {
            return Ok(found.clone());
        }
        let result = record(self)?;
        self.of_shared.push((known, result.clone()));
        Ok(result)
    }

    /// The bytes of `planes`, which one dispatch a phase expands however many products read them.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub(crate) fn expanded(
        &mut self,
        label: &str,
        kernel: ByteExpand,
        planes: BufferSlice,
    ) -> Result<BufferSlice, GraphError> {
        let known = (self.phase, kernel, planes);
        if let Some((.., bytes)) = self.expansions.iter().find(|(a, b, c, _)| (*a, *b, *c) == known) {
            return Ok(*bytes);
        }
        let expand = |recorder: &mut Self| {
            let samples = recorder.buffers[planes.buffer.0 as usize].samples;
            let bytes = recorder.buffer(label, kernel.words(), recorder.life(), samples);
            recorder.dispatch(kernel, &[planes, bytes])?;
            Ok(bytes)
        };
        let bytes = if self.is_frozen(planes) { self.once(expand) } else { expand(self) }?;
        self.expansions.push((self.phase, kernel, planes, bytes));
        Ok(bytes)
    }

    /// The `words` that `kernel` makes of the packed `source` of a chunk, which one dispatch a phase makes however many layers
    /// read them.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub(crate) fn form(
        &mut self,
        label: &str,
        (chunk, words): (Chunk, u64),
        kernel: impl Kernel + 'static,
        source: BufferSlice,
    ) -> Result<BufferSlice, GraphError> {
        let (params, constants) = (kernel.params(), kernel.constants());
        let form = Form { kernel: kernel.name(), params, constants, source };
        if let Some((.., made)) =
            self.forms.iter().find(|(phase, known, _)| (*phase, known) == (self.phase, &form))
        {
            return Ok(*made);
        }
        let made = self.per_sample(label, chunk, words);
        self.dispatch(kernel, &[source, made])?;
        self.forms.push((self.phase, form, made));
        Ok(made)
    }

    /// Written once before an evaluation.
    fn is_frozen(&self, slice: BufferSlice) -> bool {
        self.writes(Phase::Freeze, BufferSlice::whole(slice.buffer, u64::MAX))
    }
}
