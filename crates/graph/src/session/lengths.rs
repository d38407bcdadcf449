//! Learned bit lengths of a session: what they are, and recording the network again for what they have become.

use std::collections::BTreeMap;

use recording::{BufferId, Executor};
use reference::bit_length::split;

use super::{NamedTensor, Session};
use crate::{
    BitLength, GraphError, MemoryPlan,
    plan::checked_plan,
    quantizers::learned::{ACTIVATION, WEIGHT},
    schedule::status_words,
};

/// Words that are cleared at once.
const CLEARED: u64 = 1 << 20;

impl<E: Executor> Session<E> {
    /// The learned lengths as they are now.
    ///
    /// # Errors
    /// Reports of queued steps that nobody has taken, or a device failure.
    pub async fn bit_lengths(&mut self) -> Result<Vec<BitLength>, GraphError> {
        self.expect_settled("bit_lengths")?;
        let mut lengths = self.network.bit_lengths();
        for length in &mut lengths {
            let slice = self.schedule.recorder.parameters[&length.name].value;
            length.length = self.read_f32(slice).await?[length.group.0];
        }
        Ok(lengths)
    }

    /// Records the network again where a length has left the two whole widths that it is recorded for; with `freeze`, rounds
    /// every length up, for good. The state stays what it is otherwise. True where the network was recorded again.
    ///
    /// # Errors
    /// Reports of queued steps that nobody has taken, widths that do not fit the device, or a device failure.
    pub async fn follow_lengths(&mut self, freeze: bool) -> Result<bool, GraphError> {
        if self.network.lengths.is_none_or(|lengths| lengths.frozen) {
            return Ok(false);
        }
        let mut wanted: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for BitLength { name, length, .. } in self.bit_lengths().await? {
            let (layer, suffix) = name.rsplit_once('.').expect("a layer and a parameter");
            let names = if suffix == WEIGHT.length { WEIGHT } else { ACTIVATION };
            let whole = length.ceil();
            let base = if freeze { whole } else { split(f64::from(length)).0 as f32 };
            // Lengths of one parameter follow each other.
            let mut want = |name: &str, value| {
                wanted.entry(format!("{layer}.{name}")).or_default().push(value);
            };
            want(names.base, base);
            want(names.frozen, f32::from(u8::from(freeze)));
            if freeze {
                want(names.length, whole);
            }
        }
        let tensor = |(name, values): (&String, &Vec<f32>)| NamedTensor {
            name: name.clone(),
            shape: vec![values.len()],
            values: values.clone(),
        };
        let asked: Vec<NamedTensor> = wanted.iter().map(tensor).collect();
        if self.network.for_state(&asked)?.is_none() {
            return Ok(false);
        }
        let mut state = self.state().await?;
        for (name, values) in wanted {
            let tensor =
                state.iter_mut().find(|tensor| tensor.name == name).expect("it is part of the state");
            tensor.values = values;
        }
        self.load_state(&state)?;
        Ok(true)
    }

    /// Records the network as `tensors` ask for; what the session computes with otherwise, but for frozen parts, is to be loaded
    /// anew.
    pub(super) fn follow_state(&mut self, tensors: &[NamedTensor]) -> Result<(), GraphError> {
        let Some(network) = self.network.for_state(tensors)? else { return Ok(()) };
        let (schedule, plan) = checked_plan(self.executor.limits(), &network, &self.options)?;
        let stores = |ports: &crate::schedule::Ports, plan: &MemoryPlan| -> Vec<usize> {
            ports.stores.iter().map(|store| plan.place[store.pixels.buffer.0 as usize].0).collect()
        };
        // Pictures on the device stay where they are.
        let kept: Vec<(usize, BufferId)> = stores(&schedule.ports, &plan)
            .into_iter()
            .zip(stores(&self.schedule.ports, &self.plan).into_iter().map(|slot| self.buffers[slot]))
            .collect();
        let mut free = self.allocated.clone();
        free.retain(|(_, buffer)| kept.iter().all(|(_, kept)| kept != buffer));
        free.sort_unstable_by_key(|(words, buffer)| (*words, buffer.0));
        let mut chosen: BTreeMap<usize, BufferId> = kept.into_iter().collect();
        // The largest slot chooses first, so that none is allocated where those that are there could do.
        let mut order: Vec<usize> = (0..plan.slots.len()).filter(|slot| !chosen.contains_key(slot)).collect();
        order.sort_by_key(|slot| std::cmp::Reverse(plan.slots[*slot].1));
        for slot in order {
            let (label, words) = &plan.slots[slot];
            // The smallest that is large enough, cleared as a new one is.
            let buffer = match free.iter().position(|(held, _)| held >= words) {
                Some(at) => {
                    let (_, buffer) = free.remove(at);
                    let zeros = vec![0; CLEARED.min(*words) as usize];
                    for first in (0..*words).step_by(CLEARED as usize) {
                        let words = CLEARED.min(words - first) as usize;
                        self.executor.write(buffer, first, &zeros[..words])?;
                    }
                    buffer
                }
                None => {
                    let buffer = self.executor.allocate(label, *words)?;
                    self.allocated.push((*words, buffer));
                    buffer
                }
            };
            chosen.insert(slot, buffer);
        }
        let buffers: Vec<BufferId> = chosen.into_values().collect();
        self.recordings.clear();
        self.prepared.clear();
        (self.whole, self.parts) = (None, Vec::new());
        self.zeros = vec![0; status_words(&schedule.recorder) as usize];
        (self.network, self.schedule, self.plan, self.buffers) = (network, schedule, plan, buffers);
        (self.ready, self.frozen) = (None, false);
        self.prepare()?;
        self.initialize()?;
        let held = std::mem::take(&mut self.held);
        for tensor in &held {
            if let Some(slice) = self.schedule.recorder.parameters.get(&tensor.name).map(|p| p.value) {
                let words: Vec<u32> = tensor.values.iter().map(|value| value.to_bits()).collect();
                self.write(slice, &words)?;
            }
        }
        self.held = held;
        Ok(())
    }
}
