//! Assigns memory to planned buffers from their first and last use.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use recording::{Access, BufferId, Dispatch, SLICE_ALIGNMENT};

use crate::recorder::{Life, Phase, PlannedBuffer};

/// Which physical buffer each planned buffer lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Physical buffer and first word there, per planned buffer.
    pub place: Vec<(usize, u64)>,
    /// Label and words of each physical buffer; transients share.
    pub slots: Vec<(String, u64)>,
}

/// First and last dispatch of each time during which a buffer holds something, counted over all phases.
type Uses = Vec<(usize, usize)>;

/// A transient in a shared buffer: its words there and when it needs them.
#[derive(Clone, Debug)]
struct Tenant {
    words: (u64, u64),
    uses: Uses,
}

/// A slot grows to 64 MiB, a quarter of what every adapter allocates at once, or to the largest transient.
const SLOT_WORDS: u64 = 1 << 24;

/// Plans that are tried; the smallest counts.
const TRIES: u64 = 64;

/// Buffers up to which all of them are tried. A plan compares every buffer with all others, so that of more buffers fewer
/// plans are tried.
const MOST_BUFFERS: u64 = 4096;

impl MemoryPlan {
    /// Plans `buffers` for `phases` run in order. Persistent buffers get memory of their own. Transients are placed one by
    /// one, each in the slot that has to grow least for it, at words whose other tenants live at other times, else in a new
    /// slot, as no slot outgrows its limit. A dispatch may not read and write the same physical buffer, so what one
    /// reads and another thing that it writes never share a slot; two that it writes may.
    ///
    /// No one order is the best for every network: the first try takes the largest first, the others rate each buffer up to
    /// three times as large, always the same way, and the smallest plan counts.
    pub(crate) fn new(buffers: &[PlannedBuffer], phases: &BTreeMap<Phase, Vec<Dispatch>>) -> Self {
        let (uses, apart) = (lifetimes(buffers, phases), read_and_written(phases));
        let plans = (0..tries(buffers.len() as u64)).map(|seed| Self::with(buffers, &uses, &apart, seed));
        plans.min_by_key(Self::bytes).expect("there are tries")
    }

    fn with(
        buffers: &[PlannedBuffer],
        uses: &HashMap<usize, Uses>,
        apart: &HashMap<usize, Vec<usize>>,
        seed: u64,
    ) -> Self {
        let mut plan = Self { place: vec![(usize::MAX, 0); buffers.len()], slots: Vec::new() };
        for (index, buffer) in buffers.iter().enumerate().filter(|(_, b)| b.life == Life::Persistent) {
            plan.place[index] = (plan.slots.len(), 0);
            plan.slots.push((buffer.label.clone(), buffer.words));
        }
        let first_shared = plan.slots.len();
        let mut slots: Vec<Vec<Tenant>> = Vec::new();
        let mut transients: Vec<usize> = (0..buffers.len())
            .filter(|index| buffers[*index].life != Life::Persistent && uses.contains_key(index))
            .collect();
        transients.sort_by_key(|index| {
            let noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_mul(2 * *index as u64 + 1) >> 56;
            let words = buffers[*index].words;
            (Reverse(words * (128 + noise)), *index)
        });
        let largest = transients.iter().map(|index| buffers[*index].words).max().unwrap_or(0);
        let limit = largest.max(SLOT_WORDS);
        for index in transients {
            let (words, uses) = (buffers[index].words, &uses[&index]);
            let room = |slot: usize| {
                let (tenants, size): (&Vec<Tenant>, u64) = (&slots[slot], plan.slots[first_shared + slot].1);
                let separate = apart
                    .get(&index)
                    .is_none_or(|others| others.iter().all(|&o| plan.place[o].0 != first_shared + slot));
                let first = separate.then(|| first_free(tenants, words, uses))?;
                let (end, tie) = (first + words, if seed % 2 == 1 { u64::MAX - size } else { size });
                let growth = end.saturating_sub(size);
                (growth < words && end.max(size) <= limit).then_some((growth, tie, slot, first))
            };
            let best = (0..slots.len()).filter_map(room).min();
            let (slot, first) = best.map_or((slots.len(), 0), |(_, _, slot, first)| (slot, first));
            if slot == slots.len() {
                plan.slots.push((format!("shared {slot}"), 0));
                slots.push(Vec::new());
            }
            let size = &mut plan.slots[first_shared + slot].1;
            *size = (*size).max(first + words);
            slots[slot].push(Tenant { words: (first, first + words), uses: uses.clone() });
            plan.place[index] = (first_shared + slot, first);
        }
        plan
    }

