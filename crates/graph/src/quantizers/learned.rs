//! What weights and activations of learned bit lengths have in common (BitPruning): the recorded length, its scales and its
//! gradient.

use kernels::{Clamp, CopyChannels, LengthScales, LengthSlopes, LengthSums, LengthTerms, PlaneGroup};
use recording::BufferSlice;
use reference::bit_length::{Grid, LEAST_LENGTH, MOST_LENGTH, Rule, Tensor as Of, split};
use reference::quantize::levels;

use crate::{
    GraphError, Mode, Parameter, ParameterSpec, Recorder,
    bit_length::LengthForm,
    planes::Group,
    quantizers::{ScaleIndex, len},
};

/// Streams of random numbers that no layer has.
const DRAW_STREAMS: u32 = 1 << 31;

/// A bit length as it is recorded: planes are a matter of the recording, so the base is fixed and the fraction, kept in
/// [0, 1], follows the length on the device until the network is recorded again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Recorded {
    pub form: LengthForm,
    pub of: Of,
    /// Whole bits below the length, or all of them once it is frozen.
    pub base: u32,
    pub frozen: bool,
    /// Length before the first step.
    pub start: u32,
    /// Bits that are left of a code; fewer than 8 where the network is cut.
    pub most: u32,
}

/// Names of a length's parameters in its layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub length: &'static str,
    pub base: &'static str,
    pub frozen: &'static str,
}

pub(crate) const WEIGHT: Names =
    Names { length: "weight_length", base: "weight_base", frozen: "weight_frozen" };
pub(crate) const ACTIVATION: Names = Names { length: "length", base: "base", frozen: "frozen" };

impl Recorded {
    /// A length that begins at `start` whole bits.
    pub fn new(form: LengthForm, of: Of, start: u32) -> Self {
        Self { form, of, base: split(f64::from(start)).0, frozen: false, start, most: MOST_LENGTH as u32 }
    }

    /// The upper `bits` of nested codes, which are the codes of that width, whatever the length.
    pub fn cut(&self, bits: u32) -> Option<Self> {
        let nested = self.form.grid() == Grid::Nested;
        let base = bits.min(self.bits());
        (nested && bits >= 1).then_some(Self { base, frozen: true, most: bits, ..*self })
    }

    /// Bits of a code: of the larger of both widths, or of the frozen one.
    pub fn bits(&self) -> u32 {
        if self.frozen { self.base } else { self.base + 1 }
    }

    pub fn names(&self) -> Names {
        if self.of == Of::Weight { WEIGHT } else { ACTIVATION }
    }

    /// The same length at base `base` of a saved state, where that is not how it is recorded.
    fn at_base(&self, base: f32, frozen: bool) -> Option<Self> {
        let most = if frozen { MOST_LENGTH } else { MOST_LENGTH - 1.0 };
        let base = f64::from(base).clamp(LEAST_LENGTH, most) as u32;
        let whole = Self { base, frozen, ..*self };
        let is_cut = self.most < MOST_LENGTH as u32;
        let changed =
            if is_cut { Self { base: whole.bits().min(self.most), frozen: true, ..*self } } else { whole };
        (changed != *self).then_some(changed)
    }

    pub fn rule(&self) -> Rule {
        Rule { grid: self.form.grid(), tensor: self.of }
    }

    /// The runs of planes that the two groups read: nested, the upper planes of the codes of base + 1 bits and the last
    /// plane; else the codes of both widths, one behind the other.
    fn runs(&self) -> [[u32; 2]; 2] {
        match self.form.grid() {
            Grid::Nested => [[1, self.base], [0, 1]],
            Grid::Ends => [[0, self.base], [self.base, self.base + 1]],
        }
    }

    /// All planes.
    pub fn planes(&self) -> u32 {
        match self.form.grid() {
            _ if self.frozen => self.base,
            Grid::Nested => self.base + 1,
            Grid::Ends => 2 * self.base + 1,
        }
    }

