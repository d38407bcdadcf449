//! Heterogeneous binarization (Fromm, Patel and Philipose 2018): every weight has a number of levels of its own.

use std::sync::Arc;

use kernels::{
    BitPack, By, Kind, MEAN_STRIDE, ResidualCodes, ResidualMean, ResidualSums, ScaleIndex, StraightThrough,
    means_len,
};
use recording::BufferSlice;

use super::{WeightQuantizer, WeightRows, len};
use crate::{
    Convolution, GraphError, Heterogeneous, Init, Parameter, ParameterSpec, Recorder,
    planes::{Group, Operand},
    reduction::sum_partials,
};

/// The parameter that holds the bits of every weight, in f32 like all others; it is saved and not trained.
pub const BITS: &str = "bits";

/// Level n binarizes what the levels before it left of the weights with at least n bits: `mu_n sgn(e)`, with `mu_n` the mean of
/// `|e|` over these weights. The gradient passes where `|w| <= 1`.
///
/// Every level is a plane group of its own, a sign plane and, but for the first, a mask plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HbnnWeight {
    /// How weights get their bits.
    pub rule: Heterogeneous,
}

impl HbnnWeight {
    fn levels(&self) -> u32 {
        self.rule.mix.widest()
    }
}

/// Where the mean of a level lies.
fn mean(means: BufferSlice, level: u32) -> BufferSlice {
    BufferSlice { offset: means.offset + u64::from(MEAN_STRIDE * level), words: 1, ..means }
}

/// What [`WeightQuantizer::prepare`] gave: the bits of the weights, and the means.
fn prepared(slices: &[BufferSlice]) -> (BufferSlice, BufferSlice) {
    let &[bits, means] = slices else { unreachable!("both were prepared") };
    (bits, means)
}

impl WeightQuantizer for HbnnWeight {
    fn cut(&self, bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        let mix = self.rule.mix.capped(bits);
        (bits <= self.levels()).then(|| Arc::new(Self { rule: Heterogeneous { mix, ..self.rule } }) as Arc<_>)
    }

    fn stored_bits(&self) -> f64 {
        self.rule.mix.average()
    }

    fn parameter_bits(&self, parameter: &ParameterSpec) -> f64 {
        let row: usize = parameter.shape.iter().skip(1).product();
        if parameter.name == BITS { self.rule.mask_bits(row) } else { 32.0 }
    }

    fn planes(&self) -> u32 {
        self.levels()
    }

    fn parameters(&self, convolution: &Convolution) -> Vec<ParameterSpec> {
        let init = Init::Constant(self.levels() as f32);
        let shape = convolution.weight_shape();
        vec![ParameterSpec { name: BITS, shape, init, trainable: false, is_length: false, weight_decay: 0.0 }]
    }

    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let bits = recorder.parameter(BITS).value;
        let means = recorder.transient("means", means_len(self.levels()));
        let pieces = [weight.value, bits].map(|slice| recorder.pieces(slice));
        for before in 0..self.levels() {
            // The first level has none before it to read.
            let known = match before {
                0 => recorder.one(),
                _ => BufferSlice { words: means_len(before), ..means },
            };
            let mut partials = Vec::new();
            for (values, bits) in pieces[0].iter().zip(&pieces[1]) {
                let kernel = ResidualSums { len: len(values), before };
                let partial = recorder.transient("sums of a level", 2 * u64::from(kernel.groups()));
                recorder.dispatch(kernel, &[*values, *bits, known, partial])?;
                partials.push((partial, kernel.groups()));
            }
            let sums = recorder.transient("sum of a level", 2);
            sum_partials(recorder, &partials, 2, 1.0, sums)?;
            recorder.dispatch(ResidualMean { len: 1 }, &[sums, mean(means, before)])?;
        }
        Ok(vec![bits, means])
    }

    fn per_weight(&self) -> usize {
        1
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        slices: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let ((bits, means), levels) = (prepared(slices), self.levels());
        let (outputs, taps, inputs) =
            (convolution.output.channels, convolution.taps(), convolution.input.channels);
        let by_input = rows == WeightRows::ByInput;
        let codes = recorder.transient("weight codes", u64::from(outputs * taps * inputs));
        let kernel = ResidualCodes { outputs, taps, inputs, levels, by_input };
        recorder.dispatch(kernel, &[weight.value, bits, means, codes])?;
        let (rows, k) = if by_input { (inputs, taps * outputs) } else { (outputs, taps * inputs) };
        let pack = BitPack { rows, k, bits: ResidualCodes::planes(levels) };
        let words = u64::from(pack.bits) * u64::from(rows) * u64::from(kernels::words_for(k));
        let buffer = recorder.transient("weight planes", words);
        recorder.dispatch(pack, &[codes, buffer])?;
        let one = ScaleIndex { by: By::One, div: 1 };
        let group = |level: u32| Group {
            planes: ResidualCodes::group(level),
            factor: 1.0,
            scale: Some((mean(means, level), one)),
        };
        Ok(Operand { buffer, kind: Kind::Sign, groups: (0..levels).map(group).collect() })
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        _: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        let pieces = [weight.value, grad_quantized, weight.gradient].map(|slice| recorder.pieces(slice));
        for ((value, quantized), gradient) in pieces[0].iter().zip(&pieces[1]).zip(&pieces[2]) {
            recorder.dispatch(StraightThrough { len: len(value) }, &[*value, *quantized, *gradient])?;
        }
        Ok(())
    }
}
