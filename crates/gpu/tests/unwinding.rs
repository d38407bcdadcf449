//! A device that is dropped by a panic. The test has a process of its own, in which nothing was caught before.

#![cfg(not(target_arch = "wasm32"))]

use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu::{Gpu, select};
use pollster::block_on;

#[test]
fn a_device_dropped_while_its_thread_unwinds_does_not_abort() {
    let selected = match block_on(select(None)) {
        Ok(selected) => selected,
        Err(error) if std::env::var("BITPLANE_GPU_TESTS").is_ok_and(|v| v == "skip") => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        Err(error) => panic!("{error}; set BITPLANE_GPU_TESTS=skip to do without"),
    };
    let gpu = block_on(Gpu::open(selected, &[])).expect("the adapter opens");
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _gpu = gpu;
        panic!("outer");
    }));
    let payload = unwound.expect_err("the panic goes on");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"outer"));
}
