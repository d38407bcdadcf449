//! Weights whose upper planes are the weights of fewer bits (FlexNet), packed once for all widths.

use std::sync::Arc;

use kernels::{By, Kind, PlaneGroup, QuantizeWeight, Reduce, ReduceMap, ReduceOp, ScaleIndex, WeightRule};
use recording::BufferSlice;
use reference::nested::NestedForm;

use super::{WeightQuantizer, WeightRows, dorefa_weight::tangent_backward};
use crate::{
    Convolution, GraphError, Parameter, Recorder,
    planes::{Group, Operand},
    recorder::SharedKey,
    reduction::reduce_pieces,
};

/// The upper `bits` of the `widest` planes that [`reference::nested::weights`] packs; layers that share the weight share the
/// planes. The maximum of the tangents and the scale are constants of the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NestedWeight {
    /// Planes of the packed weight, 1 to 8.
    pub widest: u32,
    /// Planes that are read, the most significant ones.
    pub bits: u32,
    /// How the codes of the widths belong together.
    pub form: NestedForm,
    /// The mean of `|w|` is the scale of every width; otherwise there is none, as in DoReFa-Net's weights of several bits.
    pub scaled: bool,
}

impl NestedWeight {
    fn rule(&self) -> WeightRule {
        WeightRule::tanh(self.form.rounding(self.widest))
    }
}

impl WeightQuantizer for NestedWeight {
    fn cut(&self, bits: u32) -> Option<Arc<dyn WeightQuantizer>> {
        (bits <= self.widest).then(|| Arc::new(Self { bits, ..*self }) as Arc<dyn WeightQuantizer>)
    }

    fn stored_bits(&self) -> f64 {
        f64::from(self.bits)
    }

    fn planes(&self) -> u32 {
        self.bits
    }

    /// The largest tangent, and the scale or one.
    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        let (len, scaled) = (weight.len(), self.scaled);
        recorder.once_for(SharedKey::Scales(weight.value, scaled), |recorder| {
            let largest = Reduce { rows: 1, len, map: ReduceMap::AbsTanh, op: ReduceOp::Max, factor: 1.0 };
            let mean = Reduce { map: ReduceMap::Abs, op: ReduceOp::Sum, factor: 1.0 / len as f32, ..largest };
            let largest = reduce_pieces(recorder, "largest tangent", largest, weight.value)?;
            let scale = match scaled {
                true => reduce_pieces(recorder, "weight scale", mean, weight.value)?,
                false => recorder.one(),
            };
            Ok(vec![largest, scale])
        })
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
        let kernel = match rows {
            WeightRows::ByOutput => QuantizeWeight::by_output(shape, self.widest, self.rule()),
            WeightRows::ByInput => QuantizeWeight::by_input(shape, self.widest, self.rule()),
        };
        let packed = recorder.once_for(SharedKey::Planes(weight.value, kernel), |recorder| {
            let words =
                u64::from(self.widest) * u64::from(kernel.rows) * u64::from(kernels::words_for(kernel.k));
            let buffer = recorder.transient("weight planes", words);
            recorder.dispatch(kernel, &[weight.value, prepared[0], buffer])?;
            Ok(vec![buffer])
        })?;
        let common = self.scaled.then_some(prepared[1]);
        if rows == WeightRows::ByOutput && self.bits == self.widest {
            recorder.tap_weight_codes(packed[0], (kernel.rows, kernel.k), self.bits, common);
        }
        let planes = PlaneGroup { first_plane: self.widest - self.bits, planes: self.bits, mask: None };
        let scale = common.map(|scale| (scale, ScaleIndex { by: By::One, div: 1 }));
        let groups = vec![Group { planes, factor: self.form.weight_step(self.bits) as f32, scale }];
        Ok(Operand { buffer: packed[0], kind: Kind::Sign, groups })
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        tangent_backward(recorder, weight, (prepared[0], prepared[1]), grad_quantized).map(|_| ())
    }
}
