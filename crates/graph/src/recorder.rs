//! Records dispatches over planned buffers while the layers of a network are visited.

mod buffers;
mod checks;
mod reuse;

use std::{collections::BTreeMap, sync::Arc};

use kernels::{Arithmetic, ByteExpand, Tactic};
use recording::{BufferId, BufferSlice, Dispatch, Kernel, MAX_LOOP_TRIPS, SLICE_ALIGNMENT, Scope};

use self::reuse::Form;
pub(crate) use self::{
    buffers::{Life, PlannedBuffer},
    reuse::SharedKey,
};
use crate::{
    GraphError, KernelPlan, Parameter, ProductKey, arena::Arena, deployed::Deployment, fold::Fold,
    scan::Scan, tap::Tap,
};

/// Samples are split at multiples of this many, so that every reduction over the batch has the same order however the
/// batch is cut.
pub const SAMPLE_BLOCK: u32 = 32;

/// Words of the status buffer before the flags: metrics at 0, step token at 64, non-finite flags from here on.
pub(crate) const FLAGS_OFFSET: u64 = 2 * SLICE_ALIGNMENT;
pub(crate) const TOKEN_OFFSET: u64 = SLICE_ALIGNMENT;
pub(crate) const MAX_FLAGS: u32 = 4096;

/// A run of samples that is dispatched at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Position in the batch's list of chunks.
    pub index: usize,
    /// First sample.
    pub first_sample: u32,
    /// Number of samples.
    pub samples: u32,
}

/// The separately runnable parts of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Batch to loss.
    Forward,
    /// Loss to parameter gradients.
    Backward,
    /// The same two for some of the heads alone, one of several lists of which a step draws one.
    Part {
        /// Which list.
        part: u32,
        /// Loss to parameter gradients.
        backward: bool,
    },
    /// Gradients to new parameters.
    Apply,
    /// Parameters to packed weights, once before an evaluation.
    Freeze,
    /// Batch to logits, on what `Freeze` prepared.
    Evaluate,
}

/// How statistics of batch norm are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the batch; running statistics are updated.
    Train,
    /// Running statistics, as constants, also in the backward pass.
    TrainFrozen,
    /// In a training step, a part that stays as it is: running statistics and no dropout, in f32 where training is.
    Frozen,
    /// Running statistics; monotone chains between quantized layers become integer thresholds where `fold` is set.
    Evaluate {
        /// Use integer thresholds.
        fold: bool,
    },
}

/// Which kernel carries a product, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductNote {
    /// Layer name.
    pub layer: String,
    /// `forward`, `grad_input` or `grad_weight`.
    pub pass: &'static str,
    /// Kernel name.
    pub kernel: &'static str,
    /// The product and the kernel's tuning values, for a product of planes.
    pub tactic: Option<(ProductKey, Tactic)>,
    /// Plane pairs multiplied per product; 0 for a product of bytes or of f32.
    pub plane_pairs: u32,
    /// Why a product of quantized operands is not a bit product, or not one of the wanted arithmetic.
    pub reason: Option<String>,
}

impl ProductNote {
    /// What the kernel computes with.
    pub fn arithmetic(&self) -> Arithmetic {
        self.tactic.map_or(Arithmetic::F32, |(_, tactic)| tactic.arithmetic())
    }
}

/// Buffers that every network has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    pub step: BufferSlice,
    pub one: BufferSlice,
    pub status: BufferSlice,
    /// The step with the learning rate of bit lengths, where there are any.
    pub length_step: Option<BufferSlice>,
}