    /// Widths of the codes that are packed one behind the other.
    pub fn widths(&self) -> Vec<u32> {
        match self.form.grid() {
            _ if self.frozen => vec![self.base],
            Grid::Nested => vec![self.base + 1],
            Grid::Ends => vec![self.base, self.base + 1],
        }
    }

    /// What the integers of a frozen tensor stand for, over its range.
    fn unit(&self) -> f64 {
        (self.rule().value(1, 1.0, self.base) - self.rule().value(0, 1.0, self.base)) / 2.0
    }

    /// What the kernel of the scales computes: of frozen codes the constant beside [`Recorded::factor`].
    fn terms(&self, alone: bool) -> LengthTerms {
        if !self.frozen {
            return LengthTerms::of(self.rule(), self.base);
        }
        let steps = if alone { f64::from(levels(self.base)) } else { 1.0 };
        let scale = (steps * self.unit()) as f32;
        LengthTerms { base: self.base as f32, groups: [[scale, 0.0], [0.0; 2]] }
    }

    /// The constant factor of a group: one length for a tensor has steps of `1 / n` once it is frozen, as other codes have.
    fn factor(&self, alone: bool) -> f32 {
        if self.frozen && alone { 1.0 / levels(self.base) as f32 } else { 1.0 }
    }

    /// The groups of planes of length `at` among `of`, with scales that [`scales`] recorded.
    pub fn groups(&self, scales: BufferSlice, (at, of): (usize, usize)) -> Vec<Group> {
        let group = |([first_plane, planes], number): ([u32; 2], u64)| {
            let place = 2 * at as u64 + number;
            let offset = scales.offset + place * u64::from(LengthScales::SPREAD);
            let scale = BufferSlice { offset, words: 1, ..scales };
            let planes = PlaneGroup { first_plane, planes, mask: None };
            let scale = Some((scale, ScaleIndex { by: kernels::By::One, div: 1 }));
            Group { planes, factor: self.factor(of == 1), scale }
        };
        let runs = if self.frozen { vec![[0, self.base]] } else { self.runs().to_vec() };
        runs.into_iter().zip(0..).map(group).collect()
    }

    /// What the integers of the planes from `first_plane` on are multiplied by in the derivative by the length.
    fn slopes(&self, first_plane: u32) -> LengthSlopes {
        let slopes = self.rule().group_scales(self.base).map(|[_, slope]| slope as f32);
        let mut runs = self.runs().map(|[first, planes]| [first_plane + first, planes]);
        for (run, _) in runs.iter_mut().zip(slopes).filter(|(_, slope)| *slope == 0.0) {
            *run = [0, 0];
        }
        match self.frozen {
            true => LengthSlopes { runs: [[0, 0]; 2], slopes: [0.0; 2] },
            false => LengthSlopes { runs, slopes },
        }
    }

    /// The parameter that holds the length, with those of other groups.
    pub fn length(&self, recorder: &Recorder) -> Parameter {
        recorder.parameter(self.names().length)
    }
}

/// The lengths of a tensor's groups of channels, and what they are recorded as.
pub(crate) fn parameters(lengths: &[Recorded]) -> Vec<ParameterSpec> {
    let Names { length, base, frozen } = lengths[0].names();
    let of_length = |spec: ParameterSpec| ParameterSpec { is_length: true, ..spec };
    let (count, start) = (lengths.len() as u32, lengths[0].start);
    vec![
        of_length(ParameterSpec::vector(length, count, start as f32)),
        of_length(ParameterSpec::statistic(base, count, split(f64::from(start)).0 as f32)),
        of_length(ParameterSpec::statistic(frozen, count, 0.0)),
    ]
}

