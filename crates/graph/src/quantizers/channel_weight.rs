//! Weights of one bit with a scale per output channel, as XNOR-Net has them; Group-Net's Eq 1.

use kernels::{By, Kind, QuantizeWeight, Reduce, ReduceMap, ReduceOp, ScaleIndex, WeightRule};
use recording::{BufferSlice, SLICE_ALIGNMENT};

use super::{WeightQuantizer, WeightRows, learned::put};
use crate::{
    Convolution, GraphError, Parameter, Recorder,
    planes::{Group, Operand},
    reduction::reduce_to_one,
};

/// `alpha_c * sgn(w)` with `alpha_c` the mean of `|w|` over output channel c; the gradient passes unchanged.
///
/// The scale lies inside the contraction of the gradient of the input, which is to remain a product of bits: that product
/// reads the signs alone, and codes of `alpha_c * g_c` in place of those of g.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelWeight;

/// Rows of `len` weights that a binding takes, each run of which begins where a slice may.
fn rows_at_once(recorder: &Recorder, rows: u32, len: u32) -> u32 {
    let words = |rows: u32| u64::from(rows) * u64::from(len);
    let fits = |parts: &u32| {
        let own = words(rows / parts);
        rows.is_multiple_of(*parts) && own <= recorder.binding_words() && own.is_multiple_of(SLICE_ALIGNMENT)
    };
    match words(rows) <= recorder.binding_words() {
        true => rows,
        false => (2..=rows).find(fits).map_or(rows, |parts| rows / parts),
    }
}

impl WeightQuantizer for ChannelWeight {
    fn stored_bits(&self) -> f64 {
        1.0
    }

    fn planes(&self) -> u32 {
        1
    }

    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let rows = u32::try_from(weight.spec.shape[0]).expect("few output channels");
        let len = weight.len() / rows;
        let mean =
            |rows| Reduce { rows, len, map: ReduceMap::Abs, op: ReduceOp::Sum, factor: 1.0 / len as f32 };
        let at_once = rows_at_once(recorder, rows, len);
        if at_once == rows {
            return Ok(vec![reduce_to_one(recorder, "weight scales", mean(rows), weight.value, None)?]);
        }
        let scales = recorder.transient("weight scales", u64::from(rows));
        for first in (0..rows).step_by(at_once as usize) {
            let offset = weight.value.offset + u64::from(first) * u64::from(len);
            let share = BufferSlice { offset, words: u64::from(at_once) * u64::from(len), ..weight.value };
            let own = reduce_to_one(recorder, "weight scales of a part", mean(at_once), share, None)?;
            put(recorder, own, (scales, rows), first)?;
        }
        Ok(vec![scales])
    }

    fn has_channel_scales(&self) -> bool {
        true
    }

    fn channel_scales(&self, prepared: &[BufferSlice]) -> Option<BufferSlice> {
        Some(prepared[0])
    }

    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let shape = [convolution.output.channels, convolution.taps(), convolution.input.channels];
        let (kernel, scale) = match rows {
            WeightRows::ByOutput => {
                let scale = (prepared[0], ScaleIndex { by: By::Column, div: 1 });
                (QuantizeWeight::by_output(shape, 1, WeightRule::Sign), Some(scale))
            }
            WeightRows::ByInput => (QuantizeWeight::by_input(shape, 1, WeightRule::Sign), None),
        };
        let words = u64::from(kernel.rows) * u64::from(kernels::words_for(kernel.k));
        let buffer = recorder.transient("weight planes", words);
        recorder.dispatch(kernel, &[weight.value, prepared[0], buffer])?;
        if rows == WeightRows::ByOutput {
            // Whoever looks at a part of the channels sees its signs alone.
            let scales = Some(prepared[0]).filter(|scales| scales.words == u64::from(kernel.rows));
            recorder.tap_weight_codes(buffer, (kernel.rows, kernel.k), 1, scales);
        }
        Ok(Operand { buffer, kind: Kind::Sign, groups: vec![Group { scale, ..Group::codes(1, 1.0) }] })
    }

    fn passes_gradient(&self) -> bool {
        true
    }

    fn backward(
        &self,
        _: &mut Recorder,
        _: &Parameter,
        _: &[BufferSlice],
        _: BufferSlice,
    ) -> Result<(), GraphError> {
        Ok(())
    }
}
