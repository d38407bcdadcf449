//! Records dispatches over planned buffers while the layers of a network are visited.

use std::{collections::BTreeMap, sync::Arc};

use kernels::{Arithmetic, ByteExpand, QuantizeWeight, Tactic};
use recording::{
    BufferId, BufferSlice, Constant, Dispatch, Kernel, MAX_LOOP_TRIPS, Param, SLICE_ALIGNMENT, Scope,
};

use crate::{
    GraphError, KernelPlan, Parameter, ProductKey, Shape, Tensor, arena::Arena, deploy::Fold,
    deployed::Deployment, scan, scan::Scan, tap::Tap,
};

/// Samples are split at multiples of this many, so that every reduction over the batch has the same order however the
/// batch is cut.
pub const SAMPLE_BLOCK: u32 = 32;

/// Words of the status buffer before the flags: metrics at 0, step token at 64, non-finite flags from here on.
pub(crate) const FLAGS_OFFSET: u64 = 2 * SLICE_ALIGNMENT;
pub(crate) const TOKEN_OFFSET: u64 = SLICE_ALIGNMENT;
pub(crate) const MAX_FLAGS: u32 = 4096;

/// Words that WebGPU's default limits let a kernel bind.
const MOST_WEIGHTS: u64 = 1 << 25;

/// Below this a parameter is not cut.
const LEAST_WEIGHTS: u64 = 1 << 12;

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

/// How long a buffer keeps what was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Always.
    Persistent,
    /// From the first to the last dispatch that uses it.
    Transient,
    /// From before a phase, when the host writes it, to the last dispatch of that phase that uses it, or to the end of an
    /// evaluation.
    Uploaded,
    /// From a freeze, of which it is a result, until the next training step.
    Frozen,
}

/// A buffer before memory is assigned.
#[derive(Clone, Debug)]
pub(crate) struct PlannedBuffer {
    pub label: String,
    pub words: u64,
    pub life: Life,
    pub samples: u32,
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
struct Form {
    kernel: &'static str,
    params: Vec<Param>,
    constants: Vec<Constant>,
    source: BufferSlice,
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

    /// Words of the largest slice that a kernel may bind.
    pub fn binding_words(&self) -> u64 {
        self.limit
    }

    /// Words of the largest parameter that kernels read or write as a whole. WebGPU guarantees as much, so that it is the
    /// same on every adapter; a smaller limit of the session's makes it smaller, down to where cutting is no use.
    pub(crate) fn most_weights(&self) -> u64 {
        let limit = self.limit.min(MOST_WEIGHTS);
        if limit < LEAST_WEIGHTS { u64::MAX } else { limit }
    }

    /// A parameter-sized slice in pieces that kernels may bind: the slice itself, or pieces of half of what they may.
    pub(crate) fn pieces(&self, slice: BufferSlice) -> Vec<BufferSlice> {
        let most = self.most_weights();
        if slice.words <= most {
            return vec![slice];
        }
        let piece = most / 2 / SLICE_ALIGNMENT * SLICE_ALIGNMENT;
        let starts = (0..slice.words).step_by(usize::try_from(piece).unwrap_or(usize::MAX));
        let cut = |first: u64| BufferSlice {
            offset: slice.offset + first,
            words: piece.min(slice.words - first),
            ..slice
        };
        starts.map(cut).collect()
    }

    /// Step, seed and learning rate, as kernels read them.
    pub fn step(&self) -> BufferSlice {
        self.shared.step
    }

    /// One f32 of value 1, the scale of what has none.
    pub fn one(&self) -> BufferSlice {
        self.shared.one
    }

    /// A buffer that lives from its first write to its last use in a step.
    pub fn transient(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, self.life(), 0)
    }

