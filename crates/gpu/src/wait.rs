//! Waiting for a device: the one place that blocks, and only where a browser is not the host.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

/// Set once by a callback of the device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    outcome: Option<bool>,
    waker: Option<Waker>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The signal was set; true for success.
    Done(bool),
    /// The time was up.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "a browser keeps its own limit"))]
    TimedOut,
}

impl Signal {
    /// Sets the signal and wakes who waits for it.
    pub fn set(&self, success: bool) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.outcome = Some(success);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The outcome, once it is set.
    pub fn outcome(&self) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).outcome
    }

    async fn done(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match state.outcome {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Waits until `signal` is set by a callback that submission `index` triggers.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn wait(
    device: &wgpu::Device,
    index: wgpu::SubmissionIndex,
    signal: &Signal,
    timeout: Duration,
) -> Waited {
    if let Some(outcome) = signal.outcome() {
        return Waited::Done(outcome);
    }
    let poll = device.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(timeout) });
    match (signal.outcome(), poll) {
        (Some(_), _) => Waited::Done(signal.done().await),
        (None, Err(wgpu::PollError::Timeout)) => Waited::TimedOut,
        (None, _) => Waited::Done(false),
    }
}

/// Waits until `signal` is set; the browser watches over the time and reports a hanging device as lost.
#[cfg(target_arch = "wasm32")]
pub(crate) async fn wait(
    _device: &wgpu::Device,
    _index: wgpu::SubmissionIndex,
    signal: &Signal,
    _timeout: Duration,
) -> Waited {
    match signal.outcome() {
        Some(outcome) => Waited::Done(outcome),
        None => Waited::Done(signal.done().await),
    }
}
