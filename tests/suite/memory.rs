//! Memory is allocated once, as planned.

use std::collections::BTreeMap;

use graph::{Phase, Session};
use pollster::block_on;
use recording::{Access, BufferId, Dispatch, Executor, HostExecutor};
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
        for dispatch in dispatches(&session) {
            let place = format!("{:?} {}", dispatch.scope, dispatch.kernel.name());
            let bound = dispatch.buffers.iter().zip(dispatch.kernel.bindings());
            let (outputs, inputs): (Vec<_>, Vec<_>) =
                bound.partition(|(_, binding)| binding.access == Access::Write);
            for (input, _) in inputs {
                assert!(outputs.iter().all(|(output, _)| output.buffer != input.buffer), "{name}: {place}");
                let Some((words, writer)) = written.get(&(input.buffer, input.offset)) else { continue };
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
        assert!(reads > 400, "{name}: {reads} reads were followed");
    }
}
