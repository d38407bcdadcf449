//! One product by itself, recorded as a session records it: to compare the kernels that compete for it, and to time them.

use std::collections::BTreeMap;

use kernels::{Kind, Output, POISON, PlaneGroup, Random, Tactic, words_for};
use recording::{BufferId, BufferSlice, Comparison, Dispatch, Executor, Recording};

use crate::{
    GraphError, KernelPlan, ProductKey, Recorder, Sample,
    bisect::check_dispatch,
    planes::{Destination, Group, Operand, ProductShape, record_product},
    recorder::PlannedBuffer,
};

/// The operands of a product, random, and buffers that trials use one after another.
#[derive(Debug)]
pub struct TrialBench {
    key: ProductKey,
    /// Groups of planes of the right operand, which are multiplied one after another.
    rhs_groups: Vec<PlaneGroup>,
    operands: [Vec<u32>; 2],
    buffers: BTreeMap<String, (BufferId, u64)>,
}

/// A product compiled with one of its kernels.
#[derive(Debug)]
pub struct Trial<E: Executor> {
    /// Everything that the kernel needs to run, compiled.
    pub prepared: E::Prepared,
    recording: Recording,
    result: BufferSlice,
}

impl TrialBench {
    /// Operands for the product `key`; every call draws the same.
    pub fn new(key: ProductKey) -> Self {
        let mut random = Random::new(2);
        let mut operand = |planes: u32, mask: bool, rows: u32| {
            let segment = words_for(key.k) as usize;
            let words = (planes + u32::from(mask)) as usize * rows as usize * key.segments as usize * segment;
            let mut words = random.words(words);
            for segment in words.chunks_exact_mut(segment) {
                clear_from(segment, key.k);
            }
            words
        };
        let operands =
            [operand(key.lhs_planes, key.lhs_mask, key.m), operand(key.rhs_planes, key.rhs_mask, key.n)];
        let mask = key.rhs_mask.then_some(key.rhs_planes);
        let rhs_groups = vec![PlaneGroup { first_plane: 0, planes: key.rhs_planes, mask }];
        Self { key, rhs_groups, operands, buffers: BTreeMap::new() }
    }

    /// The same with the right operand `rhs`, all of whose `groups` are multiplied with the left one of [`TrialBench::new`].
    #[must_use]
    pub fn with_groups(self, rhs: Vec<u32>, groups: Vec<PlaneGroup>) -> Self {
        let [lhs, _] = self.operands;
        Self { rhs_groups: groups, operands: [lhs, rhs], ..self }
    }

    /// The packed left and right operand, plane after plane, a mask behind them; by rows of whole words.
    pub fn operands(&self) -> &[Vec<u32>; 2] {
        &self.operands
    }

    /// Compiles the product with `tactic` on `executor`, always the same one.
    ///
    /// # Errors
    /// A kernel that the executor cannot run, sizes that it cannot bind, the executor's failures.
    pub fn trial<E: Executor>(&mut self, executor: &mut E, tactic: Tactic) -> Result<Trial<E>, GraphError> {
        let plan = KernelPlan { choices: [(self.key, tactic)].into(), ..KernelPlan::default() };
        let (trial, ran) = self.recorded(executor, plan)?;
        if ran != Some(tactic) {
            let message = format!("`{tactic}` cannot compute {} on this adapter", self.key);
            return Err(GraphError::layer("", message));
        }
        Ok(trial)
    }

    /// Compiles the product with the kernels that a session with `plan` would run.
    ///
    /// # Errors
    /// Sizes that the executor cannot bind, its failures.
    pub fn planned<E: Executor>(
        &mut self,
        executor: &mut E,
        plan: &KernelPlan,
    ) -> Result<Trial<E>, GraphError> {
        Ok(self.recorded(executor, plan.clone())?.0)
    }

    /// The product by `plan`, and the kernel of its first group.
    fn recorded<E: Executor>(
        &mut self,
        executor: &mut E,
        plan: KernelPlan,
    ) -> Result<(Trial<E>, Option<Tactic>), GraphError> {
        let key = self.key;
        let mut recorder = Recorder::new(1, 1, executor.limits().subgroup);
        recorder.kernels = plan;
        let operand = |recorder: &mut Recorder, label: &str, groups: &[PlaneGroup], words: usize| {
            let kind = if key.unit || (label == "lhs" && !key.xor) { Kind::Unit } else { Kind::Sign };
            let groups = groups.iter().map(|&planes| Group { planes, factor: 1.0, scale: None }).collect();
            let buffer = recorder.persistent(label, words as u64);
            Operand { buffer, kind, groups }
        };
        let [lhs, rhs] = &self.operands;
        let mask = key.lhs_mask.then_some(key.lhs_planes);
        let lhs_group = PlaneGroup { first_plane: 0, planes: key.lhs_planes, mask };
        let lhs = operand(&mut recorder, "lhs", &[lhs_group], lhs.len());
        let rhs = operand(&mut recorder, "rhs", &self.rhs_groups, rhs.len());
        let result = recorder.persistent("result", u64::from(key.m) * u64::from(key.n));
        let shape = ProductShape {
            m: key.m,
            n: key.n,
            k: key.k,
            segments: key.segments,
            dst_row_stride: key.n,
            dst_col_stride: 1,
        };
        let destination = Destination { buffer: result, output: Output::F32, accumulate: false };
        let chunk = recorder.chunks()[0];
        record_product(&mut recorder, chunk, shape, (&lhs, &rhs), destination)?;
        let ran = recorder.products.first().and_then(|note| note.tactic).map(|(_, tactic)| tactic);
        Ok((self.place(executor, &recorder, result)?, ran))
    }

