//! One training step, dispatch by dispatch, each compared with the reference on the device's own inputs.

use recording::{Comparison, Dispatch, Executor, ExecutorError, Recording};

use crate::{GraphError, Input, Phase, Session};

/// The comparison of one dispatch.
#[derive(Clone, Debug)]
pub struct DispatchCheck {
    /// Phase and position in its recording.
    pub phase: Phase,
    /// Position in the phase's recording.
    pub index: usize,
    /// Layer that the dispatch serves.
    pub layer: String,
    /// Pass that it serves.
    pub pass: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Result.
    pub comparison: Comparison,
}

impl<E: Executor> Session<E> {
    /// Runs one training step with every dispatch on its own and compares what each wrote with what the reference
    /// makes of the same inputs. Ends early at the first that leaves its bounds if `stop` is set.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub async fn step_checked(
        &mut self,
        input: impl Into<Input<'_>>,
        step: u32,
        learning_rate: f64,
        stop: bool,
    ) -> Result<Vec<DispatchCheck>, GraphError> {
        let mut checks = Vec::new();
        self.begin(&input.into(), step, learning_rate)?;
        for phase in [Phase::Forward, Phase::Backward, Phase::Apply] {
            let recording = self.recording(phase).cloned().unwrap_or_default();
            for (index, dispatch) in recording.dispatches.into_iter().enumerate() {
                let comparison = check_dispatch(self.executor_mut(), &dispatch).await?;
                let passed = comparison.passed();
                let (layer, pass) = (dispatch.scope.layer.clone(), dispatch.scope.pass);
                checks.push(DispatchCheck {
                    phase,
                    index,
                    layer,
                    pass,
                    kernel: dispatch.kernel.name(),
                    comparison,
                });
                if stop && !passed {
                    return Ok(checks);
                }
            }
        }
        self.end();
        Ok(checks)
    }
}

/// Runs `dispatch` by itself and compares what it wrote with what the reference makes of the same inputs.
pub(crate) async fn check_dispatch<E: Executor>(
    executor: &mut E,
    dispatch: &Dispatch,
) -> Result<Comparison, ExecutorError> {
    let mut inputs = Vec::new();
    for slice in &dispatch.buffers {
        inputs.push(executor.read(slice.buffer, slice.offset, slice.words).await?);
    }
    let single = Recording { dispatches: vec![dispatch.clone()] };
    let prepared = executor.prepare(&single)?;
    executor.run(&prepared).await?;
    let views: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut comparison = Comparison::default();
    for (slice, expected) in dispatch.outputs().zip(dispatch.kernel.expected(&views)) {
        let got = executor.read(slice.buffer, slice.offset, slice.words).await?;
        comparison.merge(expected.compare(&got));
    }
    Ok(comparison)
}
