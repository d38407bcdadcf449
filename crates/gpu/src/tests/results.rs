//! What is written is read, what is recorded is run.

use std::time::Duration;

use pollster::block_on;
use recording::{BufferSlice, Executor, ExecutorError, Recording, Ticket};

use super::{
    contents, dispatch, filled, gpu,
    kernels::{Step, increment},
    unchecked,
};
use crate::{TimeSource, fold};

#[test]
fn buffers_start_zeroed_and_give_back_what_was_written() {
    let Some(mut gpu) = gpu() else { return };
    let buffer = gpu.allocate("words", 1000).expect("fits");
    assert_eq!(gpu.allocated_bytes(), 4000);
    assert_eq!(gpu.buffer_count(), 1);
    gpu.write(buffer, 3, &[7, 8, 9]).expect("lies inside");
    gpu.write(buffer, 999, &[1]).expect("lies inside");
    let words = block_on(gpu.read(buffer, 0, 1000)).expect("lies inside");
    assert_eq!(words[..7], [0, 0, 0, 7, 8, 9, 0]);
    assert_eq!(words[999], 1);
    assert_eq!(block_on(gpu.read(buffer, 4, 2)), Ok(vec![8, 9]));
    assert_eq!(block_on(gpu.read(buffer, 4, 0)), Ok(vec![]));
}

#[test]
fn a_dispatch_sees_its_slices_only() {
    let Some(mut gpu) = gpu() else { return };
    let data: Vec<u32> = (0..256).collect();
    let (source, target) = (filled(&mut gpu, &data), filled(&mut gpu, &[5; 256]));
    let input = BufferSlice { offset: 64, words: 7, ..source };
    let output = BufferSlice { offset: 128, words: 100, ..target };
    let recording = unchecked(vec![dispatch(Step::new(100, 2), vec![input, output])]);
    let prepared = gpu.prepare(&recording).expect("compiles");
    block_on(gpu.run(&prepared)).expect("runs");
    let got = contents(&mut gpu, target);
    for (index, &word) in got.iter().enumerate() {
        let inside = (128..228).contains(&index);
        let want = if inside { 5 + increment(64 + (index as u32 - 128) % 7, 2) } else { 5 };
        assert_eq!(word, want, "word {index}");
    }
}

#[test]
fn more_workgroups_than_one_dimension_holds_all_run() {
    let Some(mut gpu) = gpu() else { return };
    let count = 70_001;
    let data: Vec<u32> = (0..count).collect();
    let (input, output) = (filled(&mut gpu, &data), filled(&mut gpu, &vec![0; count as usize]));
    let kernel = Step { per_group: 1, ..Step::new(count, 1) };
    assert_eq!(fold(u64::from(count)), Some([35_001, 2]));
    let prepared = gpu.prepare(&unchecked(vec![dispatch(kernel, vec![input, output])])).expect("compiles");
    block_on(gpu.run(&prepared)).expect("runs");
    let want: Vec<u32> = data.iter().map(|&x| increment(x, 1)).collect();
    assert!(contents(&mut gpu, output) == want);
}

/// 40 dispatches, each on the result of the one before.
fn chain(gpu: &mut crate::Gpu) -> (Recording, BufferSlice) {
    let (a, b) = (filled(gpu, &[3; 64]), filled(gpu, &[4; 64]));
    let steps = (0..40).map(|i| {
        let rounds = if i % 7 == 0 { 2000 } else { i % 3 };
        dispatch(Step::new(64, rounds), if i % 2 == 0 { vec![a, b] } else { vec![b, a] })
    });
    (unchecked(steps.collect()), b)
}

fn host_chain(runs: u32) -> u32 {
    let (mut a, mut b) = (3u32, 4u32);
    for i in (0..runs).flat_map(|_| 0..40) {
        let rounds = if i % 7 == 0 { 2000 } else { i % 3 };
        if i % 2 == 0 {
            b = b.wrapping_add(increment(a, rounds))
        } else {
            a = a.wrapping_add(increment(b, rounds))
        }
    }
    b
}

#[test]
fn the_budget_divides_submissions_and_leaves_results_alone() {
    let Some(mut gpu) = gpu() else { return };
    for (budget, per_run) in [(Duration::from_nanos(1), 40), (Duration::from_secs(10), 1)] {
        gpu.set_budget(budget);
        let (recording, last) = chain(&mut gpu);
        let prepared = gpu.prepare(&recording).expect("compiles");
        let before = gpu.statistics().submissions;
        for _ in 0..5 {
            block_on(gpu.run(&prepared)).expect("runs");
        }
        assert_eq!(gpu.statistics().submissions - before, 5 * per_run);
        assert_eq!(contents(&mut gpu, last), [host_chain(5); 64]);
    }
    assert!(gpu.statistics().over_cap > 0, "nothing ends within 5 ns");
    assert!(gpu.statistics().slowest_seconds > 0.0);
}

#[test]
fn measurements_replace_the_first_estimate() {
    let Some(mut gpu) = gpu() else { return };
    let (input, output) = (filled(&mut gpu, &[1; 64]), filled(&mut gpu, &[0; 64]));
    // The claimed work is that of an hour, so the first run goes one by one.
    let heavy = |_| dispatch(Claim(Step::new(64, 1)), vec![input, output]);
    let prepared = gpu.prepare(&unchecked((0..20).map(heavy).collect())).expect("compiles");
    let mut runs = Vec::new();
    for _ in 0..6 {
        let before = gpu.statistics().submissions;
        block_on(gpu.run(&prepared)).expect("runs");
        runs.push(gpu.statistics().submissions - before);
    }
    assert_eq!(runs[0], 20);
    assert!(runs[5] < 20, "{runs:?}");
    assert_eq!(contents(&mut gpu, output), [4 * 120; 64]);
}