    /// Bytes of all physical buffers.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|(_, words)| 4 * words).sum()
    }
}

/// The first word from which on `words` words are free while `uses` last.
fn first_free(tenants: &[Tenant], words: u64, uses: &Uses) -> u64 {
    let meets = |tenant: &&Tenant| {
        tenant.uses.iter().any(|(from, to)| uses.iter().any(|(first, last)| from <= last && first <= to))
    };
    let mut taken: Vec<(u64, u64)> = tenants.iter().filter(meets).map(|t| t.words).collect();
    taken.sort_unstable();
    taken.into_iter().fold(0, |first, (from, to)| match first + words <= from {
        true => first,
        false => first.max(to.next_multiple_of(SLICE_ALIGNMENT)),
    })
}

/// Plans that are tried of so many buffers.
fn tries(buffers: u64) -> u64 {
    let times = buffers.div_ceil(MOST_BUFFERS).max(1);
    (TRIES / (times * times)).max(1)
}

/// For each buffer those that a dispatch writes while it reads the buffer, or the other way around.
fn read_and_written(phases: &BTreeMap<Phase, Vec<Dispatch>>) -> HashMap<usize, Vec<usize>> {
    let mut pairs = HashSet::new();
    for dispatch in phases.values().flatten() {
        for written in dispatch.outputs() {
            for read in dispatch.inputs() {
                let (a, b) = (written.buffer.0 as usize, read.buffer.0 as usize);
                pairs.extend([(a, b), (b, a)]);
            }
        }
    }
    let mut apart: HashMap<usize, Vec<usize>> = HashMap::new();
    pairs.into_iter().for_each(|(a, b)| apart.entry(a).or_default().push(b));
    apart
}

/// When each buffer that shares memory holds something that is still needed.
fn lifetimes(buffers: &[PlannedBuffer], phases: &BTreeMap<Phase, Vec<Dispatch>>) -> HashMap<usize, Uses> {
    let mut uses: HashMap<usize, Uses> = HashMap::new();
    let mut frozen = None;
    let mut start = 0;
    for (phase, dispatches) in phases {
        let end = start + dispatches.len().saturating_sub(1);
        if matches!(phase, Phase::Freeze | Phase::Evaluate) {
            frozen = Some((frozen.map_or(start, |(first, _)| first), end));
        }
        for (time, dispatch) in (start..).zip(dispatches) {
            for slice in &dispatch.buffers {
                let index = slice.buffer.0 as usize;
                let uses = uses.entry(index).or_default();
                // An evaluation can be run again on the same batch.
                let upload_ends = if *phase == Phase::Evaluate { end } else { time };
                match (buffers[index].life, uses.last_mut()) {
                    (Life::Uploaded, Some((first, last))) if *first == start => *last = upload_ends,
                    (Life::Uploaded, _) => uses.push((start, upload_ends)),
                    (_, Some((_, last))) => *last = time,
                    (_, None) => uses.push((time, time)),
                }
            }
        }
        start += dispatches.len();
    }
    if let Some(frozen) = frozen {
        uses.iter_mut()
            .filter(|(index, _)| buffers[**index].life == Life::Frozen)
            .for_each(|(_, uses)| *uses = vec![frozen]);
    }
    uses
}

