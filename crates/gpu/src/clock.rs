//! The clock that submissions are measured with.

/// Seconds since any fixed moment.
pub type Clock = fn() -> f64;

/// The machine's monotonic clock; a browser has to hand in its own.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic() -> f64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}
