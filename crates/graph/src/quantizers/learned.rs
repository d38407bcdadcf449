//! What weights and activations of learned bit lengths have in common (BitPruning): the recorded length, its scales and its
//! gradient.

use kernels::{Clamp, CopyChannels, LengthScales, LengthSlopes, LengthSums, LengthTerms, PlaneGroup};
use recording::BufferSlice;
use reference::bit_length::{Grid, LEAST_LENGTH, MOST_LENGTH, Rule, Tensor as Of, split};
use reference::quantize::levels;

use crate::{
    GraphError, Mode, Parameter, ParameterSpec, Recorder, bit_length::LengthForm, planes::Group,
    quantizers::ScaleIndex,
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

    /// The length, and what it is recorded as.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let Names { length, base, frozen } = self.names();
        let of_length = |spec: ParameterSpec| ParameterSpec { is_length: true, ..spec };
        let start = split(f64::from(self.start)).0 as f32;
        vec![
            of_length(ParameterSpec::vector(length, 1, self.start as f32)),
            of_length(ParameterSpec::statistic(base, 1, start)),
            of_length(ParameterSpec::statistic(frozen, 1, 0.0)),
        ]
    }

    /// The same length as the saved state has it, where that is not how it is recorded.
    pub fn for_state(&self, read: &dyn Fn(&str) -> Option<f32>) -> Option<Self> {
        let names = self.names();
        let (base, frozen) = (read(names.base)?, read(names.frozen)? != 0.0);
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

    /// Records the scales of the two groups, or of frozen weights the one that makes a code's step `1 / n`.
    pub fn scales(&self, recorder: &mut Recorder, range: BufferSlice) -> Result<BufferSlice, GraphError> {
        let terms = if self.frozen {
            let n = f64::from(levels(self.base));
            let step =
                (n * self.rule().value(1, 1.0, self.base) - n * self.rule().value(0, 1.0, self.base)) / 2.0;
            LengthTerms { base: self.base as f32, groups: [[step as f32, 0.0], [0.0; 2]] }
        } else {
            LengthTerms::of(self.rule(), self.base)
        };
        let length = recorder.parameter(self.names().length);
        let table = recorder.constant("terms of the length", LengthTerms::words(&[terms]));
        let drawn = self.form == LengthForm::Stochastic && !matches!(recorder.mode(), Mode::Evaluate { .. });
        let kernel = LengthScales { len: 1, draw: drawn, tensor: DRAW_STREAMS | length.position };
        let scales = recorder.transient("scales of the length", 2 * u64::from(LengthScales::SPREAD));
        let step = recorder.step();
        recorder.dispatch(kernel, &[length.value, range, step, table, scales])?;
        Ok(scales)
    }

    /// The groups with scales that [`Recorded::scales`] recorded.
    pub fn groups(&self, scales: BufferSlice) -> Vec<Group> {
        let group = |([first_plane, planes], at): ([u32; 2], u64)| {
            let offset = scales.offset + at * u64::from(LengthScales::SPREAD);
            let scale = BufferSlice { offset, words: 1, ..scales };
            let planes = PlaneGroup { first_plane, planes, mask: None };
            Group { planes, factor: 1.0, scale: Some((scale, ScaleIndex { by: kernels::By::One, div: 1 })) }
        };
        if self.frozen {
            let factor = 1.0 / levels(self.base) as f32;
            return vec![Group { factor, ..group(([0, self.base], 0)) }];
        }
        self.runs().into_iter().zip(0..).map(group).collect()
    }

    /// Records the sums of `grad * dQ/dn` of one matrix of planes over groups of rows, column by column.
    pub fn partial_sums(
        &self,
        recorder: &mut Recorder,
        (planes, grad, range): (BufferSlice, BufferSlice, BufferSlice),
        (rows, k, group): (u32, u32, u32),
        partials: BufferSlice,
    ) -> Result<(), GraphError> {
        let slopes = self.rule().group_scales(self.base).map(|[_, slope]| slope as f32);
        let mut runs = self.runs();
        for (run, _) in runs.iter_mut().zip(slopes).filter(|(_, slope)| *slope == 0.0) {
            *run = [0, 0];
        }
        let table =
            recorder.constant("slopes of the length", LengthSlopes::words(&[LengthSlopes { runs, slopes }]));
        let kind = if self.of == Of::Weight { kernels::Kind::Sign } else { kernels::Kind::Unit };
        let kernel = LengthSums { rows, k, planes: self.planes(), kind, group, entries: 1 };
        recorder.dispatch(kernel, &[planes, grad, range, table, partials])
    }

    /// The length's parameter.
    pub fn length(&self, recorder: &Recorder) -> Parameter {
        recorder.parameter(self.names().length)
    }
}

/// Records the copy of `words` words.
pub(crate) fn copy(
    recorder: &mut Recorder,
    source: BufferSlice,
    target: BufferSlice,
) -> Result<(), GraphError> {
    let count = |slice: BufferSlice| u32::try_from(slice.words).expect("a binding has fewer than 2^32 words");
    put(recorder, source, (target, count(target)), 0)
}

/// Records the copy of all of `source` to `target`, which has `words` words, from word `first` on.
pub(crate) fn put(
    recorder: &mut Recorder,
    source: BufferSlice,
    (target, words): (BufferSlice, u32),
    first: u32,
) -> Result<(), GraphError> {
    let count = u32::try_from(source.words).expect("a binding has fewer than 2^32 words");
    let kernel = CopyChannels { rows: 1, count, source: (count, 0), target: (words, first) };
    recorder.dispatch(kernel, &[source, target])
}

/// Records that lengths stay within their bounds.
pub(crate) fn clamp(recorder: &mut Recorder, lengths: BufferSlice) -> Result<(), GraphError> {
    let len = u32::try_from(lengths.words).expect("few lengths");
    recorder.dispatch(Clamp { len, low: LEAST_LENGTH as f32, high: MOST_LENGTH as f32 }, &[lengths])
}