    fn place<E: Executor>(
        &mut self,
        executor: &mut E,
        recorder: &Recorder,
        result: BufferSlice,
    ) -> Result<Trial<E>, GraphError> {
        let ids: Vec<BufferId> =
            recorder.buffers.iter().map(|buffer| self.buffer(executor, buffer)).collect::<Result<_, _>>()?;
        let place = |slice: &BufferSlice| BufferSlice { buffer: ids[slice.buffer.0 as usize], ..*slice };
        let one = place(&recorder.shared.one);
        executor.write(one.buffer, one.offset, &[1f32.to_bits()])?;
        for (label, words) in ["lhs", "rhs"].iter().zip(&self.operands) {
            executor.write(self.buffers[*label].0, 0, words)?;
        }
        let mut recording = Recording::new();
        for dispatch in recorder.phases.values().flatten() {
            let buffers = dispatch.buffers.iter().map(place).collect();
            recording.push(Dispatch { buffers, ..dispatch.clone() })?;
        }
        Ok(Trial { prepared: executor.prepare(&recording)?, recording, result: place(&result) })
    }

    fn buffer<E: Executor>(
        &mut self,
        executor: &mut E,
        wanted: &PlannedBuffer,
    ) -> Result<BufferId, GraphError> {
        let limit = executor.limits().binding_words;
        if wanted.words > limit {
            let (tensor, needed) = (wanted.label.clone(), 4 * wanted.words);
            return Err(GraphError::TooLarge { tensor, samples: 0, needed, limit: 4 * limit });
        }
        if let Some((id, _)) = self.buffers.get(&wanted.label).filter(|(_, words)| *words >= wanted.words) {
            return Ok(*id);
        }
        let id = executor.allocate(&wanted.label, wanted.words)?;
        self.buffers.insert(wanted.label.clone(), (id, wanted.words));
        Ok(id)
    }
}

impl<E: Executor> Trial<E> {
    /// Words of the product.
    ///
    /// # Errors
    /// The executor's failures.
    pub async fn result(&self, executor: &mut E) -> Result<Vec<u32>, GraphError> {
        let BufferSlice { buffer, offset, words } = self.result;
        executor.write(buffer, offset, &vec![POISON; words as usize])?;
        executor.run(&self.prepared).await?;
        Ok(executor.read(buffer, offset, words).await?)
    }

    /// What every dispatch wrote beside what the reference makes of the same inputs.
    ///
    /// # Errors
    /// The executor's failures.
    pub async fn check(&self, executor: &mut E) -> Result<Comparison, GraphError> {
        self.check_sampled(executor, None).await
    }

    /// The same for some words of each result.
    ///
    /// # Errors
    /// The executor's failures.
    pub async fn check_sampled(
        &self,
        executor: &mut E,
        sample: Option<Sample>,
    ) -> Result<Comparison, GraphError> {
        let BufferSlice { buffer, offset, words } = self.result;
        executor.write(buffer, offset, &vec![POISON; words as usize])?;
        let mut all = Comparison::default();
        for dispatch in &self.recording.dispatches {
            all.merge(check_dispatch(executor, dispatch, sample).await?);
        }
        Ok(all)
    }
}

/// Clears the bits of a packed row from element `k` on.
fn clear_from(words: &mut [u32], k: u32) {
    for (word, first) in words.iter_mut().zip((0..).step_by(32)) {
        *word &= match k.saturating_sub(first) {
            0 => 0,
            1..32 => (1 << (k - first)) - 1,
            _ => u32::MAX,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_clear() {
        let mut words = [u32::MAX; 4];
        clear_from(&mut words, 37);
        assert_eq!(words, [u32::MAX, 31, 0, 0]);
        clear_from(&mut words, 32);
        assert_eq!(words, [u32::MAX, 0, 0, 0]);
    }
}