/// The same lengths as the saved state has them, where that is not how they are recorded.
pub(crate) fn for_state(
    lengths: &[Recorded],
    read: &dyn Fn(&str) -> Option<Vec<f32>>,
) -> Option<Vec<Recorded>> {
    let names = lengths[0].names();
    let (bases, frozen) = (read(names.base)?, read(names.frozen)?);
    let pairs = bases.into_iter().zip(frozen.into_iter().map(|frozen| frozen != 0.0));
    let changed: Vec<Recorded> = lengths
        .iter()
        .zip(pairs)
        .map(|(length, (base, frozen))| length.at_base(base, frozen).unwrap_or(*length))
        .collect();
    (changed.len() == lengths.len() && changed != lengths).then_some(changed)
}

/// Records the scales of both groups of planes of every length, of values in `range`.
pub(crate) fn scales(
    recorder: &mut Recorder,
    lengths: &[Recorded],
    range: BufferSlice,
) -> Result<BufferSlice, GraphError> {
    let terms: Vec<LengthTerms> = lengths.iter().map(|length| length.terms(lengths.len() == 1)).collect();
    let (len, parameter) = (lengths.len() as u32, lengths[0].length(recorder));
    let table = recorder.constant("terms of the length", LengthTerms::words(&terms));
    let expected = matches!(recorder.mode(), Mode::Evaluate { .. } | Mode::Frozen);
    let draw = lengths[0].form == LengthForm::Stochastic && !expected;
    let kernel = LengthScales { len, draw, tensor: DRAW_STREAMS | parameter.position };
    let words = 2 * u64::from(LengthScales::SPREAD) * u64::from(len);
    let scales = recorder.transient("scales of the length", words);
    let step = recorder.step();
    recorder.dispatch(kernel, &[parameter.value, range, step, table, scales])?;
    Ok(scales)
}

/// Records the sums of `grad * dQ/dn` of one matrix of `planes` planes over groups of rows, column by column; each length is that
/// of as many neighboring columns as every other, with the first of its planes.
pub(crate) fn partial_sums(
    recorder: &mut Recorder,
    (lengths, all_planes): (&[(Recorded, u32)], u32),
    (planes, grad, range): (BufferSlice, BufferSlice, BufferSlice),
    (rows, k, group): (u32, u32, u32),
    partials: BufferSlice,
) -> Result<(), GraphError> {
    let slopes: Vec<LengthSlopes> = lengths.iter().map(|(length, first)| length.slopes(*first)).collect();
    let table = recorder.constant("slopes of the length", LengthSlopes::words(&slopes));
    let kind = if lengths[0].0.of == Of::Weight { kernels::Kind::Sign } else { kernels::Kind::Unit };
    let entries = u32::try_from(lengths.len()).expect("no more than columns");
    let kernel = LengthSums { rows, k, planes: all_planes, kind, group, entries };
    recorder.dispatch(kernel, &[planes, grad, range, table, partials])
}

/// Records the copy of `words` words.
pub(crate) fn copy(
    recorder: &mut Recorder,
    source: BufferSlice,
    target: BufferSlice,
) -> Result<(), GraphError> {
    put(recorder, source, (target, len(&target)), 0)
}

/// Records the copy of all of `source` to `target`, which has `words` words, from word `first` on.
pub(crate) fn put(
    recorder: &mut Recorder,
    source: BufferSlice,
    (target, words): (BufferSlice, u32),
    first: u32,
) -> Result<(), GraphError> {
    let count = len(&source);
    let kernel = CopyChannels { rows: 1, count, source: (count, 0), target: (words, first) };
    recorder.dispatch(kernel, &[source, target])
}

/// Records that lengths stay within their bounds.
pub(crate) fn clamp(recorder: &mut Recorder, lengths: BufferSlice) -> Result<(), GraphError> {
    let len = u32::try_from(lengths.words).expect("few lengths");
    recorder.dispatch(Clamp { len, low: LEAST_LENGTH as f32, high: MOST_LENGTH as f32 }, &[lengths])
}