/// Collects buffers and dispatches.
#[derive(Debug)]
pub struct Recorder {
    pub(crate) buffers: Vec<PlannedBuffer>,
    pub(crate) phases: BTreeMap<Phase, Vec<Dispatch>>,
    pub(crate) parameters: BTreeMap<String, Parameter>,
    /// Parameters of layers that compute with another's, by layer and suffix.
    pub(crate) shared_parameters: BTreeMap<String, Parameter>,
    /// Name of a shared parameter, a layer's part of its gradient, and the whole of it.
    pub(crate) contributions: Vec<(String, BufferSlice, BufferSlice)>,
    pub(crate) arenas: Vec<Arena>,
    /// Buffers that no dispatch writes, and what the host puts there.
    pub(crate) constants: Vec<(BufferSlice, Vec<u32>)>,
    pub(crate) products: Vec<ProductNote>,
    pub(crate) checks: Vec<(String, &'static str)>,
    pub(crate) folds: Vec<Fold>,
    pub(crate) deployment: Deployment,
    /// Products of the evaluation are noted, as there is no training.
    pub(crate) notes_evaluation: bool,
    pub(crate) taps: Vec<Tap>,
    pub(crate) shared: Shared,
    pub(crate) phase: Phase,
    pub(crate) mode: Mode,
    pub(crate) scope: Scope,
    pub(crate) first_sample: u32,
    subgroup: Option<u32>,
    /// Words of the largest slice that a kernel may bind.
    pub(crate) limit: u64,
    pub(crate) kernels: KernelPlan,
    chunks: Vec<Chunk>,
    constant: bool,
    scans: Vec<Scan>,
    /// Operands that the current phase has expanded to bytes.
    expansions: Vec<(Phase, ByteExpand, BufferSlice, BufferSlice)>,
    /// What layers that share a weight have computed from it, by phase and by whether it is kept for evaluations.
    of_shared: Vec<((Phase, bool, SharedKey), Vec<BufferSlice>)>,
    /// Other forms of packed operands that the current phase has made.
    forms: Vec<(Phase, Form, BufferSlice)>,
}

impl Recorder {
    /// A recorder for batches of `batch` samples in chunks of `chunk` (a multiple of [`SAMPLE_BLOCK`], or the batch), for
    /// an executor whose subgroups all have `subgroup` lanes, if it has such.
    pub fn new(batch: u32, chunk: u32, subgroup: Option<u32>) -> Self {
        let starts = (0..batch).step_by(chunk.max(1) as usize).enumerate();
        let chunks = starts
            .map(|(index, first_sample)| Chunk {
                index,
                first_sample,
                samples: chunk.min(batch - first_sample),
            })
            .collect();
        let none = BufferSlice::whole(BufferId(0), 0);
        let mut recorder = Self {
            buffers: Vec::new(),
            phases: BTreeMap::new(),
            parameters: BTreeMap::new(),
            shared_parameters: BTreeMap::new(),
            contributions: Vec::new(),
            arenas: Vec::new(),
            constants: Vec::new(),
            products: Vec::new(),
            checks: Vec::new(),
            folds: Vec::new(),
            deployment: Deployment::default(),
            notes_evaluation: false,
            taps: Vec::new(),
            shared: Shared { step: none, one: none, status: none, length_step: None },
            phase: Phase::Forward,
            mode: Mode::Train,
            scope: Scope::default(),
            first_sample: 0,
            subgroup,
            limit: u64::MAX,
            kernels: KernelPlan::default(),
            chunks,
            constant: false,
            scans: Vec::new(),
            expansions: Vec::new(),
            of_shared: Vec::new(),
            forms: Vec::new(),
        };
        recorder.shared = Shared {
            step: recorder.persistent("step", 8),
            one: recorder.persistent("one", 1),
            status: recorder.persistent("status", FLAGS_OFFSET + u64::from(MAX_FLAGS)),
            length_step: None,
        };
        recorder
    }

