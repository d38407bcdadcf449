//! Whatever goes wrong comes back as a typed error.

use std::time::Duration;

use pollster::block_on;
use recording::{BufferId, BufferSlice, Executor, ExecutorError};

use super::{contents, dispatch, filled, gpu, kernels::Step, unchecked};
use crate::Gpu;

fn slices(gpu: &mut Gpu) -> Vec<BufferSlice> {
    vec![filled(gpu, &[1; 256]), filled(gpu, &[0; 256])]
}

#[test]
fn sizes_beyond_the_default_limits_are_refused() {
    let Some(mut gpu) = gpu() else { return };
    let limits = gpu.limits();
    assert_eq!((limits.binding_words, limits.buffer_words), (1 << 25, 1 << 26));
    for words in [limits.buffer_words + 1, u64::MAX] {
        let error = gpu.allocate("huge", words).expect_err("too large");
        assert!(matches!(&error, ExecutorError::Limit { what, .. } if what.contains("huge")), "{error}");
    }
    let words = limits.binding_words + 64;
    let large = BufferSlice::whole(gpu.allocate("large", words).expect("fits"), words);
    let output = filled(&mut gpu, &[0; 64]);
    let recording = unchecked(vec![dispatch(Step::new(64, 1), vec![large, output])]);
    let error = gpu.prepare(&recording).expect_err("too large a binding");
    assert!(matches!(&error, ExecutorError::Limit { what, .. } if what.contains("input")), "{error}");
}

#[test]
fn ranges_outside_a_buffer_are_refused() {
    let Some(mut gpu) = gpu() else { return };
    let slice = filled(&mut gpu, &[0; 8]);
    let ranges = [(slice.buffer, 8, 1), (slice.buffer, u64::MAX, 1), (BufferId(9), 0, 1)];
    for (buffer, offset, words) in ranges {
        let error = block_on(gpu.read(buffer, offset, words)).expect_err("outside");
        assert!(matches!(error, ExecutorError::Validation { .. }), "{error}");
        let error = gpu.write(buffer, offset, &[1]).expect_err("outside");
        assert!(matches!(error, ExecutorError::Validation { .. }), "{error}");
    }
}

#[test]
fn a_bad_shader_is_named_and_the_device_works_on() {
    let Some(mut gpu) = gpu() else { return };
    let slices = slices(&mut gpu);
    let broken = [
        ("output[index] += x", "output[index] += 1.5f"),
        ("PER_GROUP", "OTHER"),
        ("//#import increment", "//#import decrement"),
        ("@binding(2)", "@binding(3)"),
        ("@workgroup_size(WORKGROUP)", "@workgroup_size(1000u)"),
        ("fn main(", "fn entry("),
    ];
    for (from, to) in broken {
        let recording = unchecked(vec![dispatch(Step::edited(from, to), slices.clone())]);
        let error = gpu.prepare(&recording).err().unwrap_or_else(|| panic!("`{to}` compiles"));
        assert!(matches!(&error, ExecutorError::Shader { kernel, .. } if kernel == "step"), "{to}: {error}");
    }
    let prepared =
        gpu.prepare(&unchecked(vec![dispatch(Step::new(64, 1), slices.clone())])).expect("compiles");
    block_on(gpu.run(&prepared)).expect("runs");
    assert_eq!(contents(&mut gpu, slices[1])[..65], [vec![4; 64], vec![0]].concat());
}

#[test]
fn bad_bindings_are_refused() {
    let Some(mut gpu) = gpu() else { return };
    let good = slices(&mut gpu);
    let shifted = |offset, words| BufferSlice { offset, words, ..good[0] };
    let bad = [
        vec![good[0]],
        vec![good[0], BufferSlice { words: 63, ..good[1] }],
        vec![shifted(1, 64), good[1]],
        vec![shifted(256, 0), good[1]],
        vec![good[0], shifted(64, 64)],
    ];
    for buffers in bad {
        let recording = unchecked(vec![dispatch(Step::new(64, 1), buffers.clone())]);
        let error = gpu.prepare(&recording).expect_err("malformed");
        assert!(
            matches!(&error, ExecutorError::Dispatch { kernel, .. } if kernel == "step"),
            "{buffers:?}: {error}"
        );
    }
    let outside = unchecked(vec![dispatch(Step::new(64, 1), vec![shifted(192, 128), good[1]])]);
    assert!(matches!(gpu.prepare(&outside), Err(ExecutorError::Validation { .. })));
    let looping = unchecked(vec![dispatch(Step::new(64, 65_535), good)]);
    assert!(matches!(gpu.prepare(&looping), Err(ExecutorError::Dispatch { .. })));
}

#[test]
fn a_wait_ends_with_the_time_out_and_later_calls_fail_at_once() {
    let Some(mut gpu) = gpu() else { return };
    let count = 1 << 14;
    let slices = vec![filled(&mut gpu, &[1; 64]), filled(&mut gpu, &vec![0; count as usize])];
    let slow = unchecked((0..2).map(|_| dispatch(Step::new(count, 60_000), slices.clone())).collect());
    let prepared = gpu.prepare(&slow).expect("compiles");
    gpu.set_timeout(Duration::from_millis(1));
    let error = block_on(gpu.run(&prepared)).expect_err("slower than a millisecond");
    assert!(matches!(&error, ExecutorError::Timeout { kernel, .. } if kernel == "step"), "{error}");
    assert_eq!(block_on(gpu.run(&prepared)), Err(error.clone()));
    assert_eq!(gpu.write(slices[0].buffer, 0, &[1]), Err(error.clone()));
    assert_eq!(gpu.allocate("more", 1), Err(error));
}

fn assert_lost<T>(result: Result<T, ExecutorError>) {
    let error = result.err().expect("the device is gone");
    assert!(matches!(error, ExecutorError::DeviceLost { .. }) && error.is_recoverable(), "{error}");
}

#[test]
fn every_call_after_the_device_is_lost_says_so() {
    for first in 0..9 {
        let Some(mut gpu) = gpu() else { return };
        let slices = slices(&mut gpu);
        let recording = unchecked(vec![dispatch(Step::new(64, 1), slices.clone())]);
        let prepared = gpu.prepare(&recording).expect("compiles");
        block_on(gpu.run(&prepared)).expect("runs");
        let [asked, wanted] = [0, 1].map(|_| block_on(gpu.run_and_read(&prepared, slices[1])).expect("runs"));
        let mut wanted = Some(wanted);
        block_on(gpu.finish()).expect("runs");
        gpu.destroy_device();
        // Whichever call comes first has to notice.
        for call in (0..9).map(|i| (first + i) % 9) {
            match call {
                0 => assert_lost(block_on(gpu.run(&prepared))),
                1 => assert_lost(block_on(gpu.read(slices[1].buffer, 0, 64))),
                2 => assert_lost(gpu.write(slices[0].buffer, 0, &[1])),
                3 => assert_lost(gpu.allocate("more", 64)),
                4 => assert_lost(gpu.prepare(&recording)),
                5 => assert_lost(block_on(gpu.run_and_read(&prepared, slices[1]))),
                6 => assert_lost(gpu.is_done(&asked)),
                7 => assert_lost(block_on(gpu.take(wanted.take().expect("once"), &mut Vec::new()))),
                _ => assert_lost(block_on(gpu.profile(&prepared))),
            }
        }
    }
}