#[test]
fn profiles_time_every_dispatch_and_leave_results_alone() {
    let Some(mut gpu) = gpu() else { return };
    let offered = if gpu.device.has_timestamps() { TimeSource::Timestamps } else { TimeSource::WallClock };
    for source in [TimeSource::WallClock, offered] {
        let (recording, last) = chain(&mut gpu);
        let prepared = gpu.prepare(&recording).expect("compiles");
        let profile = block_on(gpu.profile_by(&prepared, source)).expect("runs");
        assert_eq!(profile.source, source);
        assert!(profile.kernels.iter().map(|k| k.index).eq(0..40));
        assert!(profile.kernels.iter().all(|k| (0.0..10.0).contains(&k.seconds)), "{profile:?}");
        assert!(profile.kernels.iter().map(|k| k.seconds).sum::<f64>() > 0.0);
        assert_eq!(contents(&mut gpu, last), [host_chain(1); 64]);
    }
    let prepared = gpu.prepare(&Recording::new()).expect("nothing to compile");
    assert_eq!(block_on(gpu.profile(&prepared)).expect("runs").source, offered);
}

#[test]
fn running_and_reading_allocate_nothing() {
    let Some(mut gpu) = gpu() else { return };
    let (recording, last) = chain(&mut gpu);
    let prepared = gpu.prepare(&recording).expect("compiles");
    let (count, bytes) = (gpu.buffer_count(), gpu.allocated_bytes());
    for _ in 0..10 {
        block_on(gpu.run(&prepared)).expect("runs");
        contents(&mut gpu, last);
    }
    assert_eq!((gpu.buffer_count(), gpu.allocated_bytes()), (count, bytes));
}

/// A kernel that claims to be heavy.
#[derive(Debug)]
struct Claim(Step);

impl recording::Kernel for Claim {
    fn shader(&self) -> &recording::Shader {
        self.0.shader()
    }
    fn params(&self) -> Vec<recording::Param> {
        self.0.params()
    }
    fn constants(&self) -> Vec<recording::Constant> {
        self.0.constants()
    }
    fn workgroups(&self) -> u64 {
        self.0.workgroups()
    }
    fn lens(&self) -> Vec<u64> {
        self.0.lens()
    }
    fn loop_trips(&self) -> u64 {
        self.0.loop_trips()
    }
    fn work(&self) -> recording::Work {
        recording::Work { operations: 1 << 43, bytes: 0 }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<recording::Expected> {
        self.0.expected(buffers)
    }
}

#[test]
fn words_on_their_way_are_those_of_their_moment() {
    let Some(mut gpu) = gpu() else { return };
    let (recording, last) = chain(&mut gpu);
    let prepared = gpu.prepare(&recording).expect("compiles");
    let mut tickets = Vec::new();
    for _ in 0..6 {
        tickets.push(block_on(gpu.run_and_read(&prepared, last)).expect("runs"));
        let only = BufferSlice { offset: 63, words: 1, ..last };
        tickets.push(block_on(gpu.run_and_read(&gpu.join(&[]), only)).expect("reads"));
    }
    gpu.write(last.buffer, 0, &[0; 64]).expect("lies inside");
    let created = gpu.statistics().created;
    let mut words = vec![9; 100];
    // The last first: tickets need no order.
    for (at, ticket) in tickets.into_iter().enumerate().rev() {
        let (runs, len) = (1 + at as u32 / 2, if at % 2 == 0 { 64 } else { 1 });
        block_on(gpu.take(ticket, &mut words)).expect("the device answers");
        assert_eq!(words, vec![host_chain(runs); len], "run {runs}");
    }
    for _ in 0..20 {
        let ticket = block_on(gpu.run_and_read(&prepared, last)).expect("runs");
        let number = ticket.0;
        while !gpu.is_done(&ticket).expect("the device answers") {}
        block_on(gpu.take(ticket, &mut words)).expect("the device answers");
        for refused in
            [gpu.is_done(&Ticket(number)).map(drop), block_on(gpu.take(Ticket(number), &mut words))]
        {
            assert!(matches!(refused, Err(ExecutorError::Validation { .. })), "{refused:?}");
        }
    }
    assert_eq!(gpu.statistics().created, created, "staging buffers are used again");
    let outside = BufferSlice { offset: 1, ..last };
    assert!(block_on(gpu.run_and_read(&prepared, outside)).is_err());
    assert!(block_on(gpu.run_and_read(&prepared, BufferSlice { words: 0, ..last })).is_err());
}

#[test]
fn joined_recordings_share_submissions() {
    let Some(mut gpu) = gpu() else { return };
    gpu.set_budget(Duration::from_secs(10));
    let (recording, last) = chain(&mut gpu);
    let (first, second) = recording.dispatches.split_at(13);
    let parts = [first, second].map(|part| gpu.prepare(&unchecked(part.to_vec())).expect("compiles"));
    let created = gpu.statistics().created;
    let whole = gpu.join(&[&parts[0], &parts[1]]);
    let before = gpu.statistics().submissions;
    for _ in 0..4 {
        block_on(gpu.run(&whole)).expect("runs");
    }
    assert_eq!(gpu.statistics().submissions - before, 4);
    assert_eq!(contents(&mut gpu, last), [host_chain(4); 64]);
    for part in &parts {
        block_on(gpu.run(part)).expect("runs");
    }
    assert_eq!(contents(&mut gpu, last), [host_chain(5); 64]);
    assert_eq!(gpu.statistics().created.bind_groups, created.bind_groups, "bind groups are shared");
}
