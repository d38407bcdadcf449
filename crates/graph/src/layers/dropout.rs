//! Dropout on codes: dropped activations become code 0, or are masked where codes are signs; kept ones count 1 / (1 - rate)
//! times.

use kernels::{DropoutBackward, DropoutForward, Kind as PlaneKind, PlaneGroup};

use super::single;
use crate::{
    GraphError, Packed, Recorder,
    layer::{Backward, Layer, Place, no_backward},
    planes::Group,
    recorder::Mode,
    tensor::{Kind, Value},
};

/// Inverted dropout; evaluation passes its input on. The mask is a pure function of seed, step, layer and position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of dropped activations, 0 up to but without 1.
    pub rate: f32,
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        let input = single(name, inputs)?;
        if !(0.0..1.0).contains(&self.rate) {
            return Err(GraphError::layer(name, format!("dropout rate {} is not in [0, 1)", self.rate)));
        }
        Ok(input)
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        if matches!(recorder.mode(), Mode::Evaluate { .. } | Mode::Frozen) {
            return Ok((inputs[0].clone(), no_backward()));
        }
        let (rate, tensor, step) = (self.rate, place.stream, recorder.step());
        let shape = match &inputs[0] {
            Value::Packed(packed) => packed.shape,
            other => recorder.dense(other)?.shape,
        };
        // The same kernel drops values and their gradients.
        let drop_values = move |recorder: &mut Recorder, values: &crate::Tensor, label: &str| {
            let result = recorder.tensor(label, shape);
            for chunk in recorder.chunks() {
                let kernel = DropoutBackward {
                    rows: chunk.samples * shape.pixels(),
                    channels: shape.channels,
                    rate,
                    tensor,
                    first_row: recorder.first_row(chunk, shape.pixels()),
                };
                recorder.dispatch(kernel, &[values.chunks[chunk.index], step, result.chunks[chunk.index]])?;
            }
            Ok::<_, GraphError>(result)
        };
        let output = match &inputs[0] {
            Value::Packed(packed) => Value::Packed(self.drop_codes(recorder, packed, tensor)?),
            other => {
                let values = recorder.dense(other)?;
                Value::Dense(drop_values(recorder, &values, "kept")?)
            }
        };
        let backward: Backward =
            Box::new(move |recorder, grad| Ok(vec![Some(drop_values(recorder, grad, "grad_input")?)]));
        Ok((output, backward))
    }
}

impl Dropout {
    fn drop_codes(
        &self,
        recorder: &mut Recorder,
        packed: &Packed,
        tensor: u32,
    ) -> Result<Packed, GraphError> {
        let (shape, bits, step) = (packed.shape, packed.planes(), recorder.step());
        // Code 0 is no value where bits are signs: a mask leaves dropped elements out.
        let mask = packed.kind == PlaneKind::Sign && packed.groups.iter().all(|g| g.planes.mask.is_none());
        let planes_out = bits + u32::from(mask);
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let planes =
                recorder.per_sample("kept codes", chunk, Packed::words(shape, planes_out, chunk.samples));
            let kernel = DropoutForward {
                rows: chunk.samples * shape.pixels(),
                channels: shape.channels,
                bits,
                mask,
                rate: self.rate,
                tensor,
                first_row: recorder.first_row(chunk, shape.pixels()),
            };
            recorder.dispatch(kernel, &[packed.chunks[chunk.index], step, planes])?;
            chunks.push(planes);
        }
        let grown = |group: &Group| {
            let planes = PlaneGroup { mask: mask.then_some(bits).or(group.planes.mask), ..group.planes };
            Group { planes, factor: group.factor / (1.0 - self.rate), ..*group }
        };
        let groups = packed.groups.iter().map(grown).collect();
        Ok(Packed { groups, chunks, ..packed.clone() })
    }
}