/// The first transient that a dispatch reads before any dispatch wrote it, if there is one.
pub(crate) fn read_before_write(
    buffers: &[PlannedBuffer],
    phases: &BTreeMap<Phase, Vec<Dispatch>>,
) -> Option<(String, &'static str)> {
    let mut written = vec![false; buffers.len()];
    for dispatch in phases.values().flatten() {
        for (slice, binding) in dispatch.buffers.iter().zip(dispatch.kernel.bindings()) {
            let BufferId(id) = slice.buffer;
            let buffer = &buffers[id as usize];
            if binding.access == Access::Read && !written[id as usize] && buffer.life == Life::Transient {
                return Some((buffer.label.clone(), dispatch.kernel.name()));
            }
        }
        for slice in dispatch.outputs() {
            written[slice.buffer.0 as usize] = true;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernels::Add;
    use recording::{BufferSlice, Scope};

    use super::*;

    use Life::*;

    fn buffer(words: u64, life: Life) -> PlannedBuffer {
        PlannedBuffer { label: format!("{words}"), words, life, samples: 0 }
    }

    fn add(a: u32, b: u32, c: u32) -> Dispatch {
        let buffers = [a, b, c].map(|id| BufferSlice::whole(BufferId(id), 1)).to_vec();
        Dispatch { kernel: Arc::new(Add { len: 1 }), buffers, scope: Scope::default() }
    }

    #[test]
    fn transients_share_memory_only_when_their_lifetimes_are_apart() {
        let buffers =
            [buffer(1, Persistent), buffer(8, Transient), buffer(4, Transient), buffer(6, Transient)];
        let phases = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(1, 0, 2), add(2, 0, 3)])]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(plan.place[1], plan.place[3], "buffer 1 is dead when 3 is first written");
        assert_ne!(plan.place[1], plan.place[2], "buffer 1 is read while 2 is written");
        assert_ne!(plan.place[2], plan.place[3]);
        assert_eq!(plan.bytes(), 4 * (1 + 8 + 4));
    }

    #[test]
    fn what_a_dispatch_reads_and_what_it_writes_are_kept_apart() {
        let kernel =
            Arc::new(kernels::SoftmaxCrossEntropy { samples: 1, classes: 1, total_samples: 1, weight: 1.0 });
        let slices = [0, 1, 2, 3, 4].map(|id| BufferSlice::whole(BufferId(id), 1)).to_vec();
        let loss = Dispatch { kernel, buffers: slices, scope: Scope::default() };
        let mut apart = read_and_written(&BTreeMap::from([(Phase::Forward, vec![loss])]));
        apart.values_mut().for_each(|others| others.sort_unstable());
        for (buffer, others) in [(0, vec![2, 3, 4]), (1, vec![2, 3, 4]), (2, vec![0, 1]), (4, vec![0, 1])] {
            assert_eq!(apart[&buffer], others, "buffer {buffer}");
        }
    }

    #[test]
    fn fewer_plans_are_tried_of_more_buffers() {
        assert_eq!([0, 4096, 4097, 20_000, 1 << 20].map(tries), [64, 64, 16, 2, 1]);
    }

    #[test]
    fn an_upload_holds_its_place_from_the_start_of_each_phase_that_reads_it() {
        let buffers = [buffer(1, Persistent), buffer(8, Uploaded), buffer(8, Transient)];
        let phases = BTreeMap::from([
            (Phase::Forward, vec![add(0, 0, 0), add(0, 1, 0)]),
            (Phase::Backward, vec![add(0, 0, 2), add(0, 2, 0)]),
            (Phase::Evaluate, vec![add(1, 0, 0), add(0, 0, 0)]),
        ]);
        assert_eq!(lifetimes(&buffers, &phases)[&1], [(0, 1), (4, 5)]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(
            plan.place[1], plan.place[2],
            "between the phases that read it, others may have its place"
        );
    }

    #[test]
    fn what_is_frozen_holds_its_place_until_evaluations_end() {
        let buffers = [buffer(1, Persistent), buffer(8, Frozen), buffer(8, Transient), buffer(8, Transient)];
        let phases = BTreeMap::from([
            (Phase::Forward, vec![add(0, 0, 2), add(0, 2, 0)]),
            (Phase::Freeze, vec![add(0, 0, 0), add(0, 0, 1)]),
            (Phase::Evaluate, vec![add(1, 0, 0), add(0, 0, 3)]),
        ]);
        assert_eq!(lifetimes(&buffers, &phases)[&1], [(2, 5)]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(plan.place[1], plan.place[2], "a step ends it");
        assert_ne!(plan.place[1], plan.place[3], "the next evaluation reads it again");
    }

    #[test]
    fn a_small_early_transient_leaves_a_large_slot_to_a_large_one() {
        // 8 words live in the first dispatch and 2 from the second to the last one, whose other 8 take the first slot.
        let buffers =
            [buffer(1, Persistent), buffer(8, Transient), buffer(2, Transient), buffer(8, Transient)];
        let phases = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(0, 0, 2), add(2, 0, 3)])]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(plan.place[1], plan.place[3]);
        assert_eq!(plan.bytes(), 4 * (1 + 8 + 2));
    }

    #[test]
    fn a_transient_read_before_it_is_written_is_found() {
        let buffers = [buffer(1, Persistent), buffer(1, Transient), buffer(1, Transient)];
        let good = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(1, 0, 2)])]);
        assert_eq!(read_before_write(&buffers, &good), None);
        let bad = BTreeMap::from([(Phase::Forward, vec![add(0, 1, 2)])]);
        assert!(read_before_write(&buffers, &bad).is_some());
    }
}
