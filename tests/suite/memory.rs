//! Memory is allocated once, as planned.

use std::collections::BTreeMap;

use graph::{Phase, Session, plan_memory};
use pollster::block_on;
use recording::{Access, BufferId, Dispatch, Executor, HostExecutor, Limits};
use tests::{Pictures, bits, gpu_session, host_session, model, options, train};

#[test]
fn nothing_is_allocated_after_set_up() {
    for (name, size, steps) in [("digits", 8, 20), ("resnet20", 16, 3)] {
        let model = model(name, size, bits([1, 2, 4]));
        let pictures = Pictures::new(&model, 8, 30);
        let Some(mut session) = gpu_session(&model, &options(&model, 8)) else { return };
        let (bytes, buffers) =
            (session.executor_mut().allocated_bytes(), session.executor_mut().buffer_count());
        assert_eq!(bytes, session.memory_bytes(), "{name}: the plan is what the session allocated");
        for step in 0..steps {
            train(&mut session, &pictures.batch(), step, 1);
            block_on(session.freeze()).expect("freezes");
            block_on(session.evaluate(&pictures.part(0, 5))).expect("evaluates");
        }
        let state = block_on(session.state()).expect("state");
        session.load_state(&state).expect("its own state");
        assert_eq!(session.executor_mut().allocated_bytes(), bytes, "{name}");
        assert_eq!(session.executor_mut().buffer_count(), buffers, "{name}");
    }
}

#[test]
fn buffers_share_memory_where_their_lifetimes_are_apart() {
    for (name, size) in [("svhn-d", 32), ("resnet20", 16)] {
        let model = model(name, size, bits([1, 2, 4]));
        let session = host_session(&model, &options(&model, 8));
        // A planned buffer is bound whole and holds its place from first to last use, so another length in the same
        // place is another buffer.
        let (mut held, mut unshared) = (BTreeMap::new(), 0);
        for dispatch in dispatches(&session) {
            for slice in &dispatch.buffers {
                if held.insert((slice.buffer, slice.offset), slice.words) != Some(slice.words) {
                    unshared += 4 * slice.words;
                }
            }
        }
        println!("{name}: {} bytes planned, at least {unshared} without sharing", session.memory_bytes());
        assert!(
            session.memory_bytes() * 5 < unshared * 4,
            "{name}: {} of {unshared}",
            session.memory_bytes()
        );
    }
}

#[test]
fn a_session_of_few_bits_takes_at_most_six_tenths_of_its_f32_twin() {
    // Lanes of an executor's subgroups decide which kernels are recorded.
    for subgroup in [Some(8), Some(16), Some(32)] {
        let limits = Limits { subgroup, ..HostExecutor::new().limits() };
        let bytes = |widths| {
            let model = model("svhn-a", 32, bits(widths));
            plan_memory(limits, &model.network, &options(&model, 128)).expect("fits")
        };
        let (few, twin) = (bytes([1, 2, 4]), bytes([32, 32, 32]));
        println!("subgroups of {subgroup:?}: {few} bytes, {:.4} of {twin}", few as f64 / twin as f64);
        assert!(few * 10 <= twin * 6, "subgroups of {subgroup:?}: {few} of {twin}");
    }
}

/// Dispatches of all phases in order.
fn dispatches(session: &Session<HostExecutor>) -> Vec<Dispatch> {
    let phases = [Phase::Forward, Phase::Backward, Phase::Apply, Phase::Freeze, Phase::Evaluate];
    phases.iter().filter_map(|phase| session.recording(*phase)).flat_map(|r| r.dispatches.clone()).collect()
}

/// A kernel must find what was written for it, not what another buffer in the same place left there, and must not write
/// where it reads.
#[test]
fn what_is_read_was_written_under_the_same_length() {
    for (name, size, widths) in
        [("svhn-d", 32, [1, 2, 4]), ("resnet20", 16, [2, 2, 2]), ("resnet20", 16, [32, 32, 32])]
    {
        let model = model(name, size, bits(widths));
        let session = host_session(&model, &options(&model, 8));
        let mut written: BTreeMap<(BufferId, u64), (u64, String)> = BTreeMap::new();
        let mut reads = 0;
        // Buffers of parameters are read in parts and as wholes, and nothing else shares them.
        let updates = dispatches(&session).into_iter().filter(|dispatch| dispatch.kernel.name() == "adam");
        let parameters: Vec<BufferId> = updates.flat_map(|d| d.buffers).map(|slice| slice.buffer).collect();
        for dispatch in dispatches(&session) {
            let place = format!("{:?} {}", dispatch.scope, dispatch.kernel.name());
            let bound = dispatch.buffers.iter().zip(dispatch.kernel.bindings());
            let (outputs, inputs): (Vec<_>, Vec<_>) =
                bound.partition(|(_, binding)| binding.access == Access::Write);
            for (input, binding) in inputs {
                assert!(outputs.iter().all(|(output, _)| output.buffer != input.buffer), "{name}: {place}");
                // The host writes these, before the first dispatch of the phase that reads them.
                if matches!(binding.name, "thresholds" | "source") {
                    continue;
                }
                let Some((words, writer)) = written.get(&(input.buffer, input.offset)) else { continue };
                if parameters.contains(&input.buffer) {
                    continue;
                }
                assert_eq!(input.words, *words, "{name}: {place} reads what {writer} wrote");
                reads += 1;
            }
            for (output, _) in outputs {
                let (first, end) = (output.offset, output.offset + output.words);
                written.retain(|&(buffer, offset), (words, _)| {
                    buffer != output.buffer || offset >= end || offset + *words <= first
                });
                written.insert((output.buffer, first), (output.words, place.clone()));
            }
        }
        assert!(reads > 300, "{name}: {reads} reads were followed");
    }
}
