//! Group-Net's soft connection between the blocks of a group.

use kernels::{SoftGate, SoftGateBackward};
use recording::BufferSlice;

use super::weighted_sum::{combine, described_sum, dots_by_sample};
use crate::{
    GraphError, Parameter, ParameterSpec, Recorder, Tensor,
    layer::{Backward, Layer, Place},
    reduction::sum_partials,
    tensor::{Kind, Value},
};

/// Where theta starts, the mean of the authors' uniform draw from 0 to 1.
const FIRST_THETA: f32 = 0.5;

/// `C * own + (1 - C) * mean` of a base's own output and the mean of all bases', with `C = sigmoid(theta)` learned; the input
/// of that base in the next block.
#[derive(Clone, Copy, Debug)]
pub struct SoftConnection;

impl Layer for SoftConnection {
    fn kind(&self) -> &'static str {
        "soft_connection"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        match inputs {
            [own, mean] if own == mean && own.bits.is_none() => Ok(*own),
            _ => Err(GraphError::layer(name, format!("joins two f32 tensors of one shape, not {inputs:?}"))),
        }
    }

    fn parameters(&self, _: &[Kind]) -> Vec<ParameterSpec> {
        vec![ParameterSpec::vector("theta", 1, FIRST_THETA)]
    }

    fn keeps_output(&self) -> bool {
        false
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        let pair = inputs.iter().map(|input| recorder.dense(input)).collect::<Result<Vec<_>, _>>()?;
        let theta = recorder.parameter("theta");
        let gate = recorder.once(|recorder| {
            let gate = recorder.transient("gate", 2);
            recorder.dispatch(SoftGate, &[theta.value, gate])?;
            Ok(gate)
        })?;
        let output = described_sum(recorder, place, &pair, gate)?;
        let needs_grad = place.needs_grad.clone();
        let backward: Backward = Box::new(move |recorder, grad| {
            if theta.spec.trainable {
                recorder.set_pass("grad_theta");
                grad_theta(recorder, grad, &pair, gate, &theta)?;
                recorder.set_pass("backward");
            }
            let mut results = Vec::new();
            for (at, needed) in needs_grad.iter().enumerate() {
                let scaled = |recorder| combine(recorder, "grad_input", std::slice::from_ref(grad), gate, at);
                results.push(if *needed { Some(scaled(recorder)?) } else { None });
            }
            Ok(results)
        });
        Ok((Value::Dense(output), backward))
    }
}

/// Records `theta.gradient = C (1 - C) <grad, own - mean>`.
fn grad_theta(
    recorder: &mut Recorder,
    grad: &Tensor,
    pair: &[Tensor],
    gate: BufferSlice,
    theta: &Parameter,
) -> Result<(), GraphError> {
    let rows = dots_by_sample(recorder, grad, pair)?;
    let dots = recorder.transient("dots", 2);
    sum_partials(recorder, &rows, 2, 1.0, dots)?;
    recorder.dispatch(SoftGateBackward, &[gate, dots, theta.gradient])
}
