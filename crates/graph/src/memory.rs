//! Assigns memory to planned buffers from their first and last use.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use recording::{Access, BufferId, Dispatch, SLICE_ALIGNMENT};

use crate::recorder::{Phase, PlannedBuffer};

/// Which physical buffer each planned buffer lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Physical buffer and first word there, per planned buffer.
    pub place: Vec<(usize, u64)>,
    /// Label and words of each physical buffer; transients share.
    pub slots: Vec<(String, u64)>,
}

/// A transient in a shared buffer: its words there and the first and last dispatch that uses it.
#[derive(Clone, Copy, Debug)]
struct Tenant {
    buffer: usize,
    words: (u64, u64),
    uses: (usize, usize),
}

/// A slot grows to 64 MiB, a quarter of what every adapter allocates at once, or to the largest transient.
const SLOT_WORDS: u64 = 1 << 24;

/// Plans that are tried; the smallest counts.
const TRIES: u64 = 64;

impl MemoryPlan {
    /// Plans `buffers` for `phases` run in order. Persistent buffers get memory of their own. Transients are placed one by
    /// one, each in the slot that has to grow least for it, at words whose other tenants live at other times, else in a new
    /// slot, as no slot outgrows its limit. A dispatch may not read and write the same physical buffer, so what one
    /// reads and another thing that it writes never share a slot.
    ///
    /// No one order is the best for every network: the first try takes the largest first, the others rate each buffer up to
    /// three times as large, always the same way, and the smallest plan counts.
    pub(crate) fn new(buffers: &[PlannedBuffer], phases: &BTreeMap<Phase, Vec<Dispatch>>) -> Self {
        let (uses, apart) = (lifetimes(phases), bound_together(phases));
        let plans = (0..TRIES).map(|seed| Self::with(buffers, &uses, &apart, seed));
        plans.min_by_key(Self::bytes).expect("there are tries")
    }

    fn with(
        buffers: &[PlannedBuffer],
        uses: &HashMap<usize, (usize, usize)>,
        apart: &HashSet<(usize, usize)>,
        seed: u64,
    ) -> Self {
        let mut plan = Self { place: vec![(usize::MAX, 0); buffers.len()], slots: Vec::new() };
        for (index, buffer) in buffers.iter().enumerate().filter(|(_, b)| b.persistent) {
            plan.place[index] = (plan.slots.len(), 0);
            plan.slots.push((buffer.label.clone(), buffer.words));
        }
        let first_shared = plan.slots.len();
        let mut slots: Vec<Vec<Tenant>> = Vec::new();
        let mut transients: Vec<usize> = (0..buffers.len())
            .filter(|index| !buffers[*index].persistent && uses.contains_key(index))
            .collect();
        transients.sort_by_key(|index| {
            let noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_mul(2 * *index as u64 + 1) >> 56;
            let words = buffers[*index].words;
            (Reverse(words * (128 + noise)), *index)
        });
        let largest = transients.iter().map(|index| buffers[*index].words).max().unwrap_or(0);
        let limit = largest.max(SLOT_WORDS);
        for index in transients {
            let (words, uses) = (buffers[index].words, uses[&index]);
            let room = |slot: usize| {
                let (tenants, size): (&Vec<Tenant>, u64) = (&slots[slot], plan.slots[first_shared + slot].1);
                let separate =
                    tenants.iter().all(|t| !apart.contains(&(t.buffer.min(index), t.buffer.max(index))));
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
            slots[slot].push(Tenant { buffer: index, words: (first, first + words), uses });
            plan.place[index] = (first_shared + slot, first);
        }
        plan
    }

    /// Bytes of all physical buffers.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|(_, words)| 4 * words).sum()
    }
}

/// The first word from which on `words` words are free while `uses` lasts.
fn first_free(tenants: &[Tenant], words: u64, uses: (usize, usize)) -> u64 {
    let mut taken: Vec<(u64, u64)> =
        tenants.iter().filter(|t| t.uses.0 <= uses.1 && uses.0 <= t.uses.1).map(|t| t.words).collect();
    taken.sort_unstable();
    taken.into_iter().fold(0, |first, (from, to)| match first + words <= from {
        true => first,
        false => first.max(to.next_multiple_of(SLICE_ALIGNMENT)),
    })
}

/// Pairs of buffers, the lower number first, of which a dispatch writes one.
fn bound_together(phases: &BTreeMap<Phase, Vec<Dispatch>>) -> HashSet<(usize, usize)> {
    let mut pairs = HashSet::new();
    for dispatch in phases.values().flatten() {
        for written in dispatch.outputs() {
            for other in &dispatch.buffers {
                let (a, b) = (written.buffer.0 as usize, other.buffer.0 as usize);
                pairs.insert((a.min(b), a.max(b)));
            }
        }
    }
    pairs
}

/// First and last dispatch that uses each buffer, counted over all phases.
fn lifetimes(phases: &BTreeMap<Phase, Vec<Dispatch>>) -> HashMap<usize, (usize, usize)> {
    let mut uses: HashMap<usize, (usize, usize)> = HashMap::new();
    for (time, dispatch) in phases.values().flatten().enumerate() {
        for slice in &dispatch.buffers {
            uses.entry(slice.buffer.0 as usize).or_insert((time, time)).1 = time;
        }
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
            if binding.access == Access::Read && !written[id as usize] && !buffer.persistent {
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

    fn buffer(words: u64, persistent: bool) -> PlannedBuffer {
        PlannedBuffer { label: format!("{words}"), words, persistent, samples: 0 }
    }

    fn add(a: u32, b: u32, c: u32) -> Dispatch {
        let buffers = [a, b, c].map(|id| BufferSlice::whole(BufferId(id), 1)).to_vec();
        Dispatch { kernel: Arc::new(Add { len: 1 }), buffers, scope: Scope::default() }
    }

    #[test]
    fn transients_share_memory_only_when_their_lifetimes_are_apart() {
        let buffers = [buffer(1, true), buffer(8, false), buffer(4, false), buffer(6, false)];
        let phases = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(1, 0, 2), add(2, 0, 3)])]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(plan.place[1], plan.place[3], "buffer 1 is dead when 3 is first written");
        assert_ne!(plan.place[1], plan.place[2], "buffer 1 is read while 2 is written");
        assert_ne!(plan.place[2], plan.place[3]);
        assert_eq!(plan.bytes(), 4 * (1 + 8 + 4));
    }

    #[test]
    fn a_small_early_transient_leaves_a_large_slot_to_a_large_one() {
        // 8 words live in the first dispatch and 2 from the second to the last one, whose other 8 take the first slot.
        let buffers = [buffer(1, true), buffer(8, false), buffer(2, false), buffer(8, false)];
        let phases = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(0, 0, 2), add(2, 0, 3)])]);
        let plan = MemoryPlan::new(&buffers, &phases);
        assert_eq!(plan.place[1], plan.place[3]);
        assert_eq!(plan.bytes(), 4 * (1 + 8 + 2));
    }

    #[test]
    fn a_transient_read_before_it_is_written_is_found() {
        let buffers = [buffer(1, true), buffer(1, false), buffer(1, false)];
        let good = BTreeMap::from([(Phase::Forward, vec![add(0, 0, 1), add(1, 0, 2)])]);
        assert_eq!(read_before_write(&buffers, &good), None);
        let bad = BTreeMap::from([(Phase::Forward, vec![add(0, 1, 2)])]);
        assert!(read_before_write(&buffers, &bad).is_some());
    }
}
