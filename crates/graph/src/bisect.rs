//! One training step, dispatch by dispatch, each compared with the reference on the device's own inputs.

use std::collections::BTreeSet;

use recording::{Access, Comparison, Dispatch, Executor, ExecutorError, Recording};

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

/// How much of a large result is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Words of a written slice, its first and its last among them.
    pub words: u32,
    /// Seed of the choice of the others.
    pub seed: u32,
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
        self.step_sampled(input, step, learning_rate, None, |check| stop && !check.comparison.passed()).await
    }

    /// The same for networks too large to be computed whole on the reference: of products and convolutions only the words of
    /// `sample` are compared, of all other kernels everything. Calls `stop` with every comparison and ends where it says so.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub async fn step_sampled(
        &mut self,
        input: impl Into<Input<'_>>,
        step: u32,
        learning_rate: f64,
        sample: Option<Sample>,
        mut stop: impl FnMut(&DispatchCheck) -> bool,
    ) -> Result<Vec<DispatchCheck>, GraphError> {
        let mut checks = Vec::new();
        self.begin(&input.into(), step, learning_rate)?;
        self.prepare_step(step)?;
        for phase in self.step_phases(step) {
            let recording = self.recording(phase).cloned().unwrap_or_default();
            for (index, dispatch) in recording.dispatches.into_iter().enumerate() {
                let comparison = check_dispatch(self.executor_mut(), &dispatch, sample).await?;
                let (layer, pass) = (dispatch.scope.layer.clone(), dispatch.scope.pass);
                checks.push(DispatchCheck {
                    phase,
                    index,
                    layer,
                    pass,
                    kernel: dispatch.kernel.name(),
                    comparison,
                });
                if checks.last().is_some_and(&mut stop) {
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
    sample: Option<Sample>,
) -> Result<Comparison, ExecutorError> {
    let mut inputs = Vec::new();
    for slice in &dispatch.buffers {
        inputs.push(executor.read(slice.buffer, slice.offset, slice.words).await?);
    }
    let single = Recording { dispatches: vec![dispatch.clone()] };
    let prepared = executor.prepare(&single)?;
    executor.run(&prepared).await?;
    let views: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
    let outputs: Vec<_> = dispatch.outputs().collect();
    if let (Some(sample), [output]) = (sample, outputs.as_slice()) {
        let indices = sample.indices(dispatch);
        if let Some(expected) = dispatch.kernel.expected_at(&views, &indices) {
            let got = executor.read(output.buffer, output.offset, output.words).await?;
            let picked: Vec<u32> = indices.iter().map(|&index| got[index]).collect();
            let mut comparison = expected.compare(&picked);
            if let Some(first) = &mut comparison.first {
                first.index = indices[first.index];
            }
            return Ok(comparison);
        }
    }
    let mut comparison = Comparison::default();
    for (slice, expected) in dispatch.outputs().zip(dispatch.kernel.expected(&views)) {
        let got = executor.read(slice.buffer, slice.offset, slice.words).await?;
        comparison.merge(expected.compare(&got));
    }
    Ok(comparison)
}

impl Sample {
    /// Words of the one result of `dispatch`, in order: the first and the last, and others drawn from the seed.
    fn indices(self, dispatch: &Dispatch) -> Vec<usize> {
        let bindings = dispatch.kernel.bindings().iter().zip(dispatch.kernel.lens());
        let mut written = bindings.filter(|(binding, _)| binding.access == Access::Write).map(|(_, len)| len);
        let len = written.next().unwrap_or(1) as usize;
        if len <= self.words as usize {
            return (0..len).collect();
        }
        let mut random = kernels::Random::new(self.seed);
        let mut chosen = BTreeSet::from([0, len - 1]);
        while chosen.len() < self.words as usize {
            chosen.insert(((u64::from(random.word()) * len as u64) >> 32) as usize);
        }
        chosen.into_iter().collect()
    }
}