    /// Chunks of the batch, in sample order.
    pub fn chunks(&self) -> Vec<Chunk> {
        self.chunks.clone()
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn chunk(&self, index: usize) -> Chunk {
        self.chunks[index]
    }

    /// Samples of the whole batch.
    pub fn batch(&self) -> u32 {
        self.chunks.iter().map(|c| c.samples).sum()
    }

    /// Number of the first of `chunk`'s rows of random numbers, `pixels` of them a sample.
    pub fn first_row(&self, chunk: Chunk, pixels: u32) -> u32 {
        self.first_sample.wrapping_add(chunk.first_sample).wrapping_mul(pixels)
    }

    /// How batch norm takes its statistics now.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Lanes of the executor's subgroups, where kernels may be written for them.
    pub fn subgroup(&self) -> Option<u32> {
        self.subgroup
    }

    /// Step, seed and learning rate, as kernels read them.
    pub fn step(&self) -> BufferSlice {
        self.shared.step
    }

    /// One f32 of value 1, the scale of what has none.
    pub fn one(&self) -> BufferSlice {
        self.shared.one
    }

    /// Appends `kernel` over `buffers` to the current phase.
    ///
    /// # Errors
    /// Buffers that do not fit the kernel.
    pub fn dispatch(
        &mut self,
        kernel: impl Kernel + 'static,
        buffers: &[BufferSlice],
    ) -> Result<(), GraphError> {
        self.dispatch_shared(Arc::new(kernel), buffers)
    }

    /// Appends a kernel that was chosen among several.
    ///
    /// # Errors
    /// Buffers that do not fit the kernel.
    pub fn dispatch_shared(
        &mut self,
        kernel: Arc<dyn Kernel>,
        buffers: &[BufferSlice],
    ) -> Result<(), GraphError> {
        let (trips, limit) = (kernel.loop_trips(), MAX_LOOP_TRIPS - 1);
        if trips > limit {
            let layer = self.scope.layer.clone();
            return Err(GraphError::TooDeep { layer, kernel: kernel.name(), trips, limit });
        }
        let dispatch = Dispatch { kernel, buffers: buffers.to_vec(), scope: self.scope.clone() };
        dispatch.check()?;
        let phase = if self.constant { Phase::Freeze } else { self.phase };
        self.phases.entry(phase).or_default().push(dispatch);
        Ok(())
    }

    /// A dispatch of `phase` writes some of `slice`.
    pub(crate) fn writes(&self, phase: Phase, slice: BufferSlice) -> bool {
        let writes = |dispatch: &Dispatch| dispatch.outputs().any(|output| output.overlaps(&slice));
        self.phases.get(&phase).is_some_and(|dispatches| dispatches.iter().any(writes))
    }

    /// Names the layer and pass of the dispatches that follow.
    pub fn set_scope(&mut self, layer: &str, pass: &'static str) {
        self.scope = Scope { layer: layer.to_owned(), pass };
    }

    /// Names the pass of the dispatches that follow.
    pub fn set_pass(&mut self, pass: &'static str) {
        self.scope.pass = pass;
    }

    /// A parameter of the current layer, by suffix.
    pub fn parameter(&self, suffix: &str) -> Parameter {
        let name = format!("{}.{suffix}", self.scope.layer);
        let found = self.shared_parameters.get(&name).or_else(|| self.parameters.get(&name));
        found.cloned().expect("a layer asks for parameters that it declared")
    }

    /// Notes which kernel carries a product of the current layer and pass.
    pub fn note_product(&mut self, kernel: &'static str, plane_pairs: u32, reason: Option<String>) {
        self.note(kernel, None, plane_pairs, reason);
    }

    /// Notes how a product of planes is computed.
    pub(crate) fn note(
        &mut self,
        kernel: &'static str,
        tactic: Option<(ProductKey, Tactic)>,
        plane_pairs: u32,
        reason: Option<String>,
    ) {
        let repeats = matches!(self.phase, Phase::Part { .. });
        if !repeats && (self.notes_evaluation || !matches!(self.mode, Mode::Evaluate { .. })) {
            let Scope { layer, pass } = self.scope.clone();
            // Groups and other parts of one product stand for the same choice.
            let same = |note: &ProductNote| note.layer == layer && note.pass == pass && note.kernel == kernel;
            if self.products.last().is_some_and(same) {
                return;
            }
            self.products.push(ProductNote { layer, pass, kernel, tactic, plane_pairs, reason });
        }
    }

    pub(crate) fn status(&self, offset: u64, words: u64) -> BufferSlice {
        BufferSlice { offset, words, ..self.shared.status }
    }
}