    /// A transient that grows with the samples of `chunk`; the batch is cut finer where it passes the binding limit.
    pub fn per_sample(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, self.life(), chunk.samples)
    }

    /// What is computed once for all evaluations is kept for them.
    fn life(&self) -> Life {
        if self.constant { Life::Frozen } else { Life::Transient }
    }

    /// A buffer that keeps its contents between steps.
    pub fn persistent(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Persistent, 0)
    }

    /// A buffer that the host fills after a freeze, for the evaluations up to the next training step.
    pub(crate) fn frozen(&mut self, label: &str, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Frozen, 0)
    }

    /// A buffer of `words` that the host writes once.
    pub(crate) fn constant(&mut self, label: &str, words: Vec<u32>) -> BufferSlice {
        let slice = self.persistent(label, words.len() as u64);
        self.constants.push((slice, words));
        slice
    }

    /// A buffer that keeps its contents between steps and grows with the samples of `chunk`.
    pub fn persistent_per_sample(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Persistent, chunk.samples)
    }

    /// A buffer that the host fills before each phase that reads it, and that grows with the samples of `chunk`.
    pub(crate) fn uploaded(&mut self, label: &str, chunk: Chunk, words: u64) -> BufferSlice {
        self.buffer(label, words, Life::Uploaded, chunk.samples)
    }

    /// An f32 tensor over all chunks.
    pub fn tensor(&mut self, label: &str, shape: Shape) -> Tensor {
        let words = |chunk: &Chunk| u64::from(chunk.samples) * u64::from(shape.len());
        let chunks = self.chunks().iter().map(|c| self.per_sample(label, *c, words(c))).collect();
        Tensor { shape, chunks, maxima: None }
    }

    fn buffer(&mut self, label: &str, words: u64, life: Life, samples: u32) -> BufferSlice {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        let label = if self.scope.layer.is_empty() {
            label.to_owned()
        } else {
            format!("{}.{label}", self.scope.layer)
        };
        self.buffers.push(PlannedBuffer { label, words: words.max(1), life, samples });
        BufferSlice::whole(id, words.max(1))
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

    /// Raises a flag when a value is NaN or infinite; the host turns it into an error that names the layer and `what`.
    /// Training checks every step, so an evaluation does not.
    ///
    /// # Errors
    /// More checks than there are flags.
    pub fn check_finite(&mut self, what: &'static str, values: &[BufferSlice]) -> Result<(), GraphError> {
        if matches!(self.mode, Mode::Evaluate { .. }) {
            return Ok(());
        }
        let slot = u32::try_from(self.checks.len()).expect("few checks");
        if slot >= MAX_FLAGS {
            return Err(GraphError::layer(&self.scope.layer, format!("more than {MAX_FLAGS} finite checks")));
        }
        self.checks.push((self.scope.layer.clone(), what));
        let (phase, at) = (self.phase, self.phases.get(&self.phase).map_or(0, Vec::len));
        let scope = self.scope.clone();
        let pieces: Vec<BufferSlice> = values.iter().flat_map(|values| self.pieces(*values)).collect();
        self.scans.extend(pieces.into_iter().map(|values| Scan {
            phase,
            at,
            slot,
            values,
            scope: scope.clone(),
        }));
        Ok(())
    }

    /// Places the dispatches of all checks, once every phase that has any is recorded.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub(crate) fn place_checks(&mut self) -> Result<(), GraphError> {
        let flags = self.status(FLAGS_OFFSET, u64::from(MAX_FLAGS));
        let wholes = self.arenas.iter().flat_map(|arena| [arena.value, arena.gradient]);
        let arenas: Vec<BufferSlice> = wholes.flat_map(|whole| self.pieces(whole)).collect();
        let mut phases = std::mem::take(&mut self.phases);
        for (phase, dispatches) in &mut phases {
            let scans: Vec<Scan> = self.scans.extract_if(.., |scan| scan.phase == *phase).collect();
            *dispatches = scan::place(self, std::mem::take(dispatches), scans, (flags, &arenas))?;
        }
        self.phases = phases;
        Ok(())
    }

    pub(crate) fn status(&self, offset: u64, words: u64) -> BufferSlice {
        BufferSlice { offset, words, ..self.shared.status }
    }
}
