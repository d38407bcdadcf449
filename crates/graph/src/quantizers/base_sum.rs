//! The weights of several bases as those of one product (Group-Net's Eq 3).

use std::sync::Arc;

use kernels::{By, ScaleIndex, WeightedSum};
use recording::BufferSlice;

use super::{WeightQuantizer, WeightRows, learned::put, len};
use crate::{
    BaseScales, Convolution, GraphError, Parameter, Recorder,
    planes::{Operand, record_dequantize},
    reduction::row_dots,
};

/// `sum over i of lambda[i] * Q_i(w_i)`: the groups of planes of all bases, each with its scale times its base's lambda.
///
/// With `dW` the gradient of the sum, that of `Q_i(w_i)` is `lambda[i] * dW` and that of `lambda[i]` is `<dW, Q_i(w_i)>`.
#[derive(Clone, Debug)]
pub(crate) struct BaseSumWeight {
    /// Layers that hold the bases' weights, and their rules.
    pub bases: Vec<(String, Arc<dyn WeightQuantizer>)>,
    /// Whether lambda, a parameter of the layer itself, is learned.
    pub scales: BaseScales,
    /// What multiplies with the sum.
    pub convolution: Convolution,
}

impl BaseSumWeight {
    /// What [`WeightQuantizer::prepare`] gave: lambda, and what each base's rule prepared.
    fn prepared<'a>(&self, slices: &'a [BufferSlice]) -> (BufferSlice, Vec<&'a [BufferSlice]>) {
        let (lambda, rest) = slices.split_first().expect("lambda comes first");
        let of_base = rest.len() / self.bases.len();
        (*lambda, (0..self.bases.len()).map(|at| &rest[at * of_base..][..of_base]).collect())
    }

    /// Records the gradient of base `at` and gives its product with the quantized weights, where lambda is trained.
    fn base_backward(
        &self,
        recorder: &mut Recorder,
        (at, lambda): (u32, BufferSlice),
        (rule, prepared): (&dyn WeightQuantizer, &[BufferSlice]),
        (grad, is_trained): (BufferSlice, bool),
    ) -> Result<Option<BufferSlice>, GraphError> {
        let weight = recorder.parameter("weight");
        let target = match rule.passes_gradient() {
            true => weight.gradient,
            false => recorder.transient("grad of the quantized weight", u64::from(weight.len())),
        };
        scale(recorder, (lambda, at), grad, target)?;
        if !rule.passes_gradient() {
            rule.backward(recorder, &weight, prepared, target)?;
        }
        recorder.check_finite("grad_weight", &[weight.gradient])?;
        if !is_trained {
            return Ok(None);
        }
        let rows = WeightRows::ByOutput;
        let operand = rule.pack(recorder, &weight, prepared, &self.convolution, rows)?;
        let values = recorder.transient("dequantized weight", u64::from(weight.len()));
        let size = (self.convolution.output.channels, self.convolution.fan_in());
        record_dequantize(recorder, (operand.kind, &operand.groups), operand.buffer, size, values)?;
        row_dots(recorder, (1, weight.len()), [grad, values], None).map(Some)
    }
}

impl WeightQuantizer for BaseSumWeight {
    fn stored_bits(&self) -> f64 {
        self.bases.iter().map(|(_, rule)| rule.stored_bits()).sum()
    }

    fn planes(&self) -> u32 {
        self.bases.iter().map(|(_, rule)| rule.planes()).sum()
    }

    fn prepare(&self, recorder: &mut Recorder, _: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let mut prepared = vec![match self.scales {
            BaseScales::Learned => recorder.parameter("lambda").value,
            BaseScales::Average => average(recorder, self.bases.len()),
        }];
        for (name, rule) in &self.bases {
            within(recorder, name, |recorder| {
                let weight = recorder.parameter("weight");
                recorder.check_finite("weight", &[weight.value])?;
                prepared.extend(rule.prepare(recorder, &weight)?);
                Ok(())
            })?;
        }
        Ok(prepared)
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        _: &Parameter,
        slices: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let (lambda, prepared) = self.prepared(slices);
        let mut operands = Vec::new();
        for (at, ((name, rule), prepared)) in (0..).zip(self.bases.iter().zip(prepared)) {
            operands.push(within(recorder, name, |recorder| {
                let weight = recorder.parameter("weight");
                let mut operand = rule.pack(recorder, &weight, prepared, convolution, rows)?;
                for group in &mut operand.groups {
                    let one = (recorder.one(), ScaleIndex { by: By::One, div: 1 });
                    let (own, index) = group.scale.unwrap_or(one);
                    let scaled = recorder.transient("scale of a base", own.words);
                    scale(recorder, (lambda, at), own, scaled)?;
                    group.scale = Some((scaled, index));
                }
                Ok(operand)
            })?);
        }
        joined(recorder, operands)
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn backward(
        &self,
        recorder: &mut Recorder,
        _: &Parameter,
        slices: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        let (lambda, prepared) = self.prepared(slices);
        let learned = (self.scales == BaseScales::Learned).then(|| recorder.parameter("lambda"));
        let learned = learned.filter(|lambda| lambda.spec.trainable);
        let count = self.bases.len() as u32;
        for (at, ((name, rule), prepared)) in (0..).zip(self.bases.iter().zip(prepared)) {
            let (rule, grad) = ((rule.as_ref(), prepared), (grad_quantized, learned.is_some()));
            let dot =
                within(recorder, name, |recorder| self.base_backward(recorder, (at, lambda), rule, grad))?;
            if let (Some(dot), Some(lambda)) = (dot, &learned) {
                put(recorder, dot, (lambda.gradient, count), at)?;
            }
        }
        Ok(())
    }
}

/// Equal scales of `bases` bases.
pub(crate) fn average(recorder: &mut Recorder, bases: usize) -> BufferSlice {
    recorder.constant("average", vec![(1.0 / bases as f32).to_bits(); bases])
}

/// What `record` records, as part of layer `name`.
fn within<T>(
    recorder: &mut Recorder,
    name: &str,
    record: impl FnOnce(&mut Recorder) -> Result<T, GraphError>,
) -> Result<T, GraphError> {
    let layer = std::mem::replace(&mut recorder.scope.layer, name.to_owned());
    let result = record(recorder);
    recorder.scope.layer = layer;
    result
}

/// Records `target = lambda[at] * source`.
fn scale(
    recorder: &mut Recorder,
    (lambda, at): (BufferSlice, u32),
    source: BufferSlice,
    target: BufferSlice,
) -> Result<(), GraphError> {
    let kernel = WeightedSum { len: len(&source), sources: 1, first: at, accumulate: false };
    recorder.dispatch(kernel, &[lambda, source, source, source, source, target])
}

/// The groups of all operands in one, the planes of which follow each other.
fn joined(recorder: &mut Recorder, mut operands: Vec<Operand>) -> Result<Operand, GraphError> {
    if operands.len() == 1 {
        return Ok(operands.remove(0));
    }
    let words = operands.iter().map(|operand| operand.buffer.words).sum();
    let buffer = recorder.transient("planes of all bases", words);
    let (mut groups, mut word, mut plane) = (Vec::new(), 0, 0);
    for operand in &operands {
        put(recorder, operand.buffer, (buffer, len(&buffer)), word)?;
        groups.extend(operand.groups.iter().map(|group| group.behind(plane)));
        plane += operand.groups.iter().map(|group| group.planes.end()).max().unwrap_or(0);
        word += len(&operand.buffer);
    }
    Ok(Operand { buffer, kind: operands[0].kind, groups })
}
