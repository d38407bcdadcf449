//! Runs a case on an executor and compares it with the reference.

use recording::{
    Access, BufferId, BufferSlice, Comparison, Dispatch, Executor, ExecutorError, Mismatch, Recording,
    SLICE_ALIGNMENT, Scope,
};

use crate::Case;

/// Fills outputs before a run, so that "wrote zero" and "did not write" differ.
pub const POISON: u32 = 0xdead_beef;
const GUARD: u32 = 0x600d_60a7;

/// Checks cases on one executor, reusing its buffers from case to case.
#[derive(Debug)]
pub struct Checker<E> {
    executor: E,
    buffers: Vec<(BufferId, u64)>,
}

impl<E: Executor> Checker<E> {
    /// Checks on `executor`.
    pub fn new(executor: E) -> Self {
        Self { executor, buffers: Vec::new() }
    }

    /// The executor's subgroups are those that the kernel of `case` is written for, if it is for any.
    pub fn can_run(&self, case: &Case) -> bool {
        case.kernel.subgroup().is_none_or(|size| self.executor.limits().subgroup == Some(size))
    }

    /// Runs `case` with poisoned outputs between guard words and compares every written binding with the reference,
    /// every read binding with its input, and the guards with themselves.
    ///
    /// # Errors
    /// The executor's, e.g. a shader that does not compile.
    pub async fn check(&mut self, case: &Case) -> Result<Comparison, ExecutorError> {
        let lens = case.kernel.lens();
        let contents: Vec<Vec<u32>> =
            case.inputs.iter().zip(&lens).map(|(input, &len)| filled(input, len)).collect();
        let mut slices = Vec::new();
        for (index, words) in contents.iter().enumerate() {
            slices.push(self.upload(index, words)?);
        }
        let mut recording = Recording::new();
        recording.push(Dispatch {
            kernel: case.kernel.clone(),
            buffers: slices.clone(),
            scope: Scope::default(),
        })?;
        let prepared = self.executor.prepare(&recording)?;
        self.executor.run(&prepared).await?;

        let inputs: Vec<&[u32]> = contents.iter().map(Vec::as_slice).collect();
        let mut expected = case.kernel.expected(&inputs).into_iter();
        let mut result = Comparison::default();
        for ((slice, words), binding) in slices.iter().zip(&contents).zip(case.kernel.bindings()) {
            let got = self.executor.read(slice.buffer, 0, slice.words + SLICE_ALIGNMENT).await?;
            let (before, rest) = got.split_at(SLICE_ALIGNMENT as usize);
            let (body, after) = rest.split_at(words.len());
            if let Some(at) = before.iter().chain(after).position(|&w| w != GUARD) {
                result.mismatches += 1;
                result.first.get_or_insert(Mismatch {
                    index: words.len() + at,
                    got: 0,
                    want: GUARD,
                    bound: None,
                });
            }
            let want = match binding.access {
                Access::Read => recording::Expected::exact(words.clone()),
                Access::Write => expected.next().expect("the reference answers for every written binding"),
            };
            result.merge(want.compare(body));
            if body[want.words.len()..] != words[want.words.len()..] {
                result.mismatches += 1;
            }
        }
        Ok(result)
    }

    fn upload(&mut self, index: usize, words: &[u32]) -> Result<BufferSlice, ExecutorError> {
        let guard = vec![GUARD; SLICE_ALIGNMENT as usize];
        let total = words.len() as u64 + 2 * SLICE_ALIGNMENT;
        if self.buffers.len() <= index || self.buffers[index].1 < total {
            let fresh = (self.executor.allocate("case", total)?, total);
            if index < self.buffers.len() { self.buffers[index] = fresh } else { self.buffers.push(fresh) }
        }
        let buffer = self.buffers[index].0;
        self.executor.write(buffer, 0, &[&guard, words, &guard].concat())?;
        // The trailing guard lies inside the binding, so a write past the end is seen instead of being dropped.
        Ok(BufferSlice { buffer, offset: SLICE_ALIGNMENT, words: words.len() as u64 + SLICE_ALIGNMENT })
    }
}

fn filled(input: &[u32], len: u64) -> Vec<u32> {
    if input.is_empty() { vec![POISON; len as usize] } else { input.to_vec() }
}
